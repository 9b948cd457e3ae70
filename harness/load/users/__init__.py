"""The user classes that Locust runs, and their load shape."""
