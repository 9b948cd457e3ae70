"""What the probe of the participant's operations is made of: single calls, pauses, and what is known of one operation."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.load.probe.actions import Done, Pause
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.journey import infer_operation
from harness.vocabulary import OK, TPS_THROTTLED

LONGEST_REST = 60.0
_LONGEST_DRAIN = 8.0
_MOST_IN_FLIGHT = 500


@dataclass(frozen=True, slots=True)
class Call:
    """Make one call of `operation` for the chat of number `chat` now, and report it with `answered`."""

    operation: str
    chat: int


@dataclass(frozen=True, slots=True)
class Chats:
    """Have `count` chats ready, with a connection each; report them with `ready`."""

    count: int


Step = Call | Pause | Chats | Done
Steps = Iterator[Step]


@dataclass
class Record:
    """The attempts of one operation. `admitted` are the outcomes of a call that took a token."""

    admitted: tuple[str, ...] = (OK,)
    sent: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)

    def add(self, sent: float, received: float, outcome: str) -> None:
        """Note one attempt."""
        self.sent.append(sent)
        self.received.append(received)
        self.outcome.append(OK if outcome in self.admitted else outcome)

    def throttled(self, since: int = 0) -> int:
        """Throttled attempts from number `since` on."""
        return self.outcome[since:].count(TPS_THROTTLED)

    def admissions(self, since: int = 0) -> int:
        """Admitted attempts from number `since` on."""
        return self.outcome[since:].count(OK)

    def infer(self) -> TpsEstimate:
        """Infer the limit from the attempts so far."""
        return infer_operation(self.sent, self.received, self.outcome)

    def pace_seen(self, since: int) -> float | None:
        """Admissions a second between the first and the last throttle from number `since` on; None if too few."""
        calls = sorted(zip(self.sent[since:], self.outcome[since:], strict=True))
        throttles = [at for at, outcome in calls if outcome == TPS_THROTTLED]
        if len(throttles) < 2:
            return None
        begin, end = throttles[0], throttles[-1]
        admitted = sum(outcome == OK and begin < at < end for at, outcome in calls)
        return admitted / (end - begin) if admitted >= 5 else None


class Moves:
    """Makes calls one by one under a ceiling of calls a second. What is called and why, subclasses say.

    The driver asks `act`, does what it says, and reports `answered` and `ready`. Pure: time comes in.
    """

    def __init__(self, max_rate: float, max_seconds: float, seed: int) -> None:
        self._max_rate = max_rate
        self._max_seconds = max_seconds
        self._rng = random.Random(seed)
        self.records: dict[str, Record] = {}
        self.chats = 0
        self.doing = "starting"
        self._now = 0.0
        self._begin: float | None = None
        self._in_flight = 0
        self._recent: deque[float] = deque()
        self._waiting: tuple[float, Callable[[], bool]] | None = None
        self._steps = self._run()

    def act(self, now: float) -> Step:
        """Return the next thing to do at `now`. A `Call` has to be followed by `answered` some time later, `Chats`
        by `ready`.
        """
        self._now = now
        if self._begin is None:
            self._begin = now
        while True:
            if self._waiting is not None:
                until, over = self._waiting
                if now < until and not over():
                    return Pause(until)
                self._waiting = None
            step = next(self._steps, None)
            if step is None:
                return Done("max_seconds" if self.late else "done")
            if isinstance(step, Call):
                self._in_flight += 1
                self._recent.append(now)
            if not isinstance(step, Pause):
                return step

    def answered(self, operation: str, sent: float, received: float, outcome: str) -> None:
        """Note that a call was answered."""
        self._in_flight -= 1
        self.records[operation].add(sent, received, outcome)

    def ready(self, chats: int) -> None:
        """So many chats are there; fewer than were wanted when the budget or the service has no more."""
        self.chats = chats

    @property
    def late(self) -> bool:
        """Whether the time for the probe is over."""
        return self._begin is not None and self._now - self._begin > self._max_seconds

    def _run(self) -> Steps:
        raise NotImplementedError

    def _have(self, chats: int) -> Steps:
        before, self.chats = self.chats, -1
        yield Chats(max(chats, before))
        until = self._now + self._max_seconds
        self._waiting = (until, lambda: self.chats >= 0)
        yield Pause(until)

    def _rest(self, seconds: float) -> Steps:
        """Do nothing for `seconds`, or until the time for the probe is over."""
        until = min(self._now + seconds, (self._begin or 0.0) + self._max_seconds)
        if until > self._now:
            self._waiting = (until, lambda: False)
            yield Pause(until)

    def _quiet(self, longest: float = 30.0) -> Steps:
        """Wait until every call is answered."""
        if self._in_flight:
            until = self._now + longest
            self._waiting = (until, lambda: not self._in_flight)
            yield Pause(until)

    def _call(self, operation: str, chat: int) -> Steps:
        """Make one call, when the ceiling of calls a second allows it."""
        while self._recent and self._recent[0] <= self._now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= self._max_rate:
            yield from self._rest(self._recent[0] + 1.0 - self._now)
        if self._in_flight >= _MOST_IN_FLIGHT:
            yield from self._quiet(5.0)
        yield Call(operation, chat)

    def _volley(self, operation: str, chat: int, calls: int) -> Steps:
        """Make so many calls at once."""
        for _ in range(calls):
            if not self.late:
                yield from self._call(operation, chat)

    def _drain(self, operation: str, chats: Sequence[int], first: int) -> Steps:
        """Make `first` calls at once, then go at a pace that doubles every 100 ms, until three calls were throttled."""
        record, begin = self.records[operation], self._now
        since, number = len(record.outcome), 0
        yield from self._volley(operation, chats[0], min(first, int(self._max_rate * 0.5) + 1))
        pace, stage = min(100.0, self._max_rate), self._now
        while record.throttled(since) < 3 and self._now - begin < _LONGEST_DRAIN and not self.late:
            if self._now - stage > 0.1:
                pace, stage = min(2 * pace, self._max_rate), self._now
            yield from self._rest(1.0 / pace)
            yield from self._call(operation, chats[number % len(chats)])
            number += 1

    def _press(self, operation: str, chat: int, pace: float, seconds: float) -> Steps:
        """Call at about `pace` a second, at dithered moments, for some seconds."""
        until = self._now + seconds
        while self._now < until and not self.late:
            yield from self._rest(self._rng.uniform(0.5, 1.5) / pace)
            yield from self._call(operation, chat)
