"""The emulated APIs: requests in, answers out."""
