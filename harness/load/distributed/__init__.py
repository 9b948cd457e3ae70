"""A run over many processes: what master and workers do, and what they say to each other."""
