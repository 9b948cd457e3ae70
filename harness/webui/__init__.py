"""What the harness adds to Locust's web UI: a checked start form, the Quotas tab, the live figure, the report."""
