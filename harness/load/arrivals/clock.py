"""The time of what waits, given to it, so that tests can let hours pass in a moment."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import gevent
from gevent.event import Event

from harness.connect.client import move_clock, now
from harness.load.arrivals.greenlets import Alarm


class Timer(Protocol):
    """Rings at the moment that it was last set to (`harness.load.arrivals.greenlets.Alarm`)."""

    def set(self, seconds: float) -> None:
        """Ring in `seconds`, and at no other time that was set before."""

    def close(self) -> None:
        """Never ring again."""


def _wait(event: Event, seconds: float) -> bool:
    return bool(event.wait(seconds))


@dataclass(frozen=True)
class Clock:
    """Tells the time and waits. `now()` gives unix seconds that never step, `sleep(seconds)` lets other greenlets run,
    `alarm(ring)` makes a timer, and `wait(event, seconds)` returns whether the event came in time. `move(seconds)` lets
    `now` be so much later, for who has nothing going on.
    """

    now: Callable[[], float] = now
    sleep: Callable[[float], object] = gevent.sleep
    alarm: Callable[[Callable[[], None]], Timer] = Alarm
    wait: Callable[[Event, float], bool] = _wait
    move: Callable[[float], None] = move_clock


CLOCK = Clock()
"""The time of the machine."""
