"""The StartChatContact contract: the request, the client that signs and sends it, and the outcome of each call."""
