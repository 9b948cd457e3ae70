"""Keeps the libraries below from saying what must not be said: requests, signatures, tokens, pieces of answers."""

import logging

# At DEBUG these log requests with their signatures and answers with their tokens.
_TALKATIVE = ("boto3", "botocore", "websocket", "websockets", "httptools")
_MORE_TALKATIVE = ("urllib3",)
"""Of an answer that it cannot read well it prints what it could not read, and a traceback, as a warning."""


def quieten_libraries() -> None:
    """Set the levels of the loggers of libraries, for the whole process."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    for name in _MORE_TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
