"""`chatquota demo`: one command from nothing to a capacity report."""
