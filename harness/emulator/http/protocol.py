"""The emulator's end of an HTTP connection: uvicorn's, with AWS's answer to broken HTTP and limits on slow clients."""

import asyncio
import itertools
import socket
import struct
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harness.emulator.api.responses import Headers

# More than any client of AWS sends, little enough that a client that never ends its headers cannot fill the memory.
_LONGEST_HEAD = 65_536
_CONNECTIONS = itertools.count()


class DirectCaller(Protocol):
    """The application, as far as a connection talks to it without ASGI."""

    max_body: int
    arrival_timeout: float

    def request_id(self) -> bytes:
        """Return the id of one more answer."""

    def answers_directly(self, url: bytes) -> bool:
        """Whether a call to `url` may be answered without ASGI."""

    def direct(
        self,
        method: str,
        url: bytes,
        headers: Headers,
        body: bytes | None,
        common: Headers,
        connection: int,
        keep_alive: bool,
    ) -> bytes:
        """Return the whole answer, `common` headers included; a `body` of None is one that was too long."""


class CoalescingTransport:
    """A transport that sends what is written in one turn of the event loop with one system call.

    uvicorn writes head and body apart; as two packets they wake a client twice.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._pending: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pending:
            self._call_soon(self._flush)
        self._pending.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, []
            self._transport.write(b"".join(pending))


class ConnectionProtocol(HttpToolsProtocol):
    """One connection.

    A plain call is answered in the turn in which its last byte arrives: an ASGI task, its events and its messages
    would cost more than the call itself. Everything else (websockets, the emulator's own pages, delays and faults,
    `Expect`, a call behind one that is still being answered) goes uvicorn's usual way to the ASGI application.
    """

    _arrival: asyncio.TimerHandle | None = None
    _direct = False
    _head_bytes = 0
    _in_head = True
    _declined = False

    def connection_made(self, transport: Any) -> None:
        transport = CoalescingTransport(transport, self.loop)
        super().connection_made(transport)
        # The application resets or aborts connections through this (faults), and each request's scope carries it.
        self._connection = next(_CONNECTIONS)
        self.app_state = {**self.app_state, "transport": transport, "connection": self._connection}
        self._caller: DirectCaller = self.config.app  # type: ignore[assignment]
        self._arrival = self.loop.call_later(self._caller.arrival_timeout, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._arrived()
            self.send_400_response("Bad Request")
        if self._in_head and self._head_bytes > _LONGEST_HEAD and not self.transport.is_closing():
            self._refuse(431, b"RequestHeaderFieldsTooLargeException", "Request Header Fields Too Large")

    def _upgrade(self, rest: bytes) -> None:
        """Note that a websocket is opened; any other protocol is not taken up, as RFC 9110 allows, and the call is
        answered.
        """
        self._arrived()
        if self._should_upgrade():
            self.handle_websocket_upgrade()
        elif self.parser.get_method() == b"CONNECT":
            self.send_400_response("Bad Request")
        elif not self.transport.is_closing():
            # The parser takes what follows for the other protocol: a new one reads the call again, without the offer.
            head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
            head += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._direct = False
        self._arrived()
        self._arrival = self.loop.call_later(self._caller.arrival_timeout, self._late)

    def on_headers_complete(self) -> None:
        parser = self.parser
        self._in_head, self._head_bytes = False, 0
        upgrade = parser.should_upgrade()
        self._declined = upgrade and not self._should_upgrade() and parser.get_method() != b"CONNECT"
        if self._declined:  # see _upgrade
            return
        if (
            not upgrade
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self._caller.answers_directly(self.url)
        ):
            self._direct = True
            self._keep = parser.get_http_version() == "1.1" and parser.should_keep_alive()
            self._body: list[bytes] = []
            self._size = 0
            return
        # uvicorn makes a scope when a message begins, and looks at these when its headers are complete.
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._direct:
            super().on_body(body)
            return
        self._size += len(body)
        if self._size <= self._caller.max_body:
            self._body.append(body)
        elif self._size > 4 * self._caller.max_body + 1_000_000:
            self.transport.close()

    def on_message_complete(self) -> None:
        self._arrived()
        self._in_head = True
        if self._declined:
            return
        if not self._direct:
            super().on_message_complete()
            return
        if self.transport.is_closing():
            return
        long = self._size > self._caller.max_body
        method = self.parser.get_method().decode("ascii")
        keep = self._keep and not long
        self.transport.write(
            self._caller.direct(
                method,
                self.url,
                self.headers,
                None if long else b"".join(self._body),
                self.server_state.default_headers,
                self._connection,
                keep,
            )
        )
        if keep:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP: AWS's front answers a 400 without an operation and closes."""
        if not self.transport.is_closing():
            self._refuse(400, b"BadRequestException", msg)

    def _late(self) -> None:
        self._arrival = None
        if self.transport.is_closing():
            return
        if self._direct or self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._refuse(408, b"RequestTimeoutException", "Request Timeout")
        else:
            self.transport.close()

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _refuse(self, status: int, kind: bytes, message: str) -> None:
        body = b'{"message":"%b"}' % message.encode()
        head = [b"HTTP/1.1 %d %b" % (status, message.encode())]
        head += [b"%b: %b" % header for header in self.server_state.default_headers]
        head += [
            b"x-amzn-requestid: " + self._caller.request_id(),
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
