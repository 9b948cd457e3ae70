"""When chats arrive: open arrivals as a function of time and rate alone, never of the answers.

Arrivals are drawn on an axis of *expected arrivals*, the integral of the rate over time, on which a uniform schedule
ticks at 1, 2, 3 ... and a Poisson process has exponential gaps of mean one. Each tick is mapped back to a time through
the rate. So the rate may change at any moment without a restart, and the schedule is tested with a table and no clock.
"""

import random
from math import inf

UNIFORM, POISSON = "uniform", "poisson"
SPACINGS = (UNIFORM, POISSON)


class Arrivals:
    """A schedule of arrivals from `start` on (seconds on any clock), at rate 0 until `set_rate` says otherwise.

    `offset` in [0, 1) shifts a uniform schedule by that part of its spacing, so that the schedules of several processes
    interleave. Poisson schedules of several processes add up to a Poisson schedule as they are.
    """

    def __init__(self, spacing: str, start: float, rng: random.Random, offset: float = 0.0) -> None:
        if spacing not in SPACINGS:
            raise ValueError(f"arrivals {spacing!r}: one of {', '.join(SPACINGS)}")
        self._rng = rng if spacing == POISSON else None
        self._since = start
        self._expected = 0.0  # the integral of the rate up to _since
        self._rate = 0.0
        # A uniform schedule's first arrival comes at its offset: at once for a single process.
        self._next = self._gap() if self._rng else offset

    @property
    def rate(self) -> float:
        """Arrivals per second from the last `set_rate` on."""
        return self._rate

    def set_rate(self, rate: float, at: float) -> None:
        """Offer `rate` arrivals per second from time `at` on. Raises ValueError for a negative rate."""
        if rate < 0:
            raise ValueError("a rate cannot be negative")
        self._expected = self._expected_at(at)
        self._since = max(at, self._since)
        self._rate = rate

    def next_due(self) -> float:
        """Return the time of the next arrival at the present rate: infinity while the rate is zero."""
        if self._rate == 0:
            return inf
        return self._since + (self._next - self._expected) / self._rate

    def advance(self) -> None:
        """Take the next arrival as done."""
        self._next += self._gap()

    def _gap(self) -> float:
        return self._rng.expovariate(1.0) if self._rng else 1.0

    def _expected_at(self, at: float) -> float:
        return self._expected + self._rate * max(at - self._since, 0.0)


def offset_of(worker_index: int, worker_count: int) -> float:
    """Return the part of the spacing by which worker `worker_index` of `worker_count` shifts its uniform schedule."""
    return worker_index / worker_count if worker_count > 0 else 0.0
