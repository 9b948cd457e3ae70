"""Whether the variety of the calls matters: for their outcome, and for their latency."""
