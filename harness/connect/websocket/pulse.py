"""What all websockets of a process share: heartbeats, deadlines, and the greenlet that tells what was heard."""

import heapq
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event

from harness.connect.client import now
from harness.connect.transport import Deadlines

HEARTBEAT_EVERY = 10.0

logger = logging.getLogger(__name__)


class _Beating(Protocol):
    def beat(self) -> bool:
        """Send a heartbeat; False when no more are to be sent."""


class Pulse:
    """Sends the heartbeats of any number of sockets from one greenlet, each in its own rhythm, and tells from another what
    they heard, in its order: what is told may wait, which the hub that reads the sockets must not.
    """

    def __init__(self, every: float = HEARTBEAT_EVERY) -> None:
        self._every = every
        self._due: list[tuple[float, int, _Beating]] = []
        self._number = 0
        self._changed = Event()
        self._news: deque[Callable[[], None]] = deque()
        self._heard = Event()
        self._deadlines: dict[float, Deadlines] = {}
        self._greenlets = [gevent.spawn(self._run), gevent.spawn(self._tell)]

    def add(self, socket: _Beating) -> None:
        """Beat for `socket` now and from now on, until it is closed or lost."""
        if socket.beat():
            self._push(socket)
            self._changed.set()

    def tell(self, news: Callable[[], None]) -> None:
        """Call `news` soon, after all that was to be told before."""
        self._news.append(news)
        self._heard.set()

    def deadlines(self, seconds: float) -> Deadlines:
        """Return the deadlines of all that may take so long."""
        return self._deadlines.setdefault(seconds, Deadlines(seconds))

    def close(self) -> None:
        """No more heartbeats, and nothing more is told."""
        gevent.killall(self._greenlets, block=False)

    def _push(self, socket: _Beating) -> None:
        self._number += 1
        heapq.heappush(self._due, (now() + self._every, self._number, socket))

    def _run(self) -> None:
        while True:
            wait = self._due[0][0] - now() if self._due else None
            if wait is None or wait > 0:
                self._changed.clear()
                self._changed.wait(wait)
                continue
            socket = heapq.heappop(self._due)[2]
            if socket.beat():
                self._push(socket)

    def _tell(self) -> None:
        while True:
            self._heard.clear()
            while self._news:
                news = self._news.popleft()
                try:
                    news()
                except Exception:  # of one conversation, which must not silence all others
                    logger.exception("a conversation broke off")
            self._heard.wait()
