"""Reads a run directory and explains it. Knows nothing of how the calls were made."""
