"""Rate limiters: pure decisions in injected time, each with a refund for a call that is not to cost anything."""

import random
from collections import deque
from collections.abc import Callable
from math import floor
from typing import Protocol

# An arrival spaced exactly 1/rate after the last one must find its token in spite of rounding.
_EPSILON = 1e-6


class Limiter(Protocol):
    """Decides calls one by one; `now` is seconds and never goes back."""

    def admit(self, now: float) -> bool:
        """Whether a call at `now` is admitted; an admitted call is paid for."""

    def refund(self) -> None:
        """Give back what the last admitted call paid."""

    def level(self, now: float) -> float:
        """How many calls would be admitted at `now` if they came at once."""


class Unlimited:
    """Admits everything."""

    def admit(self, now: float) -> bool:
        return True

    def refund(self) -> None:
        pass

    def level(self, now: float) -> float:
        return float("inf")


class TokenBucket:
    """`burst` tokens at most, `rate` tokens a second, one token a call; full at the start.

    With `tick` above 0 the tokens of a tick arrive together at its end. With `debt` above 0 a refused call takes a
    token too, until the bucket owes that many.
    """

    def __init__(self, rate: float, burst: float, tick: float = 0.0, debt: float = 0.0) -> None:
        self.rate, self.burst, self.tick, self.debt = rate, burst, tick, debt
        self._tokens = burst
        self._updated = 0.0

    def _refill(self, now: float) -> None:
        if self.tick:
            now = floor(now / self.tick + _EPSILON) * self.tick
        if now > self._updated:
            self._tokens = min(self.burst, self._tokens + (now - self._updated) * self.rate)
            self._updated = now

    def admit(self, now: float) -> bool:
        self._refill(now)
        if self._tokens < 1 - _EPSILON:
            if self.debt:
                self._tokens = max(-self.debt, self._tokens - 1)
            return False
        self._tokens -= 1
        return True

    def take(self, now: float, tokens: float) -> None:
        """Take `tokens` out, below zero if need be: calls that were admitted elsewhere."""
        self._refill(now)
        self._tokens -= tokens

    def refund(self) -> None:
        self._tokens = min(self.burst, self._tokens + 1)

    def level(self, now: float) -> float:
        self._refill(now)
        return self._tokens

    def change(self, now: float, rate: float, burst: float) -> None:
        """From `now` on the bucket has another rate and burst; tokens above the new burst are lost."""
        self._refill(now)
        self.rate, self.burst = rate, burst
        self._tokens = min(self._tokens, burst)


class FixedWindow:
    """At most `limit` calls in each window of `window` seconds; windows are aligned to time 0."""

    def __init__(self, limit: float, window: float) -> None:
        self.limit, self.window = limit, window
        self._index = 0
        self._used = 0

    def _turn(self, now: float) -> None:
        index = floor(now / self.window + _EPSILON)
        if index > self._index:
            self._index, self._used = index, 0

    def admit(self, now: float) -> bool:
        self._turn(now)
        if self._used + 1 > self.limit + _EPSILON:
            return False
        self._used += 1
        return True

    def refund(self) -> None:
        self._used = max(0, self._used - 1)

    def level(self, now: float) -> float:
        self._turn(now)
        return self.limit - self._used

    def change(self, now: float, limit: float) -> None:
        """From `now` on a window admits `limit` calls."""
        self._turn(now)
        self.limit = limit


class SlidingWindow:
    """At most `limit` calls in any `window` seconds."""

    def __init__(self, limit: float, window: float) -> None:
        self.limit, self.window = limit, window
        self._admitted: deque[float] = deque()

    def _slide(self, now: float) -> None:
        while self._admitted and self._admitted[0] <= now - self.window + _EPSILON:
            self._admitted.popleft()

    def admit(self, now: float) -> bool:
        self._slide(now)
        if len(self._admitted) + 1 > self.limit + _EPSILON:
            return False
        self._admitted.append(now)
        return True

    def refund(self) -> None:
        if self._admitted:
            self._admitted.pop()

    def level(self, now: float) -> float:
        self._slide(now)
        return self.limit - len(self._admitted)

    def change(self, now: float, limit: float) -> None:
        """From `now` on a window admits `limit` calls."""
        self._slide(now)
        self.limit = limit


Changeable = TokenBucket | FixedWindow | SlidingWindow


