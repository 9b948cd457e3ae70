"""Hidden services in virtual time: what the probe and the inference are tried on, a discrete-event simulation."""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Decide = Callable[[float], bool]


class Limiter(Protocol):
    """Admits or refuses a call that reaches it at `now`; times never go back."""

    def admit(self, now: float) -> bool: ...


@dataclass
class TokenBucket:
    """`burst` tokens at most, `rate` new ones a second; a call takes one, a refused call none."""

    rate: float
    burst: float
    level: float = -1.0
    last: float = -math.inf

    def admit(self, now: float) -> bool:
        if self.last == -math.inf:
            self.level = self.burst if self.level < 0 else self.level
            self.last = now
        self.level = min(self.burst, self.level + self.rate * (now - self.last))
        self.last = now
        if self.level >= 1.0:
            self.level -= 1.0
            return True
        return False


@dataclass
class MovedBucket:
    """A token bucket whose rate changes by `factor` at `at` seconds."""

    bucket: TokenBucket
    at: float
    factor: float
    moved: bool = False

    def admit(self, now: float) -> bool:
        if now >= self.at and not self.moved:
            self.bucket.admit(self.at)
            self.bucket.rate *= self.factor
            self.moved = True
        return self.bucket.admit(now)


@dataclass
class BatchedBucket:
    """A token bucket whose tokens arrive in batches, every `tick` seconds."""

    rate: float
    burst: float
    tick: float
    level: float = -1.0
    ticks: int = 0

    def admit(self, now: float) -> bool:
        ticks = math.floor(now / self.tick)
        if self.level < 0:
            self.level, self.ticks = self.burst, ticks
        self.level = min(self.burst, self.level + self.rate * self.tick * (ticks - self.ticks))
        self.ticks = ticks
        if self.level >= 1.0:
            self.level -= 1.0
            return True
        return False


@dataclass
class FixedWindow:
    """At most `limit` calls in each window of `width` seconds, counted from `phase`."""

    limit: int
    width: float
    phase: float = 0.0
    window: int = -(10**9)
    count: int = 0

    def admit(self, now: float) -> bool:
        window = math.floor((now - self.phase) / self.width)
        if window != self.window:
            self.window, self.count = window, 0
        if self.count < self.limit:
            self.count += 1
            return True
        return False


@dataclass
class SlidingLog:
    """At most `limit` calls in any `width` seconds.

    With `counts_refused` those that it refuses are among them, as HAProxy's stick tables count.
    """

    limit: int
    width: float
    counts_refused: bool = False
    log: deque[float] = field(default_factory=deque)

    def admit(self, now: float) -> bool:
        while self.log and self.log[0] <= now - self.width:
            self.log.popleft()
        admitted = len(self.log) < self.limit
        if admitted or self.counts_refused:
            self.log.append(now)
        return admitted


@dataclass
class SlidingCounter:
    """The usual approximation of a sliding window: this window's count and a share of the last one's."""

    limit: int
    width: float
    phase: float = 0.0
    window: int = -(10**9)
    count: int = 0
    before: int = 0

    def admit(self, now: float) -> bool:
        place = (now - self.phase) / self.width
        window = math.floor(place)
        if window != self.window:
            self.before = self.count if window == self.window + 1 else 0
            self.window, self.count = window, 0
        if self.before * (1 - (place - window)) + self.count < self.limit:
            self.count += 1
            return True
        return False


@dataclass
class Shards:
    """Several limiters behind a balancer that picks one at random, or in turn."""

    shards: list[Limiter]
    rng: random.Random
    in_turn: bool = False
    turn: int = 0

    def admit(self, now: float) -> bool:
        self.turn += 1
        index = self.turn % len(self.shards) if self.in_turn else self.rng.randrange(len(self.shards))
        return self.shards[index].admit(now)


@dataclass
class Shared:
    """A limiter that other clients call too: Poisson, `others` calls a second, or evenly spaced."""

    limiter: Limiter
    others: float
    rng: random.Random
    even: bool = False
    next: float = 0.0

    def admit(self, now: float) -> bool:
        while self.next <= now:
            self.limiter.admit(self.next)
            self.next += 1 / self.others if self.even else self.rng.expovariate(self.others)
        return self.limiter.admit(now)


@dataclass
class Delaying:
    """nginx's `limit_req` without `nodelay`: a call over the rate waits for its turn, and up to `queue` calls may wait.

    Whether a call may wait is decided when it comes; one that may not is refused at once. `delay` is how long the last one
    waits, seconds.
    """

    rate: float
    queue: float
    excess: float = 0.0
    last: float = -math.inf
    delay: float = 0.0

    def admit(self, now: float) -> bool:
        passed = self.rate * (now - self.last) if self.last > -math.inf else math.inf
        excess = max(0.0, self.excess - passed + 1.0)
        if excess > self.queue:
            return False
        self.excess, self.last, self.delay = excess, now, excess / self.rate
        return True


