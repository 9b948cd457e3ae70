"""The ASGI application: operations straight from here, the websocket and the emulator's pages from Starlette."""

import asyncio
import logging
import random
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from harness.emulator.api.responses import Headers, Response, error
from harness.emulator.http.connection.heads import KnownHeads
from harness.emulator.http.connection.transport import Outbox, reset
from harness.emulator.http.control import Control
from harness.emulator.http.faults import NO_DISTURBANCE, Fault
from harness.emulator.http.pages import pages
from harness.emulator.service.chats import draws
from harness.emulator.settings.settings import Settings

_LOG = logging.getLogger("chatquota.emulator")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OWN = ("/_emulator", "/participant/websocket", "/attachments/")
# It looks through all chats, which takes long with many: answers to calls before it do not wait for it.
_SEARCH = b"/search-contacts"
_OWN_URLS = tuple(path.encode() for path in _OWN)
_TOO_LONG = error("RequestEntityTooLargeException", "Request Too Long")
_GARBAGE = Response(200, b"<html><body>\x00\xff not what you asked for", (), "fault_garbage")
# Both endpoints of Amazon Connect response every page like this.
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,x-amz-apigw-id,x-amzn-trace-id,Date",
    ),
)
# Fetch does not count Authorization as one of `*`: the headers that AWS's clients send are listed by name.
_PREFLIGHT = Response(
    200,
    b"",
    (
        (
            b"access-control-allow-headers",
            b"Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token,X-Amz-Content-Sha256,"
            b"X-Amz-User-Agent,X-Amz-Bearer,X-Amzn-Trace-Id,amz-sdk-invocation-id,amz-sdk-request,User-Agent",
        ),
        (b"access-control-allow-methods", b"GET,POST,PUT,DELETE,OPTIONS"),
        (b"access-control-max-age", b"600"),
    ),
)
_NO_HOST = error("BadRequestException", "Bad Request")


