"""Whether the other side of the chats answered, how soon, and up to how many open chats."""
