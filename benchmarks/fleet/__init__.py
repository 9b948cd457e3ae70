"""The other side of a master: workers that a benchmark plays."""
