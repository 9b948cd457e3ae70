"""What may be set for a run, checked before anything is sent."""
