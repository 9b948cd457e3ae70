"""The websocket of a chat's customer: opening it, frames, and what the participant says on it."""
