"""The families of hidden limiters, each drawn from a rate, a burst and a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.virtual.services import (
    BatchedBucket,
    FixedWindow,
    Limiter,
    MovedBucket,
    Shards,
    Shared,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import (
    Adaptive,
    ByConnection,
    Contrary,
    FixedTier,
    Nodes,
    OnOff,
    Penalising,
    Tiers,
)

Make = Callable[[float, float, random.Random], Limiter]


def _parts(rate: float, burst: float, count: int) -> list[Limiter]:
    return [TokenBucket(rate / count, max(1.0, burst / count)) for _ in range(count)]


def _several_faults(rate: float, burst: float, rng: random.Random) -> Limiter:
    shared = Shared(BatchedBucket(1.1 * rate, max(burst, rate), 0.1), 0.1 * rate, rng)
    return Contrary(shared, 0.01, rng)


FAMILIES: dict[str, Make] = {
    "exact bucket": lambda r, b, rng: TokenBucket(r, b),
    "burst of a half more": lambda r, b, rng: TokenBucket(r, b + 0.5),
    "contrary 0.5 to 5 %": lambda r, b, rng: Contrary(TokenBucket(r, b), rng.uniform(0.005, 0.05), rng),
    "shards at random": lambda r, b, rng: Shards(_parts(r, b, rng.choice([2, 4])), rng),
    "shards in turn": lambda r, b, rng: Shards(_parts(r, b, rng.choice([2, 4])), rng, in_turn=True),
    "shards by connection": lambda r, b, rng: ByConnection(_parts(r, b, 2), 10, rng),
    "nodes, sync 10 to 100 ms": lambda r, b, rng: Nodes(r, b, 4, rng.choice([0.01, 0.05, 0.1]), rng),
    "nodes, sync 1 s": lambda r, b, rng: Nodes(r, b, 4, 1.0, rng),
    "ticks of 10 or 100 ms": lambda r, b, rng: BatchedBucket(r, b, rng.choice([0.01, 0.1])),
    "ticks of 0.5 or 1 s": lambda r, b, rng: BatchedBucket(r, max(b, r), rng.choice([0.5, 1.0])),
    "fixed window 1 s": lambda r, b, rng: FixedWindow(max(2, round(r)), 1.0, rng.random()),
    "sliding log 1 s": lambda r, b, rng: SlidingLog(max(2, round(r)), 1.0),
    "sliding counter 1 s": lambda r, b, rng: SlidingCounter(max(2, round(r)), 1.0, rng.random()),
    "fixed window 10 s": lambda r, b, rng: FixedWindow(max(2, round(10 * r)), 10.0, 10 * rng.random()),
    "fixed window 60 s": lambda r, b, rng: FixedWindow(max(2, round(60 * r)), 60.0, 60 * rng.random()),
    "penalising bucket": lambda r, b, rng: Penalising(TokenBucket(r, b), 0.2),
    "several faults at once": _several_faults,
    "shared, even": lambda r, b, rng: Shared(TokenBucket(1.4 * r, b), 0.4 * r, rng, even=True),
    "shared, Poisson": lambda r, b, rng: Shared(TokenBucket(1.4 * r, b), 0.4 * r, rng),
    "shared, on and off": lambda r, b, rng: OnOff(TokenBucket(1.3 * r, b), 0.6 * r, 3.0, rng),
    "moved by 10 or 50 %": lambda r, b, rng: MovedBucket(TokenBucket(r, b), rng.uniform(5, 30), rng.choice([0.9, 0.5])),
    "two tiers": lambda r, b, rng: Tiers([TokenBucket(3 * r, 3 * r), FixedTier(round(60 * r))]),
    "adaptive": lambda r, b, rng: Adaptive(r, b),
}
MOVING = ("moved by 10 or 50 %",)
SLOW = ("fixed window 10 s", "fixed window 60 s", "two tiers")
"""Families that take minutes to show themselves: their rates end at 20 a second."""
KEEPS_STEP = ("shared, even",)
"""Families in which what is admitted depends on the moment at which the load began, however long it lasts."""
NO_CHATS = 10**9
"""A quota of active chats that is never met."""
SMOOTH = ("exact bucket", "burst of a half more", "ticks of 10 or 100 ms")
"""Families that one token bucket describes, or nearly: to call them exact is right where rate and burst are right."""


@dataclass(frozen=True, slots=True)
class Job:
    """One hidden service: its family and seed; `quick` leaves the exact inference out, `fills` gives it a quota of active
    chats, to which the probe fills it before it goes on.
    """

    family: str
    seed: int
    quick: bool = False
    fills: bool = False

    def drawn(self) -> tuple[float, float]:
        """Return its rate, calls a second, and its burst."""
        rng = random.Random(self.seed)
        rate = math.exp(rng.uniform(math.log(2), math.log(20 if self.family in SLOW else 100)))
        rate = float(round(rate)) if rng.random() < 0.5 else rate
        return rate, float(max(1, round(rate * rng.uniform(0.5, 3))))

    @property
    def chats(self) -> int:
        """Its quota of active chats; so many that it is never met, unless it fills."""
        return random.Random(self.seed + 77).choice((100, 200, 300, 500)) if self.fills else NO_CHATS

    def limiter(self) -> Limiter:
        """Return a new limiter, rested."""
        return FAMILIES[self.family](*self.drawn(), random.Random(self.seed + 1))
