"""When calls are due: open arrivals, kept on time."""
