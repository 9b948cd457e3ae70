"""When bytes arrived, as the kernel tells: the moment does not depend on when this process comes to read them.

Linux notes it for each packet, on the wall clock, and hands it out with the bytes (`SO_TIMESTAMPNS`, since 5.1 in the form
that is used here; https://docs.kernel.org/networking/timestamping.html). Elsewhere, and for the first packets after it was
asked for, it is not known.
"""

import struct
import sys
from socket import SOL_SOCKET
from time import perf_counter, time
from typing import Any

_SO_TIMESTAMPNS = 64
_MOMENT = struct.Struct("@qq")
TOLD_BYTES = 64
"""Room for what the kernel tells with bytes that are received."""

Told = list[tuple[int, int, bytes]]
"""What it told: the ancillary data of `recvmsg`."""


def ask(sock: Any) -> None:
    """Ask the kernel to tell of this socket when bytes came, where it can."""
    if sys.platform == "linux":
        try:
            sock.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:  # an older kernel: what it does not tell is told by the moment of reading
            pass


def moment(told: Told, earliest: float) -> float:
    """Return when the bytes that came with `told` arrived, on the clock of `perf_counter`: not before `earliest`, and now
    where the kernel has told nothing.

    Both clocks are read here, so a wall clock that is corrected between arrival and reading bends the moment by no more than
    the bytes have waited.
    """
    at = perf_counter()
    if not told or told[0][1] != _SO_TIMESTAMPNS:
        return at
    seconds: int
    nanoseconds: int
    seconds, nanoseconds = _MOMENT.unpack(told[0][2])
    return min(max(at - (time() - seconds - nanoseconds * 1e-9), earliest), at)
