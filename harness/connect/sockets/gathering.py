"""Looks at many connections together, so that the process wakes up once for many answers and calls.

A process that wakes up for each answer finds cold caches each time, which costs more than the answer itself. While calls
leave often, answers are therefore read some at a time, along with calls that leave anyway; when each came is known from the
kernel (`Channel.arrived`), so waiting for others makes no latency longer. Calls that are due in one turn leave back to back:
the kernel then wakes the server for the first of them alone. Where calls are few, an answer is read as soon as it is there.
"""

import select
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from gevent import get_hub
from gevent.monkey import get_original

_READ = 1
OFTEN = 200.0
"""Calls a second from which answers wait for each other: then the process wakes up less often than for each by itself."""
_BETWEEN = 0.012
"""Seconds after the last look from which answers are read along with the next calls."""
_LONGEST = 0.02
"""Seconds after the last look at which they are read even if no call leaves."""
_ENOUGH = 12
"""Calls after which answers are read without waiting any longer: to read more of them at once would hold up the sends."""
_MOST = 512
"""Connections that are looked at in one turn."""


class Gathered(Protocol):
    """What a gathering does with one of its channels."""

    def awaits(self) -> bool:
        """Whether somebody waits for what comes."""

    def ready(self) -> None:
        """Go on with it: bytes have come, or the end of the stream, or an error."""

    def put(self, data: bytes) -> None:
        """Send `data` now."""

    def leave(self) -> None:
        """Look at it by itself again."""


class Gathering:
    """Channels of one thread that are looked at together.

    `awaited()` tells whether any of them waits for an answer. `begin()` and `end()` are called before and after answers are
    read: what is done with each of them may leave to `end` what is cheaper for all at once.
    """

    def __init__(self, awaited: Callable[[], bool], begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._awaited, self._begin, self._end = awaited, begin, end
        self._epoll: Any = get_original("select", "epoll")()  # patched modules have none
        self._channels: dict[int, Gathered] = {}
        loop: Any = get_hub().loop
        self._prompt = loop.io(self._epoll.fileno(), _READ)
        self._prompt.start(self.look)
        self._timer = loop.timer(_LONGEST, _LONGEST)
        self._often = self._closed = False
        self._look_at = 0.0
        self._sent = 0  # since the last look
        self._outbox: list[tuple[Gathered, bytes]] = []
        self.gathers = False
        """Whether this is a turn of calls, in which `post` may be used."""
        self.is_fresh = False
        """Whether it is such a turn, and each channel on which something came that nobody waits for was told before it."""

    def __len__(self) -> int:
        """How many channels are looked at together."""
        return len(self._channels)

    def offer(self, rate: float) -> None:
        """Expect `rate` calls a second from now on."""
        often = rate >= OFTEN and not self._closed
        if often and not self._often:
            self._prompt.stop()
            self._timer.again(self._ring)
        elif self._often and not often:
            self._timer.stop()
            if not self._closed:
                self._prompt.start(self.look)
        self._often = often

    def turn(self, make_calls: Callable[[], None]) -> None:
        """Read what has come, if it is time to, and let `make_calls` make calls, which then leave together; in the hub.

        Answers are read first, so that calls find connections and greenlets that are warm. What has come on connections that
        nobody waits at, such as their end, is found out in any case.
        """
        come = self._come()
        reads = not self._often or self._sent >= _ENOUGH or perf_counter() >= self._look_at
        if reads:
            self._read(come)
        else:
            for channel in come:
                if not channel.awaits():
                    channel.ready()
        self.gathers, self.is_fresh = True, len(come) < _MOST
        try:
            make_calls()
        finally:
            self.gathers = self.is_fresh = False
            outbox, self._outbox = self._outbox, []
            self._sent += len(outbox)
            for channel, data in outbox:
                channel.put(data)
            if self._often and (reads or not self._timer.active):
                self._timer.again(self._ring)

    def post(self, channel: Gathered, data: bytes) -> None:
        """Send `data` on the channel at the end of this turn."""
        self._outbox.append((channel, data))

    def look(self) -> None:
        """Read what has come."""
        self._read(self._come())

    def join(self, descriptor: int, channel: Gathered) -> None:
        """Look at the channel of this file descriptor with the others from now on."""
        self._channels[descriptor] = channel
        self._epoll.register(descriptor, select.POLLIN)

    def part(self, descriptor: int) -> None:
        """Look at it no more; to be called before the descriptor is closed."""
        del self._channels[descriptor]
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Give all channels back; safe to call again."""
        if self._closed:
            return
        for channel in list(self._channels.values()):
            channel.leave()
        self._closed = True
        self.offer(0.0)
        self._prompt.close()
        self._timer.close()
        self._epoll.close()

    def _come(self) -> list[Gathered]:
        """Return the channels on which there is something to read."""
        return [] if self._closed else [self._channels[each] for each, _ in self._epoll.poll(0, _MOST)]

    def _read(self, come: list[Gathered]) -> None:
        self._look_at = perf_counter() + _BETWEEN
        self._sent = 0
        if not come:
            return
        self._begin()
        try:
            for channel in come:
                channel.ready()
        finally:
            self._end()

    def _ring(self) -> None:
        self.look()
        if not self._awaited():
            self._timer.stop()


def can_gather() -> bool:
    """Whether this system can look at many connections together. The kernel must tell, besides, when bytes came."""
    try:
        get_original("select", "epoll")
    except (AttributeError, KeyError):
        return False
    return True
