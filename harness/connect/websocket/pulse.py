"""What all websockets of a process share: heartbeats and deadlines."""

from typing import Protocol

from harness.connect.client import now
from harness.connect.transport import Deadlines
from harness.connect.waiting import TimedCalls

HEARTBEAT_EVERY = 10.0


class _Beating(Protocol):
    def beat(self) -> bool:
        """Send a heartbeat; False when no more are to be sent."""


class Pulse:
    """Sends the heartbeats of any number of sockets with one timer, each in its own rhythm."""

    def __init__(self, every: float = HEARTBEAT_EVERY) -> None:
        self._every = every
        self._beats = TimedCalls()
        self._deadlines: dict[float, Deadlines] = {}

    def add(self, socket: _Beating) -> None:
        """Beat for `socket` now and from now on, until it is closed or lost."""
        if socket.beat():
            self._beats.add(now() + self._every, lambda _: self.add(socket))

    def deadlines(self, seconds: float) -> Deadlines:
        """Return the deadlines of all that may take so long."""
        return self._deadlines.setdefault(seconds, Deadlines(seconds))

    def close(self) -> None:
        """No more heartbeats."""
        self._beats.close()
