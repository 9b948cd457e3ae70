"""Many calls cheaply on gevent's loop: an alarm that is set again and again, greenlets that are used again."""

import sys
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub


class Alarm:
    """Calls `ring()` in gevent's hub at the moment that it was last set to. `ring` must not wait."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = get_hub().loop
        self._timer: Any = None
        self._closed = False

    def set(self, seconds: float) -> None:
        """Ring in `seconds`, and at no other time that was set before."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.close()
        self._timer = self._loop.timer(max(seconds, 0.0))
        self._timer.start(self._ring, update=True)

    def close(self) -> None:
        """Never ring again."""
        self._closed = True
        if self._timer is not None:
            self._timer.close()


class Crew:
    """Greenlets that each run `work(job)` for one job after another.

    A greenlet that has done its job waits for the next one, which it takes at the cost of a switch; a new greenlet costs
    ten times that. There are as many as have ever been busy at once. `hand` is for code that runs in the hub, such as an
    alarm's `ring`: the job begins at once and runs until it first waits.
    """

    def __init__(self, work: Callable[[Any], None]) -> None:
        self._work = work
        self._hub = get_hub()
        self._free: list[Any] = []
        self._dismissed = False

    def hand(self, job: Any) -> None:
        """Have a greenlet do `job`."""
        if self._free:
            self._free.pop().switch(job)
        else:
            gevent.spawn(self._serve, job)

    def dismiss(self) -> None:
        """End the greenlets that have nothing to do, and each other one once it has done its job."""
        self._dismissed = True
        gevent.killall(self._free, block=False)
        self._free = []

    def _serve(self, job: Any) -> None:
        me = gevent.getcurrent()
        while True:
            try:
                self._work(job)
            except Exception:  # one job's fault is said as gevent says it, and ends no other job
                self._hub.handle_error(me, *sys.exc_info())
            if self._dismissed:
                return
            self._free.append(me)
            job = self._hub.switch()