@dataclass
class Latency:
    """A round trip of `mean` seconds, `jitter` of it (one sd) at random, a share `up` of it before the decision."""

    mean: float
    jitter: float
    up: float
    rng: random.Random
    spikes: float = 0.0
    """Share of the calls that take up to three round trips more, in either direction."""

    def draw(self) -> tuple[float, float]:
        up = self._leg(self.up * self.mean)
        down = self._leg((1 - self.up) * self.mean)
        if self.spikes and self.rng.random() < self.spikes:
            extra = self.rng.expovariate(1 / self.mean)
            if self.rng.random() < 0.5:
                up += extra
            else:
                down += extra
        return up, down

    def _leg(self, mean: float) -> float:
        return max(0.05 * mean, self.rng.gauss(mean, self.jitter * mean)) + self.rng.expovariate(1 / 0.0003)


@dataclass
class Service:
    """Amazon Connect as far as its limits go: a TPS limiter, then the quota of active chats."""

    limiter: Limiter
    active_chats: int
    latency: Latency
    quota_costs_token: bool = True
    quota_first: bool = False
    fault_share: float = 0.0
    others_hold: int = 0
    count_lag: float = 0.0
    """Seconds after which a started chat counts."""
    slot_lag: float = 0.0
    """Seconds after which an ended chat counts no more."""
    chats: set[int] = field(default_factory=set)
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    counted: int = 0

    def start(self, now: float) -> tuple[str, int]:
        """Decide about a StartChatContact that arrives at `now`: its outcome and the chat's number."""
        full = self._counted_open(now) + self.others_hold >= self.active_chats
        if self.fault_share and self.latency.rng.random() < self.fault_share:
            return ("service_error" if self.latency.rng.random() < 0.5 else "connection_error"), 0
        if full and (self.quota_first or not self.quota_costs_token):
            if self.quota_first:
                return "active_chat_limit", 0
            bucket = self.limiter
            if isinstance(bucket, TokenBucket):
                admitted = bucket.admit(now)
                bucket.level += 1.0 if admitted else 0.0
                return ("active_chat_limit" if admitted else "tps_throttled"), 0
        if not self.limiter.admit(now):
            return "tps_throttled", 0
        if full:
            return "active_chat_limit", 0
        self.counted += 1
        self.chats.add(self.counted)
        self.begun.append(now)
        return "started", self.counted

    def reconnect(self) -> None:
        """Let the client's connections be new ones: a limiter that tells them apart has a method for it."""
        pinned = getattr(self.limiter, "reconnect", None)
        if callable(pinned):
            pinned()

    def held(self, outcome: str) -> float:
        """Seconds for which the answer with this outcome, the last one decided, is held back by the limiter."""
        return self.limiter.delay if isinstance(self.limiter, Delaying) and outcome != "tps_throttled" else 0.0

    def stop(self, chat: int, now: float) -> bool:
        """End a chat; False if it had ended already."""
        found = chat in self.chats
        if found:
            self.chats.discard(chat)
            self.ended.append(now)
        return found

    def _counted_open(self, now: float) -> int:
        if not self.count_lag and not self.slot_lag:
            return len(self.chats)
        return bisect_right(self.begun, now - self.count_lag) - bisect_right(self.ended, now - self.slot_lag)


@dataclass
class Answer:
    """One answered call, as the probe's driver sees it."""

    sent: float
    received: float
    outcome: str
    chat: int


class Clockwork:
    """Virtual time: events in order, and the calls that are on their way."""

    def __init__(self, service: Service, now: float = 0.0) -> None:
        self.service = service
        self.now = now
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self.record: list[Answer] = []
        self.ends: list[float] = []
        self.sends = 0

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, what))

    def send(self, answered: Callable[[Answer], None]) -> None:
        """Start a call now; `answered` is called when its answer is back."""
        self.sends += 1
        sent = self.now
        up, down = self.service.latency.draw()

        def arrive() -> None:
            outcome, chat = self.service.start(self.now)
            held = self.service.held(outcome)

            def back() -> None:
                answer = Answer(sent, self.now, outcome, chat)
                self.record.append(answer)
                answered(answer)

            self.at(self.now + held + down, back)

        self.at(sent + up, arrive)

    def stop(
        self, chat: int, ended: Callable[[int], None], found_gone: Callable[[int], None] = lambda _chat: None
    ) -> None:
        """Stop a chat; `ended` is called when the answer is back, before it `found_gone` if the chat had ended already."""
        up, down = self.service.latency.draw()

        def arrive() -> None:
            found = self.service.stop(chat, self.now)

            def back() -> None:
                self.ends.append(self.now)
                if not found:
                    found_gone(chat)
                ended(chat)

            self.at(self.now + down, back)

        self.at(self.now + up, arrive)

    def run_until(self, when: float) -> bool:
        """Let events happen up to `when`, one at most; True if one did."""
        if self._events and self._events[0][0] <= when:
            self.now, _, what = heapq.heappop(self._events)
            what()
            return True
        self.now = max(self.now, when) if when < math.inf else self.now
        return False

    def run_out(self) -> None:
        """Let everything that is on its way happen."""
        while self._events:
            self.run_until(math.inf)