class Application:
    """Serves one emulator."""

    def __init__(self, control: Control) -> None:
        settings: Settings = control.api.state.settings
        self._control = control
        self._pages = pages(control)
        self.max_body = settings.max_body
        # Real seconds: a client that stops half-way through a request must not hold a connection for ever.
        self.arrival_timeout = settings.arrival_timeout
        self.outbox = Outbox()
        self._heads = KnownHeads()
        self._common: Headers | None = None
        self._fixed = b""
        self._ids = draws(random.Random(f"{settings.seed} requests"), _IDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN):
            await self._pages(scope, receive, send)
            return
        body = await self._body(receive)
        if body is None:
            return
        method, path = scope["method"], scope["raw_path"]
        if len(body) > self.max_body:
            await self._send(send, _TOO_LONG, close=True)
            return
        if method == "OPTIONS":
            await self._send(send, _PREFLIGHT)
            return
        headers = _by_name(scope["headers"])
        if self._control.faults.active:
            await self._disturbed(scope, receive, headers, body, send)
        else:
            self._control.api.state.throttles.connection = scope["state"]["connection"]
            await self._send(send, self._answer(method, path, scope["query_string"], headers, body))

    def answers_directly(self, url: bytes) -> bool:
        """Whether a call to `url` needs none of ASGI: no delay or fault, no page, no odd form of address."""
        return (
            not self._control.faults.active
            and url.startswith(b"/")
            and not url.startswith(_OWN_URLS)
            and b"#" not in url
        )

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
        """Return the whole response to a call, as `protocol.DirectCaller` says."""
        path, _, query = url.partition(b"?")
        self._control.api.state.throttles.connection = connection
        if body is None:
            response = _TOO_LONG
        elif method == "OPTIONS":
            response = _PREFLIGHT
        else:
            response = self._answer(method, path, query, _by_name(headers), body)
        return self._whole(response, common, keep_alive, head=method == "HEAD")

    def at_once(self, data: bytes, common: Headers, connection: int) -> bytes | None:
        """Return the whole response to the one call that `data` is, as `protocol.DirectCaller` says."""
        control = self._control
        if control.faults.active:
            return None
        call = self._heads.read(data)
        if call is None:
            return None
        method, path, headers, body = call
        if len(body) > self.max_body:
            return None
        control.api.state.throttles.connection = connection
        return self._whole(self._answer(method, path, b"", headers, body), common)

    def learn(self, data: bytes, method: str, url: bytes, headers: Headers) -> None:
        """Know again calls of the same operation that look like `data`, as `protocol.DirectCaller` says."""
        operation, labels = self._control.api.operation(method, url)
        if operation is not None and not labels:  # what has labels in its path seldom has the same twice
            self._heads.learn(data, method, url, headers)

    def _whole(self, response: Response, common: Headers, keep_alive: bool = True, head: bool = False) -> bytes:
        if common is not self._common:
            # The date among them changes once a second.
            self._common = common
            self._fixed = b"".join(b"%b: %b\r\n" % header for header in (*common, *_CORS, _JSON))
        more = b""
        for name, value in response.headers:
            more += b"%b: %b\r\n" % (name, value)
        if not keep_alive:
            more += b"connection: close\r\n"
        return _WHOLE % (
            STATUS_LINE[response.status],
            self._fixed,
            *next(self._ids),
            len(response.body),
            more,
            b"" if head else response.body,
        )

    def _answer(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        counted: bool = True,
    ) -> Response:
        host = headers.get(b"host")
        if host is None or b"," in host:
            return _NO_HOST
        if path == _SEARCH:
            self.outbox.send()
        try:
            return self._control.api.answer(method, path, query, headers, body, counted)[1]
        except Exception:
            # A mistake of the emulator's own: said on standard error, and answered as the service would.
            _LOG.exception("the emulator failed to answer %s %r", method, path)
            return error("InternalServiceException", "The emulator has failed; its standard error says how.")

    def request_id(self) -> bytes:
        """Return a fresh request id, in the form of a UUID."""
        return self._call_ids()[0]

    def _call_ids(self) -> tuple[bytes, bytes, bytes]:
        """Fresh ids of one call: the service's (a UUID), API Gateway's, and X-Ray's."""
        digits = next(self._ids)
        return _REQUEST_ID % digits[:5], _GATEWAY_ID % digits[5], _TRACE_ID % digits[6:]

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the body; None if the client has gone. Of a body that is too long, only so much that this can be told."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return None if message["type"] == "http.disconnect" else body
        pieces, size = [body], len(body)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            size += len(message.get("body", b""))
            if size <= self.max_body or not pieces or len(pieces) == 1:
                pieces.append(message.get("body", b""))
            # The rest of a long body is read and thrown away: a client that is still writing hears no response before.
            if not message.get("more_body") or size > 4 * self.max_body + 1_000_000:
                return b"".join(pieces) if size <= self.max_body else b" " * (self.max_body + 1)

    async def _disturbed(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], body: bytes, send: Send
    ) -> None:
        method, path, api = scope["method"], scope["raw_path"], self._control.api
        operation = api.operation(method, path)[0]
        disturbance = NO_DISTURBANCE if operation is None else self._control.faults.draw(operation.name)
        delay_in, throttled_after = disturbance.delay_in, api.state.settings.throttle_latency
        if throttled_after is not None:
            delay_in = min(delay_in, throttled_after / 2)
        if delay_in:
            await asyncio.sleep(delay_in)
            if api.state is not self._control.api.state:  # a reset: this call belongs to what is forgotten
                await _cut(scope, receive)
                return
        fault, response = disturbance.fault, None
        if fault is None or disturbance.after_effect:
            api.state.throttles.connection = scope["state"]["connection"]
            response = self._answer(method, path, scope["query_string"], headers, body, counted=fault is None)
        delay_out = disturbance.delay_in - delay_in + disturbance.delay_out
        if throttled_after is not None and operation is not None and response is operation.throttled:
            delay_out = throttled_after - delay_in
        if delay_out > 0:
            await asyncio.sleep(delay_out)
        if fault is not None and operation is not None:
            api.count(operation.name, f"fault_{fault}")
            if fault == "stall":
                await asyncio.sleep(api.state.settings.stall)
            if fault in ("reset", "stall"):
                await _cut(scope, receive, hard=fault == "reset")
                return
            response = _faulty_response(fault, operation.service)
        assert response is not None
        await self._send(send, response)

    async def _send(self, send: Send, response: Response, close: bool = False) -> None:
        headers = self._headers(response)
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _headers(self, response: Response) -> Headers:
        request, gateway, trace = self._call_ids()
        return [
            *_CORS,
            _JSON,
            (b"x-amzn-requestid", request),
            (b"x-amz-apigw-id", gateway),
            (b"x-amzn-trace-id", trace),
            (b"content-length", b"%d" % len(response.body)),
            *response.headers,
        ]


# The digits of a call's ids: the service's (a UUID), API Gateway's, and X-Ray's.
_IDS = struct.Struct("8s4s3s3s12s" + "15s" + "8s24s")
_REQUEST_ID, _GATEWAY_ID, _TRACE_ID = b"%b-%b-4%b-a%b-%b", b"%b=", b"Root=1-%b-%b"
_WHOLE = b"".join(
    (
        b"%b%bx-amzn-requestid: ", _REQUEST_ID, b"\r\nx-amz-apigw-id: ", _GATEWAY_ID, b"\r\nx-amzn-trace-id: ", _TRACE_ID,
        b"\r\ncontent-length: %d\r\n%b\r\n%b",
    )
)  # fmt: skip
_JSON = (b"content-type", b"application/json")


async def _cut(scope: Scope, receive: Receive, hard: bool = True) -> None:
    """Leave a call without an answer: its connection is reset, or closed if not `hard`."""
    transport = scope["state"]["transport"]
    if hard:
        reset(transport)
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _faulty_response(fault: Fault, service: str) -> Response:
    if fault == "garbage":
        return _GARBAGE
    if fault == "503":
        return error("ServiceUnavailableException", "Service Unavailable")
    code = "InternalServiceException" if service == "connect" else "InternalServerException"
    return error(code, "Request processing failed because of an error or failure with the service.")


def _by_name(pairs: Headers) -> dict[bytes, bytes]:
    """Headers by name; the values of a repeated one joined by commas, as signatures want them."""
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = {}
        for name, value in pairs:
            headers[name] = b"%b,%b" % (headers[name], value) if name in headers else value
    return headers
