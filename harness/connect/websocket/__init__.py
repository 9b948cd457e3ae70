"""The websocket of a chat's customer: addresses, opening, frames, and what the participant says on it."""
