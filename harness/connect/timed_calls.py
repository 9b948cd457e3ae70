"""Calls back at deadlines that all lie equally far ahead when they are set."""

from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import Event

from harness.connect.client import now


class TimedCalls:
    """Calls back at deadlines that come in the order in which they were added, all from one greenlet."""

    def __init__(self) -> None:
        self._due: deque[tuple[float, Callable[[float], None]]] = deque()
        self._changed = Event()
        self._greenlet = gevent.spawn(self._run)

    def add(self, at: float, call: Callable[[float], None]) -> None:
        """Call `call(now)` at `at` (unix s), which is no earlier than those added before."""
        self._due.append((at, call))
        if len(self._due) == 1:
            self._changed.set()

    def close(self) -> None:
        """Call nothing more."""
        self._greenlet.kill()

    def _run(self) -> None:
        while True:
            wait = self._due[0][0] - now() if self._due else None
            if wait is None or wait > 0:
                self._changed.clear()
                self._changed.wait(wait)
                continue
            _, call = self._due.popleft()
            call(now())
