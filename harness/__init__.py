"""Makes the calls to Amazon Connect chat and writes down what happened."""

__version__ = "0.2.0"
