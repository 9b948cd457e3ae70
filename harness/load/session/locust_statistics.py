"""Feeds Locust's own statistics: each attempt becomes a `request` event, each kind of refusal one row of failures."""

from collections.abc import Callable
from typing import Any

from harness.connect.client import Reply
from harness.vocabulary import NOT_AWAITED, OK, OUTCOMES, STARTED

REQUEST_TYPE = "Connect"


class Refused(Exception):
    """An attempt that was not admitted. Locust groups failures by repr, so each outcome is one row.

    Each outcome has a class of its own with its name, since OpenTelemetry's `error.type` is the name of the class.
    """

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __repr__(self) -> str:
        return self.outcome


# Made once: an exception that is only looked at needs no traceback and no allocation.
_REFUSED: dict[str, Refused] = {
    outcome: type(outcome, (Refused,), {})(outcome) for outcome in OUTCOMES if outcome not in (STARTED, OK)
}


def reporter(fire: Callable[..., Any]) -> Callable[[str, Reply], None]:
    """Return a function that fires Locust's `request` event for an attempt; `fire` is the event's own."""

    def report(operation: str, reply: Reply) -> None:
        if reply.outcome == NOT_AWAITED:  # neither a success nor a failure
            return
        fire(
            request_type=REQUEST_TYPE,
            name=operation,
            response_time=(reply.received - reply.sent) * 1000,
            response_length=reply.body_bytes,
            response=None,
            context={},
            exception=_REFUSED.get(reply.outcome),
        )

    return report
