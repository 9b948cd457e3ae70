"""Reads a run directory."""
