"""Time that passes when a test says so: a clock for whatever waits in the load generator."""

import heapq
from collections.abc import Callable
from itertools import count
from time import monotonic

import gevent
from gevent import get_hub
from gevent.event import Event

from harness.load.arrivals.clock import Clock

_STEPS = 100_000
_POLL = 0.01
_LONGEST_THREAD = 30.0


class VirtualTime:
    """Unix seconds from `start` on. Greenlets run as ever; only waiting takes no time, once `run` lets it pass."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.at = start
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self.clock = Clock(
            now=lambda: self.at,
            sleep=self._sleep,
            alarm=lambda ring: _Alarm(self, ring),
            wait=self._wait,
            move=self.stall,
        )

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Call `what()` in `seconds`."""
        heapq.heappush(self._due, (self.at + max(seconds, 0.0), next(self._order), what))

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing of this process runs."""
        self.at += seconds

    def run(self, seconds: float | None = None, until: Callable[[], object] = lambda: False) -> None:
        """Let `seconds` pass, or time until something has happened. Raises AssertionError where it does not happen."""
        end = float("inf") if seconds is None else self.at + seconds
        patience = _Patience()
        for _ in range(_STEPS):
            _let_others_run()
            if until():
                return
            if not self._due or self._due[0][0] > end:
                if seconds is not None:
                    self.at = end
                    return
                assert patience.remaining() > 0, "nothing is due any more, and it has not happened"
                gevent.sleep(0.001)  # a thread of the machine's own may be at work, such as one that writes a file
                continue
            at, _, what = heapq.heappop(self._due)
            self.at = max(self.at, at)
            what()
        raise AssertionError(f"it has not happened within {_STEPS} steps")

    def finish(self, greenlet: "gevent.Greenlet[..., object]") -> object:
        """Let time pass until `greenlet` has ended, and return what it returned."""
        self.run(until=greenlet.ready)
        return greenlet.get()

    def _sleep(self, seconds: float) -> None:
        over = Event()
        self.after(seconds, over.set)
        over.wait()

    def _wait(self, event: Event, seconds: float) -> bool:
        give_up = self.at + seconds
        while not event.is_set() and self.at < give_up:
            self._sleep(min(max(seconds / 20, _POLL), give_up - self.at))
        return bool(event.is_set())


class _Alarm:
    """Rings in gevent's hub, as the real one does."""

    def __init__(self, time: VirtualTime, ring: Callable[[], None]) -> None:
        self._time = time
        self._ring = ring
        self._set = 0
        self._closed = False

    def set(self, seconds: float) -> None:
        self._set += 1
        number = self._set
        self._time.after(seconds, lambda: self._ring_if(number))

    def close(self) -> None:
        self._closed = True

    def _ring_if(self, number: int) -> None:
        if number == self._set and not self._closed:
            get_hub().loop.run_callback(self._ring)


class _Patience:
    def __init__(self) -> None:
        self._until = monotonic() + _LONGEST_THREAD

    def remaining(self) -> float:
        return self._until - monotonic()


def _let_others_run() -> None:
    for _ in range(4):
        gevent.sleep(0)
