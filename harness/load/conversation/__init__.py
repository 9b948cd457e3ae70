"""A customer's journey through a chat."""
