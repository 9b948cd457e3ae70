"""What all websockets of a process share: heartbeats, deadlines, and the greenlet that tells what was heard."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event

from harness.connect.client import now
from harness.connect.timed_calls import TimedCalls
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
        self._beats = TimedCalls()
        self._news: deque[Callable[[], None]] = deque()
        self._heard = Event()
        self._deadlines: dict[float, Deadlines] = {}
        self._telling = gevent.spawn(self._tell)

    def add(self, socket: _Beating) -> None:
        """Beat for `socket` now and from now on, until it is closed or lost."""
        if socket.beat():
            self._beats.add(now() + self._every, lambda _: self.add(socket))

    def tell(self, news: Callable[[], None]) -> None:
        """Call `news` soon, after all that was to be told before."""
        self._news.append(news)
        self._heard.set()

    def deadlines(self, seconds: float) -> Deadlines:
        """Return the deadlines of all that may take so long."""
        return self._deadlines.setdefault(seconds, Deadlines(seconds))

    def close(self) -> None:
        """No more heartbeats, and nothing more is told."""
        self._beats.close()
        self._telling.kill(block=False)

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