class Shards:
    """Several limiters; each call meets one of them, drawn at random, as behind a load balancer."""

    def __init__(self, limiters: list[Changeable], rng: random.Random) -> None:
        self._limiters = limiters
        self._rng = rng
        self._last = limiters[0]

    def admit(self, now: float) -> bool:
        self._last = self._limiters[self._rng.randrange(len(self._limiters))]
        return self._last.admit(now)

    def refund(self) -> None:
        self._last.refund()

    def level(self, now: float) -> float:
        return sum(limiter.level(now) for limiter in self._limiters)


class Nodes:
    """Gateway nodes with a whole bucket each; every `sync` seconds each learns what the others admitted.

    `choose(count)` says which of the `count` nodes a call meets.
    """

    def __init__(self, buckets: list[TokenBucket], sync: float, choose: Callable[[int], int]) -> None:
        self._buckets, self._sync, self._choose = buckets, sync, choose
        self._admitted = [0] * len(buckets)
        self._round = 0
        self._last = 0

    def _exchange(self, now: float) -> None:
        due = floor(now / self._sync + _EPSILON)
        if due <= self._round:
            return
        # All admissions since the last exchange are told at the next boundary; later ones find nothing new.
        at, total = (self._round + 1) * self._sync, sum(self._admitted)
        if total:
            for bucket, own in zip(self._buckets, self._admitted, strict=True):
                bucket.take(at, total - own)
            self._admitted = [0] * len(self._buckets)
        self._round = due

    def admit(self, now: float) -> bool:
        self._exchange(now)
        self._last = self._choose(len(self._buckets))
        admitted = self._buckets[self._last].admit(now)
        self._admitted[self._last] += admitted
        return admitted

    def refund(self) -> None:
        self._buckets[self._last].refund()
        self._admitted[self._last] = max(0, self._admitted[self._last] - 1)

    def level(self, now: float) -> float:
        self._exchange(now)
        return sum(max(0.0, bucket.level(now)) for bucket in self._buckets)


class Contrary:
    """A limiter of which a `share` of the decisions is turned into the opposite."""

    def __init__(self, limiter: Limiter, share: float, rng: random.Random) -> None:
        self._limiter, self._share, self._rng = limiter, share, rng
        self._paid = False

    def admit(self, now: float) -> bool:
        admitted = self._limiter.admit(now)
        self._paid = admitted
        if self._rng.random() >= self._share:
            return admitted
        if admitted:
            self._limiter.refund()
        self._paid = False
        return not admitted

    def refund(self) -> None:
        if self._paid:
            self._limiter.refund()

    def level(self, now: float) -> float:
        return self._limiter.level(now)


_MOST_CAUGHT_UP = 50_000


class Contended:
    """A limiter that other clients use too: they call at `rate` per second, as a Poisson process."""

    def __init__(self, limiter: Limiter, rate: float, rng: random.Random, memory: float) -> None:
        # After a silence longer than `memory` (the time in which the limiter forgets), only its last stretch matters.
        # A long memory is cut: nobody sees the difference, but everybody would wait while it is caught up with.
        self._limiter, self._rate, self._rng = limiter, rate, rng
        self._memory = min(memory, _MOST_CAUGHT_UP / rate)
        self._next = rng.expovariate(rate)

    def _catch_up(self, now: float) -> None:
        if now - self._next > self._memory:
            self._next = now - self._memory + self._rng.expovariate(self._rate)
        while self._next <= now:
            self._limiter.admit(self._next)
            self._next += self._rng.expovariate(self._rate)

    def admit(self, now: float) -> bool:
        self._catch_up(now)
        return self._limiter.admit(now)

    def refund(self) -> None:
        self._limiter.refund()

    def level(self, now: float) -> float:
        self._catch_up(now)
        return self._limiter.level(now)


class Changing:
    """A limit that changes `after` seconds from its first call, once; each of its `parts` holds a `share` of it."""

    def __init__(
        self, limiter: Limiter, after: float, parts: list[Changeable], share: float, rate: float, burst: float
    ) -> None:
        self._limiter, self._after, self._parts, self._share = limiter, after, parts, share
        self._rate, self._burst = rate, burst
        self._due: float | None = None
        self.changed = False

    def _change(self, now: float) -> None:
        if self._due is None:
            self._due = now + self._after
        if now >= self._due and not self.changed:
            self.changed = True
            for part in self._parts:
                if isinstance(part, TokenBucket):
                    part.change(self._due, self._rate * self._share, self._burst * self._share)
                else:
                    part.change(self._due, self._rate * part.window * self._share)

    def admit(self, now: float) -> bool:
        self._change(now)
        return self._limiter.admit(now)

    def refund(self) -> None:
        self._limiter.refund()

    def level(self, now: float) -> float:
        return self._limiter.level(now)
