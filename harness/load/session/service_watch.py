"""Tells when a service is of no use to a run: everything that it is asked fails, for a reason that is not a limit."""

from harness.vocabulary import (
    ACCESS_DENIED,
    ANSWERED_BY_SERVICE,
    CONNECTION_ERROR,
    INVALID_REQUEST,
    NOT_FOUND,
    SERVICE_ERROR,
    TIMEOUT,
)

REFUSALS_TO_GIVE_UP = 5
"""Refusals that no repetition cures (credentials, ids, nobody there), before anything was served."""
FAILURES_TO_GIVE_UP = 20
"""Failures in a row, of any kind, before anything was served."""
OUTAGE_FAILURES = 50
OUTAGE_SECONDS = 15.0
"""A service that has worked is given up after so many failures in a row, and so many seconds since it last answered."""

_LASTING = frozenset({ACCESS_DENIED, NOT_FOUND, INVALID_REQUEST, CONNECTION_ERROR})
_OUTAGE = frozenset({SERVICE_ERROR, TIMEOUT, CONNECTION_ERROR})


class ServiceWatch:
    """Watches the outcomes of one service. Times are seconds on any one clock.

    `lasting` is how many refusals of a lasting kind are enough while nothing was served.
    """

    def __init__(self, lasting: int = REFUSALS_TO_GIVE_UP) -> None:
        self._lasting = lasting
        self._refusals = 0
        self._failures = 0
        self._served_at: float | None = None
        self._given_up = False

    def saw(self, outcome: str, at: float) -> bool:
        """Take in an outcome; True, once, when the service is to be given up."""
        if outcome in ANSWERED_BY_SERVICE:
            self._served_at = at
            self._failures = 0
            return False
        if self._given_up or (self._served_at is not None and outcome not in _OUTAGE):
            return False
        self._failures += 1
        self._refusals += outcome in _LASTING
        self._given_up = self._is_hopeless(at)
        return self._given_up

    def _is_hopeless(self, at: float) -> bool:
        if self._served_at is None:
            return self._refusals >= self._lasting or self._failures >= FAILURES_TO_GIVE_UP
        return self._failures >= OUTAGE_FAILURES and at - self._served_at >= OUTAGE_SECONDS
