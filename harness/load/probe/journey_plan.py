"""Decides how the limits of the participant's operations are found with a handful of chats. Pure: time comes in, no I/O."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Literal

from harness.load.probe.journey_moves import LONGEST_REST, Moves, Record, Step, Steps
from harness.quotas.estimates import TpsEstimate
from harness.vocabulary import (
    ACCESS_DENIED,
    CREATE_CONNECTION,
    DISCONNECT,
    GET_TRANSCRIPT,
    OK,
    SEND_EVENT,
    SEND_MESSAGE,
)

MEASURED = (SEND_MESSAGE, SEND_EVENT, GET_TRANSCRIPT, CREATE_CONNECTION)
"""Operations that may be called for one chat any number of times, in the order in which they are measured."""
OPERATIONS = (*MEASURED, DISCONNECT)

_CHATS = 2
_DISCONNECTS = 20
"""Chats that are left one by one where a call for a chat that has ended is not counted: a burst of some and a dozen more."""
_ROUNDS = 3
_MOST_CYCLES = 4
_MOST_AFTER = 12
"""Most calls with which it is tried whether anything is left of a bucket."""
_DEAD_CALLS = (60, 300)
"""Calls for a chat that has ended, which cost no chat: more where none of the first is throttled; the burst may be large."""
_FIRST_PAUSE = 0.01
"""Seconds between calls for the chats that are left; longer where nearly all are throttled."""

Answer = Literal["yes", "no", "unclear", "not asked"]


@dataclass
class Together:
    """Whether calls of `after` find the tokens gone that calls of `first` have just taken: one bucket, or two.

    `admitted` of `calls` were, where `own` would have been at most with a bucket that was drained, by its refill.
    """

    calls: int = 0
    admitted: int = 0
    own: float = 0.0

    @property
    def one_bucket(self) -> Answer:
        """Whether both are counted in one bucket."""
        if not self.calls:
            return "not asked"
        if self.admitted >= 0.9 * self.calls and self.own < 0.7 * self.calls:
            return "no"
        if self.admitted <= self.own and self.own < 0.7 * self.calls:
            return "yes"
        return "unclear"


@dataclass
class Found:
    """What the probe of the journey knows."""

    estimates: dict[str, TpsEstimate] = field(default_factory=dict)
    second_chat_brings_more: dict[str, Together] = field(default_factory=dict)
    messages_and_events: Together = field(default_factory=Together)
    disconnects_by_chats: bool = False


class JourneyPlan(Moves):
    """Measures each operation alone, then whether two of them, or two chats, share a bucket."""

    def __init__(self, max_rate: float = 500.0, max_seconds: float = 900.0, seed: int = 0) -> None:
        self.found = Found()
        self.gone: set[int] = set()
        """Chats that were left, as the driver tells."""
        super().__init__(max_rate, max_seconds, seed)
        self.records = {name: Record() for name in OPERATIONS}

    def line(self) -> str:
        """One line: what is known so far, and what is being done."""
        known = [f"{name} {_brief(estimate)}" for name, estimate in self.found.estimates.items()]
        return f"{', '.join(known) or 'nothing known yet'}: {self.doing}"

    def _run(self) -> Steps:
        self.doing = "starting chats"
        yield from self._have(_CHATS)
        if not self.chats:
            return
        for operation in MEASURED:
            if self.late:
                return
            yield from self._measure(operation)
            if self._met(operation):  # the next one may be counted in the same bucket, which has to be full for it
                yield from self._rest(min(1.2 * self._burst(operation) / self._rate(operation) + 0.2, LONGEST_REST))
        if self._met(SEND_MESSAGE) and self._met(SEND_EVENT):
            self.doing = "looking whether SendMessage and SendEvent share one bucket"
            found = self.found.messages_and_events
            yield from self._together(found, (SEND_MESSAGE, 0), (SEND_EVENT, 0))
        if self.chats > 1:
            for operation in MEASURED:
                if self._met(operation):
                    self.doing = f"looking whether a second chat brings more of {operation}"
                    found = self.found.second_chat_brings_more.setdefault(operation, Together())
                    yield from self._together(found, (operation, 0), (operation, 1))
        if not self.late:
            yield from self._disconnects()

    # --- one operation -----------------------------------------------------------------------------------------------

    def _measure(self, operation: str) -> Steps:
        """Drain, press and rest until the limit of `operation` is known sharply, or is not to be had."""
        record = self.records[operation]
        self.doing = f"draining {operation}"
        yield from self._drain(operation, [0], 8)
        yield from self._quiet()
        if not record.throttled():
            self.found.estimates[operation] = record.infer()
            return
        burst = record.admissions() + 1
        self.doing = f"looking for the rate of {operation}"
        rate = yield from self._look(operation, record)
        for cycle in range(_MOST_CYCLES):
            if rate is None or self.late:
                break
            self.doing = f"measuring {operation}"
            yield from self._quiet()
            yield from self._rest(min(1.25 * burst / rate + 0.2, LONGEST_REST))
            yield from self._drain(operation, [0], int(min(burst + 4, 60)))
            yield from self._press(operation, 0, (3.0, 1.5)[cycle % 2] * rate, min(max(10 / rate, 2.0), 12.0))
            yield from self._quiet()
            estimate = record.infer()
            if estimate.verdict == "explained" and estimate.rate.estimate:
                rate = estimate.rate.estimate
                burst = int(estimate.burst.high or burst)
                if _sharp(estimate):
                    break
            elif cycle + 1 == _MOST_CYCLES // 2:
                # A hiccup of either machine spoils a record for good: what comes from now on is judged by itself.
                record = self.records[operation] = Record(record.admitted)
        self.found.estimates[operation] = record.infer()

    def _look(self, operation: str, record: Record) -> Generator[Step, None, float | None]:
        """Press until a dozen calls were admitted among refusals; returns about how many that is a second, or None."""
        since, until, pace = len(record.outcome), self._now + 30.0, min(30.0, 0.5 * self._max_rate)
        looked = since
        while self._now < until and not self.late:
            yield from self._press(operation, 0, pace, 0.25)
            seen = record.outcome[looked:]
            refused = record.throttled(looked)
            if len(seen) >= 20:
                if refused < 0.35 * len(seen):
                    pace, since = min(1.6 * pace, 0.95 * self._max_rate), len(record.outcome)
                elif refused > 0.9 * len(seen):
                    pace = max(pace / 1.6, 2.0)
                looked = len(record.outcome)
            if record.admissions(since) >= 12 and record.throttled(since) >= 4:
                break
        yield from self._quiet()
        return record.pace_seen(since)

    def _met(self, operation: str) -> bool:
        estimate = self.found.estimates.get(operation)
        return estimate is not None and estimate.verdict == "explained" and bool(estimate.rate.estimate)

    # --- two of them -------------------------------------------------------------------------------------------------

    def _together(self, found: Together, first: tuple[str, int], after: tuple[str, int]) -> Steps:
        """From rest, drain `first` and then try a few calls of `after`: are they admitted?"""
        rates = [self._rate(operation) for operation, _ in (first, after)]
        bursts = [self._burst(operation) for operation, _ in (first, after)]
        calls = int(min(bursts[1], _MOST_AFTER))
        for _ in range(_ROUNDS):
            if self.late:
                return
            yield from self._quiet()
            slowest = max(burst / rate for burst, rate in zip(bursts, rates, strict=True))
            yield from self._rest(min(1.2 * slowest + 0.2, LONGEST_REST))
            yield from self._drain(first[0], [first[1]], int(bursts[0]) + 6)
            yield from self._quiet()
            yield from self._top_off(first, rates[0])
            record = self.records[after[0]]
            since = len(record.outcome)
            yield from self._volley(*after, calls)
            yield from self._quiet()
            found.calls += len(record.outcome) - since
            found.admitted += record.admissions(since)
            if len(record.outcome) > since:
                emptied = max(self._refusals(first[0], since if first[0] == after[0] else None))
                found.own += 1 + rates[0] * (max(record.received[since:]) - emptied)

    def _top_off(self, lane: tuple[str, int], rate: float) -> Steps:
        """Take what has come back while the drain was answered: one call, which is refused if nothing has."""
        record = self.records[lane[0]]
        for _ in range(10):
            refused = record.throttled()
            yield from self._call(*lane)
            yield from self._quiet()
            if record.throttled() > refused or self.late:
                return

    def _refusals(self, operation: str, before: int | None) -> list[float]:
        """When calls were refused, up to attempt number `before`."""
        record = self.records[operation]
        return [at for at, outcome in zip(record.sent[:before], record.outcome[:before], strict=True) if outcome != OK]

    def _rate(self, operation: str) -> float:
        return self.found.estimates[operation].rate.estimate or 1.0

    def _burst(self, operation: str) -> float:
        return self.found.estimates[operation].burst.low or 1.0

    # --- leaving -----------------------------------------------------------------------------------------------------

    def _disconnects(self) -> Steps:
        """Leave the first chat and go on calling for it, which costs no further chat; where that is not counted, leave more.

        A throttled DisconnectParticipant leaves its chat open, so each chat serves until it is left.
        """
        record = self.records[DISCONNECT]
        self.doing = f"draining {DISCONNECT}"
        record.admitted = (OK, ACCESS_DENIED)
        yield from self._quiet()
        for calls in _DEAD_CALLS:
            yield from self._volley(DISCONNECT, 0, calls)
            yield from self._quiet()
            if record.throttled():
                yield from self._measure(DISCONNECT)
                return
        self.found.disconnects_by_chats = True
        self.records[DISCONNECT] = record = Record()
        self.doing = "starting chats to leave"
        yield from self._have(_DISCONNECTS)
        self.doing = f"leaving chats for {DISCONNECT}"
        left, pause = list(range(1, self.chats)), _FIRST_PAUSE
        while left and not self.late:
            since, tried = len(record.outcome), list(left)
            for chat in tried[:1] if record.throttled() else tried:
                yield from self._call(DISCONNECT, chat)
            if record.throttled():
                latest = record.outcome[-20:]
                if len(latest) == 20 and latest.count(OK) < 3:
                    pause = min(1.1 * pause, 0.1)
                yield from self._rest(self._rng.uniform(0.5, 1.5) * pause)
            yield from self._quiet()
            left = [chat for chat in left if chat not in self.gone]
            if len(record.outcome) == since or record.outcome[since:].count(OK) + record.throttled(since) == 0:
                break  # neither admitted nor throttled: nothing is to be learned
        self.found.estimates[DISCONNECT] = record.infer()


def _sharp(estimate: TpsEstimate) -> bool:
    low, high, rate = estimate.rate.low, estimate.rate.high, estimate.rate.estimate
    return (
        low is not None and high is not None and rate is not None and estimate.burst.exact and high - low < 0.02 * rate
    )


def _brief(estimate: TpsEstimate) -> str:
    if estimate.verdict != "explained" or estimate.rate.estimate is None:
        return "not met" if estimate.verdict == "lower_bound" else "unclear"
    return f"{estimate.rate.estimate:.4g}/s burst {estimate.burst.estimate or 0:.4g}"
