"""What a careful engineer checks before the first call of a live run. It only reads, and spends no chat."""
