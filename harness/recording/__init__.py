"""Writes down what happened: samples, the ledger of chats, the run directory, and whether the run is valid."""
