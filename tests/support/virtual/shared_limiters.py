"""Limiters that no exact model describes: nodes that agree late, contrary decisions, neighbours, two tiers, adaptation."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.virtual.services import Limiter, TokenBucket


@dataclass
class Contrary:
    """A limiter of whose decisions a share goes the other way."""

    limiter: Limiter
    share: float
    rng: random.Random

    def admit(self, now: float) -> bool:
        admitted = self.limiter.admit(now)
        return not admitted if self.rng.random() < self.share else admitted


@dataclass
class Nodes:
    """Nodes with a whole bucket each, that take what the others admitted from their own every `sync` seconds.

    What they admitted too much meanwhile leaves them in debt.
    """

    rate: float
    burst: float
    nodes: int
    sync: float
    rng: random.Random
    level: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    last: float = -math.inf
    synced: float = -math.inf

    def admit(self, now: float) -> bool:
        if not self.level:
            self.level, self.taken = [self.burst] * self.nodes, [0.0] * self.nodes
            self.last = self.synced = now
        if self.synced + self.sync <= now:
            self._refill(self.synced + self.sync)
            total = sum(self.taken)
            self.level = [own - (total - mine) for own, mine in zip(self.level, self.taken, strict=True)]
            self.taken = [0.0] * self.nodes
            self.synced += self.sync * math.floor((now - self.synced) / self.sync)  # later ones had nothing to tell
        self._refill(now)
        node = self.rng.randrange(self.nodes)
        if self.level[node] < 1.0:
            return False
        self.level[node] -= 1.0
        self.taken[node] += 1.0
        return True

    def _refill(self, now: float) -> None:
        more = self.rate * max(0.0, now - self.last)
        self.level = [min(self.burst, level + more) for level in self.level]
        self.last = max(self.last, now)


@dataclass
class OnOff:
    """A limiter that a neighbour calls too, `others` a second, in turns of about `period` seconds on and off."""

    limiter: Limiter
    others: float
    period: float
    rng: random.Random
    next: float = 0.0
    until: float = 0.0

    def admit(self, now: float) -> bool:
        while self.next <= now:
            if self.next >= self.until:  # a turn is over: off, then on again
                self.next = self.until + self.rng.expovariate(1 / self.period)
                self.until = self.next + self.rng.expovariate(1 / self.period)
                continue
            self.limiter.admit(self.next)
            self.next += self.rng.expovariate(self.others)
        return self.limiter.admit(now)


@dataclass
class Tiers:
    """Several limiters that all have to admit a call; one that refuses leaves the others as they were."""

    tiers: Sequence[TokenBucket]

    def admit(self, now: float) -> bool:
        admitted = [tier.admit(now) for tier in self.tiers]
        if all(admitted):
            return True
        for tier, was in zip(self.tiers, admitted, strict=True):
            if was:
                tier.level += 1.0
        return False


class FixedTier(TokenBucket):
    """A minute's window in the form of a tier: `level` is what is left of the minute."""

    def __init__(self, limit: int) -> None:
        super().__init__(0.0, float(limit))
        self._minute = -1

    def admit(self, now: float) -> bool:
        """Admit while the minute has calls left."""
        minute = math.floor(now / 60.0)
        if minute != self._minute:
            self._minute, self.level = minute, self.burst
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


@dataclass
class Adaptive:
    """A token bucket whose rate falls by up to a quarter while more is refused than admitted, and recovers."""

    rate: float
    burst: float
    depth: float = 0.25
    bucket: TokenBucket = field(init=False)
    refused: float = 0.0
    last: float = 0.0

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(self.rate, self.burst)

    def admit(self, now: float) -> bool:
        keep = math.exp(-max(0.0, now - self.last) / 2.0)  # the share refused in the last two seconds or so
        self.last = now
        self.bucket.rate = self.rate * (1 - self.depth * self.refused)
        admitted = self.bucket.admit(now)
        weight = min(1.0, (1 - keep) * 1.0)
        self.refused += weight * ((0.0 if admitted else 1.0) - self.refused)
        return admitted


@dataclass
class Penalising:
    """A token bucket in which a refused call costs `penalty` of a token too, down to an empty bucket."""

    bucket: TokenBucket
    penalty: float = 0.3

    def admit(self, now: float) -> bool:
        admitted = self.bucket.admit(now)
        if not admitted:
            self.bucket.level = max(0.0, self.bucket.level - self.penalty)
        return admitted


@dataclass
class ByConnection:
    """Shards that a client's connections are pinned to; each call takes one of `connections` connections at random."""

    shards: Sequence[Limiter]
    connections: int
    rng: random.Random
    pinned: list[int] = field(default_factory=list)

    def reconnect(self) -> None:
        """Pin each connection anew."""
        self.pinned = []

    def admit(self, now: float) -> bool:
        if not self.pinned:
            self.pinned = [self.rng.randrange(len(self.shards)) for _ in range(self.connections)]
        return self.shards[self.pinned[self.rng.randrange(self.connections)]].admit(now)
