"""Waiting at little cost on gevent's loop: a signal that greenlets wait for, and calls at deadlines.

gevent's Event and Timeout, which make an object for each wait and end a wait in vain with an exception, took a tenth of what
a conversation cost.
"""

import heapq
import logging
from collections.abc import Callable
from math import inf
from typing import Any

from gevent import get_hub, getcurrent

from harness.connect.client import now

logger = logging.getLogger(__name__)

_MOST_CANCELLED = 1000
"""Cancelled calls that are kept, as numbers, until their time has come."""


class _Wait:
    """One wait of a greenlet: a wake-up that comes too late for it must not end the greenlet's next one."""

    __slots__ = ("greenlet",)

    def __init__(self, greenlet: Any) -> None:
        self.greenlet = greenlet


class Signal:
    """What gevent's Event is, for the greenlets of one thread: `wait` returns once it is set, or after some seconds."""

    __slots__ = ("_loop", "_set", "_waiting")

    def __init__(self) -> None:
        self._loop: Any = get_hub().loop
        self._set = False
        self._waiting: list[_Wait] = []

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._set

    def set(self) -> None:
        """Wake all that wait; who comes later does not wait until it is cleared."""
        if not self._set:
            self._set = True
            for waits in self._waiting:
                self._loop.run_callback(self._wake, waits)

    def clear(self) -> None:
        """Let those that come from now on wait again."""
        self._set = False

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, `seconds` at most; whether it is set."""
        if self._set:
            return True
        waits, timer = _Wait(getcurrent()), None
        if seconds is not None:
            timer = self._loop.timer(max(seconds, 0.0))
            timer.start(waits.greenlet.switch, update=True)
        self._waiting.append(waits)
        try:
            get_hub().switch()
        finally:
            self._waiting.remove(waits)
            if timer is not None:
                timer.close()
        return self._set

    def _wake(self, waits: _Wait) -> None:
        if waits in self._waiting:  # it may have been killed, or its time was over in the same moment
            waits.greenlet.switch()


class TimedCalls:
    """Calls back in gevent's hub at given times, or up to `together` seconds later, with one timer. A call must not wait."""

    def __init__(self, together: float = 0.0) -> None:
        self._together = together
        self._due: list[tuple[float, int]] = []  # a heap
        self._calls: dict[int, Callable[[float], None]] = {}
        self._number = 0
        self._loop: Any = get_hub().loop
        self._timer: Any = None
        self._rings_at = inf
        self._closed = False

    def add(self, at: float, call: Callable[[float], None]) -> int:
        """Call `call(now)` at `at` (unix s). Returns the number by which the call can be cancelled."""
        self._number += 1
        if not self._closed:
            self._calls[self._number] = call
            heapq.heappush(self._due, (at, self._number))
            if at < self._rings_at:
                self._arm(at)
        return self._number

    def cancel(self, number: int) -> None:
        """Drop a call that is not wanted any more, and what it holds. Its time may have come."""
        self._calls.pop(number, None)
        if len(self._due) > 2 * len(self._calls) + _MOST_CANCELLED:
            self._due = [entry for entry in self._due if entry[1] in self._calls]
            heapq.heapify(self._due)

    def close(self) -> None:
        """Call nothing more."""
        self._closed = True
        self._due.clear()
        self._calls.clear()
        self._disarm()

    def _arm(self, at: float) -> None:
        self._disarm()
        self._rings_at = at
        self._timer = self._loop.timer(max(at - now(), 0.0) + self._together)
        self._timer.start(self._ring, update=True)

    def _disarm(self) -> None:
        self._rings_at = inf
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _ring(self) -> None:
        while self._due and self._due[0][0] <= now():
            call = self._calls.pop(heapq.heappop(self._due)[1], None)
            if call is None:
                continue
            try:
                call(now())
            except Exception:  # of one conversation, which must not silence all others
                logger.exception("a conversation broke off")
        while self._due and self._due[0][1] not in self._calls:
            heapq.heappop(self._due)
        self._disarm()
        if self._due:
            self._arm(self._due[0][0])
