"""One run from start to end, in the process that records it."""
