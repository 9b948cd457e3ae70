"""When bytes arrived, as the kernel tells: the moment does not depend on when this process comes to read them.

Linux notes it for each packet, on the wall clock, and hands it out with the bytes (`SO_TIMESTAMPNS`, since 5.1 in the form
that is used here; https://docs.kernel.org/networking/timestamping.html). Elsewhere, and for the first packets after it was
asked for, it is not known.
"""

import _socket  # the standard library's own layer is patched by gevent, and nothing here has to wait
import struct
import sys
from functools import lru_cache
from socket import AF_INET, SOCK_DGRAM, SOL_SOCKET
from time import perf_counter, time
from typing import Any

_SO_TIMESTAMPNS = 64
_MOMENT = struct.Struct("@qq")
_AGREE = 1e-3
"""Seconds by which a time stamp may lie outside of the moments just before and after it."""
TOLD_BYTES = 64
"""Room for what the kernel tells with bytes that are received."""

Told = list[tuple[int, int, bytes]]
"""What it told: the ancillary data of `recvmsg`."""


def ask(sock: Any) -> None:
    """Ask the kernel to tell of this socket when bytes came, where it can, and where it and this process read one clock.

    What it does not tell is told by the moment of reading.
    """
    if not _on_one_clock():
        return
    try:
        sock.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:  # not a socket of the kernel's own
        pass


@lru_cache(maxsize=1)
def _on_one_clock() -> bool:
    """Return whether the kernel's time stamps are of the clock that this process reads; libfaketime gives it another."""
    if sys.platform != "linux":
        return False
    try:
        sock = _socket.socket(AF_INET, SOCK_DGRAM)
        try:
            sock.bind(("127.0.0.1", 0))
            sock.connect(sock.getsockname())
            sock.settimeout(0.1)
            sock.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            before = time()
            sock.send(b"?")
            _, told, _, _ = sock.recvmsg(1, TOLD_BYTES)
            return before - _AGREE <= _wall(told[0][2]) <= time() + _AGREE
        finally:
            sock.close()
    except (OSError, IndexError, struct.error):  # an older kernel, or no address to try it on
        return False


def moment(told: Told, earliest: float) -> float:
    """Return when the bytes that came with `told` arrived, on the clock of `perf_counter`: not before `earliest`, and now
    where the kernel has told nothing.

    Both clocks are read here, so a wall clock that is corrected between arrival and reading bends the moment by no more than
    the bytes have waited.
    """
    at = perf_counter()
    if not told or told[0][1] != _SO_TIMESTAMPNS:
        return at
    return min(max(at - (time() - _wall(told[0][2])), earliest), at)


def _wall(told: bytes) -> float:
    seconds: int
    nanoseconds: int
    seconds, nanoseconds = _MOMENT.unpack(told)
    return seconds + nanoseconds * 1e-9
