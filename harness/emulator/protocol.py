"""The emulator's end of an HTTP connection: uvicorn's, with AWS's answer to broken HTTP and a limit on dawdling."""

import asyncio
import socket
import struct
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Real seconds that a request may take to arrive; a client that stops half-way must not hold a connection for ever.
ARRIVAL_LIMIT = 20.0


class ConnectionProtocol(HttpToolsProtocol):
    """One connection."""

    _arrival: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # The application resets or aborts connections through this (faults), and each request's scope carries it.
        self.app_state = {**self.app_state, "transport": transport}

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._arrival is None:
            self._arrival = self.loop.call_later(ARRIVAL_LIMIT, self._late)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._arrived()
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self.send_400_response("Bad Request")
        except httptools.HttpParserError:
            self._arrived()
            self.send_400_response("Bad Request")

    def on_message_complete(self) -> None:
        self._arrived()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """A request that is not HTTP: AWS's front answers a 400 without an operation and closes."""
        if not self.transport.is_closing():
            self._refuse(400, b"BadRequestException", msg)

    def _late(self) -> None:
        self._arrival = None
        if not self.transport.is_closing() and (self.cycle is None or not self.cycle.response_started):
            self._refuse(408, b"RequestTimeoutException", "Request Timeout")

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _refuse(self, status: int, kind: bytes, message: str) -> None:
        body = b'{"message":"%b"}' % message.encode()
        head = [b"HTTP/1.1 %d %b" % (status, message.encode())]
        head += [b"%b: %b" % header for header in self.server_state.default_headers]
        head += [
            b"x-amzn-requestid: 00000000-0000-4000-8000-000000000000",
            b"x-amzn-errortype: " + kind,
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()


def reset(transport: Any) -> None:
    """Close a connection with a TCP reset, as a crashed peer does."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
