"""What is asked: the mix of chats, drawn from one seed."""
