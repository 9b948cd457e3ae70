"""Makes the calls to Amazon Connect chat and writes down what happened."""

__version__ = "0.1.0"
