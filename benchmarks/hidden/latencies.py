"""The families of latencies, around a round trip of 40 ms: tails, spikes, one-sided delays, delays that rise with load."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.virtual.services import Latency, Limiter

TRIP = 0.04


@dataclass
class Tailed(Latency):
    """Beyond a fixed part, each leg takes what `tail` draws, seconds: the mean of that is half of the jitter."""

    tail: Callable[[random.Random], float] = field(default=lambda rng: rng.expovariate(1 / 0.01))

    def _leg(self, mean: float) -> float:
        return 0.5 * mean + self.tail(self.rng)


@dataclass
class Watched:
    """A limiter that remembers how many calls came in the last 0.2 seconds, for a latency that rises with load."""

    limiter: Limiter
    recent: deque[float] = field(default_factory=deque)

    def admit(self, now: float) -> bool:
        """Decide as the limiter does."""
        self.recent.append(now)
        while self.recent[0] < now - 0.2:
            self.recent.popleft()
        return self.limiter.admit(now)


@dataclass
class Rising(Latency):
    """Each call that came in the last 0.2 s adds `each` seconds to both legs."""

    watched: Watched | None = None
    each: float = 0.001

    def _leg(self, mean: float) -> float:
        waiting = len(self.watched.recent) if self.watched is not None else 0
        return super()._leg(mean) + self.each * min(waiting, 60) * self.rng.uniform(0.7, 1.3)


def _gauss(sd: float) -> Callable[[random.Random, Watched], Latency]:
    return lambda rng, _watched: Latency(max(TRIP, 3 * sd), sd / max(TRIP, 3 * sd), 0.5, rng)


LATENCIES: dict[str, Callable[[random.Random, Watched], Latency]] = {
    "Gaussian, 1 ms": _gauss(0.001),
    "Gaussian, 10 ms": _gauss(0.010),
    "Gaussian, 30 ms": _gauss(0.030),
    "exponential, 10 ms": lambda rng, _: Tailed(TRIP, 0.0, 0.5, rng, tail=lambda r: r.expovariate(1 / 0.010)),
    "lognormal, 8 ms, sigma 1": lambda rng, _: Tailed(TRIP, 0.0, 0.5, rng, tail=lambda r: r.lognormvariate(-4.83, 1.0)),
    "spikes, 3 % of the calls": lambda rng, _: Latency(TRIP, 0.1, 0.5, rng, spikes=0.03),
    "all before the decision": lambda rng, _: Latency(TRIP, 0.2, 1.0, rng),
    "all after the decision": lambda rng, _: Latency(TRIP, 0.2, 0.0, rng),
    "rising with load": lambda rng, watched: Rising(TRIP, 0.1, 0.5, rng, watched=watched),
}
