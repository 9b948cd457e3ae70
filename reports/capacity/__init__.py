"""The capacity of an instance, as a run showed it."""
