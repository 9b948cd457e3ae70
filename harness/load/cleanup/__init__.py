"""`chatquota cleanup`: stops what a crashed run left open."""
