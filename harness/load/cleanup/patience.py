"""Bounds a call of the SDK as a whole: its own time-outs are for each read, and an answer that trickles has no end."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ReadTimeoutError

from harness.connect.target import Target

_SDKS_OWN = 60.0
"""Seconds that the SDK allows each connect and each read where nobody says otherwise."""


def patient_client(target: Target, timeout: float | None) -> Any:
    """Return a client of Amazon Connect whose calls end after twice `timeout` seconds, whatever comes of them.

    Raises BotoCoreError and ValueError as boto3 does. Each call raises ReadTimeoutError where its time is over.
    """
    client = target.boto("connect", timeout=timeout, endpoint_url=target.endpoint)
    call = client._make_api_call  # noqa: SLF001 (through which each operation goes)
    seconds = 2 * (timeout or _SDKS_OWN)
    client._make_api_call = lambda *request: _in_time(lambda: call(*request), seconds, target.endpoint)  # noqa: SLF001
    return client


def _in_time(call: Callable[[], Any], seconds: float, url: str) -> Any:
    """Return what `call` returns, or raise what it raises; what takes longer is left to a thread that the exit ends."""
    answers: list[Any] = []
    errors: list[BaseException] = []

    def make() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise ReadTimeoutError(endpoint_url=url)
    return answers[0]
