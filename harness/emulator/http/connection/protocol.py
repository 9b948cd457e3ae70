"""The emulator's end of an HTTP connection: uvicorn's, with AWS's answer to broken HTTP and limits on slow clients."""

import asyncio
import itertools
import math
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harness.emulator.api.responses import Headers
from harness.emulator.http.connection.transport import CoalescingTransport, Outbox

# More than any client of AWS sends, little enough that a client that never ends its headers cannot fill the memory.
_LONGEST_HEAD = 65_536
# Calls that may wait behind one that is being answered: far more than a client that reads its answers ever sends ahead.
_LONGEST_PIPELINE = 100
_CONNECTIONS = itertools.count()


class DirectCaller(Protocol):
    """The application, as far as a connection talks to it without ASGI."""

    max_body: int
    arrival_timeout: float
    outbox: Outbox

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

    def at_once(self, data: bytes, common: Headers, connection: int) -> bytes | None:
        """Return the whole answer to the one call that `data` is; None: the parser has to look."""

    def learn(self, data: bytes, method: str, url: bytes, headers: Headers) -> None:
        """Take notice of what the parser has read in `data`, so that the next call like it may be answered at once."""


class ConnectionProtocol(HttpToolsProtocol):
    """One connection.

    A plain call is answered in the turn in which its last byte arrives: an ASGI task, its events and its messages
    would cost more than the call itself; one that has come whole and looks like one before needs no parser either.
    Everything else (websockets, the emulator's own pages, delays and faults, `Expect`, a call behind one that is still
    being answered) goes uvicorn's usual way to the ASGI application.
    """

    _between = True  # calls: the parser waits for a first byte, all is answered, and the client reads
    _direct = False
    _head_bytes = 0
    _in_head = True
    _declined = False
    _timer: asyncio.TimerHandle | None = None
    _due = math.inf  # when the timer fires
    _unread_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        self._caller: DirectCaller = self.config.app  # type: ignore[assignment]
        transport = self._out = CoalescingTransport(transport, self.loop, self._caller.outbox)
        super().connection_made(transport)
        # The application resets or aborts connections through this (faults), and each request's scope carries it.
        self._connection = next(_CONNECTIONS)
        self.app_state = {**self.app_state, "transport": transport, "connection": self._connection}
        self._time = self.loop.time
        # Of the message that is arriving (the first is awaited from the start), else of the silence after an answer.
        self._arriving, self._since = True, self._time()
        self._look_at(self._since + min(self._caller.arrival_timeout, self.timeout_keep_alive))

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_at(math.inf)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        between = self._between
        if between and not self.transport.is_closing():
            answer = self._caller.at_once(data, self.server_state.default_headers, self._connection)
            if answer is not None:
                self._arriving, self._since = False, self._time()
                self._head_bytes = 0
                self._out.write_whole(answer)
                return
        self._parse(data)
        if between and self._between:
            self._caller.learn(data, self.parser.get_method().decode("ascii"), self.url, self.headers)

    def _parse(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Bad Request")
        if self._arriving:
            due = self._since + self._caller.arrival_timeout
            if due < self._due:
                self._look_at(due)
        if self._in_head and self._head_bytes > _LONGEST_HEAD and not self.transport.is_closing():
            self._refuse(431, b"RequestHeaderFieldsTooLargeException", "Request Header Fields Too Large")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._between = False
        self._unread_since = self._time()
        self._look_at(min(self._due, self._unread_since + self._caller.arrival_timeout))

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        if not self._arriving:
            self._since = self._time()

    def _look_at(self, due: float) -> None:
        """Look at the connection at `due`, in the loop's time. One timer serves all waiting: most messages arrive in one
        piece, and a timer for each would cost a tenth of the call.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if math.isinf(due) else self.loop.call_at(due, self._look)

    def _look(self) -> None:
        """End the connection if its client has been waited for long enough."""
        now, patience = self._time(), self._caller.arrival_timeout
        if self._unread_since is not None:
            due, end = self._unread_since + patience, self.transport.abort
        elif self.transport.is_closing():  # for as long as this, what was written last has not been read
            due, end = now, self.transport.abort
        elif self._arriving:
            due, end = self._since + patience, self._late
        elif self.cycle is None or self.cycle.response_complete:
            due, end = self._since + self.timeout_keep_alive, self.transport.close
        else:
            due, end = now + self.timeout_keep_alive, self.transport.close
        longest = now + self.timeout_keep_alive
        if now < due:
            self._look_at(min(due, longest))
        else:
            self._look_at(min(now + patience, longest))
            end()

    def _upgrade(self, rest: bytes) -> None:
        """Note that a websocket is opened; any other protocol is not taken up, as RFC 9110 allows, and the call is
        answered.
        """
        if self.transport.is_closing():
            return
        if self._should_upgrade():
            if any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in self.headers):
                self.send_400_response("Bad Request")  # a handshake has no body
                return
            self._look_at(math.inf)
            self._arriving = False
            self.handle_websocket_upgrade()
        elif self.parser.get_method() == b"CONNECT":
            self.send_400_response("Bad Request")
        else:
            # The parser takes what follows for the other protocol: a new one reads the call again, without the offer.
            head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
            head += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self._parse(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._direct = self._between = False
        self._arriving, self._since = True, self._time()

    def on_headers_complete(self) -> None:
        parser = self.parser
        self._in_head, self._head_bytes = False, 0
        upgrade = parser.should_upgrade()
        self._declined = upgrade and not self._should_upgrade() and parser.get_method() != b"CONNECT"
        if len(self.pipeline) >= _LONGEST_PIPELINE or self.transport.is_closing():
            self.transport.close()
            self._declined = True
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
            self._keep = parser.should_keep_alive() and parser.get_http_version() == "1.1"
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
        if self._declined:
            return
        if not self._direct:
            super().on_body(body)
            return
        self._size += len(body)
        if self._size <= self._caller.max_body:
            self._body.append(body)
        elif self._size > 4 * self._caller.max_body + 1_000_000 and not self.transport.is_closing():
            self._refuse(413, b"RequestEntityTooLargeException", "Request Too Long")

    def on_message_complete(self) -> None:
        self._arriving, self._since = False, self._time()
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
        self._out.write_whole(
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
        self._between = keep and not self.flow.write_paused
        if not keep:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP: AWS's front answers a 400 without an operation and closes."""
        if not self.transport.is_closing():
            self._refuse(400, b"BadRequestException", msg)

    def _late(self) -> None:
        if self._in_head and not self._head_bytes:  # nothing has come
            self.transport.close()
        elif self._direct or self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._refuse(408, b"RequestTimeoutException", "Request Timeout")
        else:
            self.transport.close()

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
