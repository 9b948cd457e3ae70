"""How answers leave a connection: with few system calls, and without waking a client more often than need be."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

# Answers that wait for each other at most: the gain is nearly whole, and the first is late by less than a millisecond.
_MOST_WAITING = 16


class Transport(Protocol):
    """What sends bytes."""

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""

    def write(self, data: bytes) -> None:
        """Send `data`, or keep it until it can be sent."""


class Outbox:
    """Answers to calls that came at once, of any connections, sent one after the other once all of them are answered.

    To wake a client that sleeps costs the kernel as much as the rest of sending. One that waits for many answers, as a
    load generator does, is woken by the first and finds the others before it sleeps again.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Transport, bytes]] = []

    def put(self, transport: Transport, answer: bytes) -> None:
        """Send `answer` before the turn of the event loop ends, after what was put before."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self.send)
        waiting.append((transport, answer))
        if len(waiting) >= _MOST_WAITING:
            self.send()

    def send(self) -> None:
        """Send what waits, but to clients that have gone in the meantime."""
        waiting, self._waiting = self._waiting, []
        for transport, answer in waiting:
            if not transport.is_closing():
                transport.write(answer)


class CoalescingTransport:
    """A transport that sends what is written in one turn of the event loop with one system call.

    uvicorn writes head and body apart; as two packets they wake a client twice.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._outbox = outbox
        self._pending: list[bytes] = []
        self.is_closing: Callable[[], bool] = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._call_soon(self._flush)
        self._pending.append(data)

    def write_whole(self, answer: bytes) -> None:
        """Write a whole answer: it waits for other answers only, and for what was written before it."""
        if self._pending:
            self._pending.append(answer)
        else:
            self._outbox.put(self._transport, answer)

    def close(self) -> None:
        self._outbox.send()
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            if not self._transport.is_closing():  # the client may have gone in the meantime
                self._transport.write(b"".join(pending))


def reset(transport: Any) -> None:
    """Close a connection with a TCP reset, as a crashed peer does."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
