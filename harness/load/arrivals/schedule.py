"""Sends the arrivals of one process when they are due, each in a greenlet of its own."""

import random
from collections.abc import Callable
from math import inf
from typing import Protocol

from gevent.event import Event

from harness.load.arrivals.arrivals import Arrivals
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.arrivals.greenlets import Crew

_AT_ONCE = 32  # arrivals that are overdue together; then the answers that have come in have their turn
_LONGEST_SLEEP = 3600.0
_PROMPT = 0.1  # seconds: what is sent within them of its due time is on time, however close it comes to its neighbours
_CATCH_UP = 2.0  # times the offered rate at which missed arrivals leave, so that a stall does not end in a volley
_TIMER = 0.01  # seconds by which an alarm may ring late without slowing that down


class Turns(Protocol):
    """What arrivals that are due at the same time have in common (`harness.connect.sockets.gathering.Gathering`)."""

    def offer(self, rate: float) -> None:
        """Expect `rate` arrivals a second from now on."""

    def turn(self, make_calls: Callable[[], None]) -> None:
        """Have `make_calls` make the calls that are due."""


class _EachByItself:
    def offer(self, rate: float) -> None:
        pass

    def turn(self, make_calls: Callable[[], None]) -> None:
        make_calls()


class Schedule:
    """One open schedule for all Locust users of a process.

    `start(due)` runs in a greenlet of its own for each arrival, so a slow answer never delays the next start. Arrivals that
    come while `max_in_flight` calls are on the wire, or that are over `max_late` seconds late (a process that was stopped
    or starved), are dropped and counted, by the unix second that they were due in. Those that are less late leave at no
    more than twice the rate that is offered. `turns` takes those that are due together. `clock` gives unix seconds.
    """

    def __init__(
        self,
        start: Callable[[float], object],
        spacing: str,
        rng: random.Random,
        max_in_flight: int,
        offset: float = 0.0,
        max_late: float = inf,
        clock: Clock = CLOCK,
        turns: Turns | None = None,
    ) -> None:
        self._start = start
        self._turns: Turns = _EachByItself() if turns is None else turns
        self._arrivals = Arrivals(spacing, clock.now(), rng, offset)
        self._max_in_flight = max_in_flight
        self._max_late = max_late
        self._clock = clock
        self.dropped_late = 0
        self._idle = Event()
        self._idle.set()
        self.in_flight = 0
        self.offered = 0
        self.dropped_by_second: dict[int, int] = {}
        self._offering_since: float | None = None
        self._offering_until: float | None = None
        self._not_before = 0.0  # when the next late arrival may leave
        self._crew = Crew(self._one)
        self._alarm = clock.alarm(self._ring)

    def set_rate(self, rate: float) -> None:
        """Offer `rate` arrivals per second from now on."""
        at = self._clock.now()
        self._turns.offer(rate)
        self._arrivals.set_rate(max(rate, 0.0), at)
        if rate > 0:
            self._offering_since = self._offering_since or at
            self._offering_until = None
        elif self._offering_since and self._offering_until is None:
            self._offering_until = at
        self._set_alarm()

    @property
    def offering_seconds(self) -> float:
        """Seconds from the first arrival's chance to the end of the schedule, or to now."""
        if self._offering_since is None:
            return 0.0
        return (self._offering_until or self._clock.now()) - self._offering_since

    @property
    def dropped(self) -> int:
        """Arrivals that were not sent: too many calls were on the wire, or they were too late."""
        return sum(self.dropped_by_second.values())

    def stop(self) -> None:
        """No more arrivals; calls in flight go on."""
        self.set_rate(0.0)
        self._alarm.close()
        self._crew.dismiss()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no call is in flight; False when `timeout` seconds were not enough."""
        return self._clock.wait(self._idle, timeout) or self.in_flight == 0

    def _set_alarm(self) -> None:
        self._alarm.set(min(self._arrivals.next_due() - self._clock.now(), _LONGEST_SLEEP))

    def _ring(self) -> None:
        self._turns.turn(self._send_due)

    def _send_due(self) -> None:
        for _ in range(_AT_ONCE):
            due = self._arrivals.next_due()
            at = self._clock.now()
            if due > at:
                break
            late = at - due > self._max_late
            if not late and at - due > _PROMPT and not self._may_catch_up(at):
                self._alarm.set(self._not_before - at)
                return
            self._arrivals.advance()
            self.offered += 1
            if late or self.in_flight >= self._max_in_flight:
                self.dropped_late += late
                second = int(due)
                self.dropped_by_second[second] = self.dropped_by_second.get(second, 0) + 1
                continue
            self.in_flight += 1
            self._idle.clear()
            self._crew.hand(due)
        self._set_alarm()

    def _may_catch_up(self, at: float) -> bool:
        """Take the turn of a late arrival, if one is free at `at`, unix seconds."""
        if at < self._not_before:
            return False
        self._not_before = max(self._not_before, at - _TIMER) + 1.0 / (_CATCH_UP * self._arrivals.rate)
        return True

    def _one(self, due: float) -> None:
        try:
            self._start(due)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()
