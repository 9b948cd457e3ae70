"""What all websockets of a process share: heartbeats and deadlines."""

from typing import Protocol

from harness.connect.client import now
from harness.connect.transport import Deadlines
from harness.connect.waiting import TimedCalls

HEARTBEAT_EVERY = 10.0
_TOGETHER = 0.1
"""Seconds by which heartbeats may be late, so that many are sent together."""


class _Beating(Protocol):
    def beat(self) -> bool:
        """Send a heartbeat; False when no more are to be sent."""


class Pulse:
    """Sends the heartbeats of any number of sockets with one timer, each in its own rhythm."""

    def __init__(self, every: float = HEARTBEAT_EVERY) -> None:
        self._every = every
        self._beats = TimedCalls(_TOGETHER)
        self._next: dict[_Beating, int] = {}
        self._deadlines: dict[float, Deadlines] = {}

    def add(self, socket: _Beating) -> None:
        """Beat for `socket`, which has just beaten itself, until it is dropped."""
        self._next[socket] = self._beats.add(now() + self._every, lambda _: self._beat(socket))

    def drop(self, socket: _Beating) -> None:
        """Beat no more for `socket`, if it was beaten for."""
        number = self._next.pop(socket, None)
        if number is not None:
            self._beats.cancel(number)

    def deadlines(self, seconds: float) -> Deadlines:
        """Return the deadlines of all that may take so long."""
        return self._deadlines.setdefault(seconds, Deadlines(seconds))

    def close(self) -> None:
        """No more heartbeats."""
        self._beats.close()

    def _beat(self, socket: _Beating) -> None:
        self.drop(socket)
        if socket.beat():
            self.add(socket)
