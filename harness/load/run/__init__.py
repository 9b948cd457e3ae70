"""One run over one or many processes."""
