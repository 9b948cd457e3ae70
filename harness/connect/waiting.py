"""Waiting at little cost on gevent's loop: a signal that greenlets wait for, and calls at deadlines.

gevent's Event and Timeout, which make an object for each wait and end a wait in vain with an exception, took a tenth of what
a conversation cost.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent

from harness.connect.client import now

logger = logging.getLogger(__name__)


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
    """Calls back in gevent's hub at deadlines that all lie equally far ahead when they are added. A call must not wait."""

    def __init__(self) -> None:
        self._due: deque[tuple[float, Callable[[float], None]]] = deque()
        self._loop: Any = get_hub().loop
        self._timer: Any = None
        self._closed = False

    def add(self, at: float, call: Callable[[float], None]) -> None:
        """Call `call(now)` at `at` (unix s), which is no earlier than those added before."""
        self._due.append((at, call))
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Call nothing more."""
        self._closed = True
        self._due.clear()
        if self._timer is not None:
            self._timer.close()

    def _arm(self) -> None:
        if self._due and not self._closed:
            self._timer = self._loop.timer(max(self._due[0][0] - now(), 0.0))
            self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        while self._due and self._due[0][0] <= now():
            _, call = self._due.popleft()
            try:
                call(now())
            except Exception:  # of one conversation, which must not silence all others
                logger.exception("a conversation broke off")
        self._timer.close()
        self._timer = None
        self._arm()
