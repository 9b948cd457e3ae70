"""What else could offer the load: locustfiles for Locust, each written as its users would write it."""
