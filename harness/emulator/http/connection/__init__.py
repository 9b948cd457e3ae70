"""The end of a connection: HTTP in, answers out."""
