"""`chatquota plan`: an expected day against both limits."""
