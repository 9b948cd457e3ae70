"""How bytes reach a server: names, connects, and looking at many connections together."""
