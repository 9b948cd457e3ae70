"""The emulated service: chats, limiters, time."""
