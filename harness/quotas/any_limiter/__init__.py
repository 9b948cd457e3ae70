"""Capacity that holds for any limiter: sustained rate, burst from rest, safe rate, and an honest class."""
