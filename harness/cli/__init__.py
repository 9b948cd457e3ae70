"""Commands that start load, or help to: `run`, `init`, `completion`."""
