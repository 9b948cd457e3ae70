"""uvicorn's end of a websocket, except that a client that sends very much at once takes few turns from the others."""

import asyncio
import collections
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_SLICE = 4096
"""Bytes that are taken apart in one turn of the event loop: some hundred small frames. One read can bring 256 kB."""


class _Turns:
    """Lets one of those that wait go on in each turn of the event loop, first come, first served."""

    def __init__(self) -> None:
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def take(self) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._next, loop)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._waiting.popleft()
        if not turn.done():  # who waited may have been cancelled
            turn.set_result(None)
        if self._waiting:
            loop.call_soon(self._next, loop)


_TURNS = _Turns()


class FairWebSocket(WebSocketsSansIOProtocol):
    """One websocket. Of all that have more than one frame waiting, one gets a frame answered in each turn of the loop."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take apart a slice of what came, and keep the rest for later turns; the client waits meanwhile."""
        if self.close_sent:  # nobody receives any more: what is left is looked through for the client's close
            rest, self._rest = self._rest, b""
            super().data_received(rest + data)
        elif self._rest:
            self._rest += data
        else:
            self._take(data)

    async def receive(self) -> Any:
        """Return the next frame of the client as an ASGI event."""
        if not self.queue.empty():
            await _TURNS.take()
        message = await super().receive()
        if self._rest and self.queue.empty():
            self._pause()
            self.loop.call_soon(self._go_on)
        return message

    def _take(self, data: bytes) -> None:
        self._rest = data[_SLICE:]
        super().data_received(data[:_SLICE])
        if self._rest and self.queue.empty():  # a slice of a long frame
            self._pause()
            self.loop.call_soon(self._go_on)
        elif not self._rest and self.queue.empty() and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _go_on(self) -> None:
        if self._rest and self.queue.empty() and not self.transport.is_closing():
            rest, self._rest = self._rest, b""
            self._take(rest)

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
