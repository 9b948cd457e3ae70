"""Who may ask for what: the login, other web sites, what a form may choose, and agreeing to a live run."""
