"""Locust users, arrivals and the run: what is called, when, and how it ends."""
