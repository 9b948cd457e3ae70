"""The ASGI application: operations straight from here, the websocket and the emulator's pages from Starlette."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from harness.emulator.api.api import Api
from harness.emulator.api.responses import Answer, Headers, error
from harness.emulator.http.faults import CALM, Sky
from harness.emulator.http.pages import pages
from harness.emulator.http.protocol import reset
from harness.emulator.settings.settings import Settings

_LOG = logging.getLogger("chatquota.emulator")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OWN = ("/_emulator", "/participant/websocket")
_OWN_URLS = tuple(path.encode() for path in _OWN)
_TOO_LONG = error("RequestEntityTooLargeException", "Request Too Long")
_GARBAGE = Answer(200, b"<html><body>\x00\xff not what you asked for", (), "fault_garbage")
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-allow-methods", b"GET,POST,PUT,OPTIONS"),
    (b"access-control-expose-headers", b"x-amzn-RequestId,x-amzn-ErrorType"),
)
_PREFLIGHT = Answer(200, b"", _CORS)


class Application:
    """Serves one emulator."""

    def __init__(self, api: Api) -> None:
        settings: Settings = api.state.settings
        self._api = api
        self._pages = pages(api)
        self._sky = Sky(settings)
        self._stall = settings.stall
        self.max_body = settings.max_body
        # Real seconds: a client that stops half-way through a request must not hold a connection for ever.
        self.arrival_timeout = settings.arrival_timeout
        self._common: tuple[Headers, bytes] = ([], b"")
        self._request_ids = random.Random(f"{settings.seed} requests")

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
        if self._sky.clear:
            await self._send(send, self._answer(method, path, scope["query_string"], headers, body), cors=path)
        else:
            await self._through_weather(scope, headers, body, send)

    def answers_directly(self, url: bytes) -> bool:
        """Whether a call to `url` needs none of ASGI: no weather, no page, no odd form of address."""
        return self._sky.clear and url.startswith(b"/") and not url.startswith(_OWN_URLS) and b"#" not in url

    def direct(
        self, method: str, url: bytes, headers: Headers, body: bytes | None, common: Headers, keep_alive: bool
    ) -> bytes:
        """The whole answer to a call, as `protocol.DirectCaller` says."""
        path, _, query = url.partition(b"?")
        if body is None:
            answer = _TOO_LONG
        elif method == "OPTIONS":
            answer = _PREFLIGHT
        else:
            answer = self._answer(method, path, query, _by_name(headers), body)
        if common is not self._common[0]:
            # The date among them changes once a second.
            self._common = (common, b"".join(b"%b: %b\r\n" % header for header in common))
        lines = [STATUS_LINE[answer.status], self._common[1]]
        lines += [b"%b: %b\r\n" % header for header in self._headers(answer, path)]
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if method != "HEAD":
            lines.append(answer.body)
        return b"".join(lines)

    def _answer(self, method: str, path: bytes, query: bytes, headers: dict[bytes, bytes], body: bytes) -> Answer:
        try:
            return self._api.answer(method, path, query, headers, body)[1]
        except Exception:
            # A mistake of the emulator's own: said on standard error, and answered as the service would.
            _LOG.exception("the emulator failed to answer %s %r", method, path)
            return error("InternalServiceException", "The emulator has failed; its standard error says how.")

    def request_id(self) -> bytes:
        """A fresh request id, in the form of a UUID."""
        text = b"%032x" % self._request_ids.getrandbits(128)
        return b"%b-%b-4%b-a%b-%b" % (text[:8], text[8:12], text[13:16], text[17:20], text[20:])

    async def _body(self, receive: Receive) -> bytes | None:
        """The body; None if the client has gone. Of a body that is too long, only so much that this can be told."""
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
            # The rest of a long body is read and thrown away: a client that is still writing hears no answer before.
            if not message.get("more_body") or size > 4 * self.max_body + 1_000_000:
                return b"".join(pieces) if size <= self.max_body else b" " * (self.max_body + 1)

    async def _through_weather(self, scope: Scope, headers: dict[bytes, bytes], body: bytes, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"]
        operation = self._api.operation(method, path)[0]
        weather = CALM if operation is None else self._sky.draw(operation.name)
        if weather.delay_in:
            await asyncio.sleep(weather.delay_in)
        answer = None
        if weather.fault is None or weather.after_effect:
            answer = self._answer(method, path, scope["query_string"], headers, body)
        if weather.delay_out:
            await asyncio.sleep(weather.delay_out)
        if weather.fault is not None and operation is not None:
            self._api.count(operation.name, f"fault_{weather.fault}")
            if weather.fault in ("reset", "stall"):
                if weather.fault == "stall":
                    await asyncio.sleep(self._stall)
                reset(scope["state"]["transport"])
                return
            if weather.fault == "garbage":
                answer = _GARBAGE
            elif weather.fault == "503":
                answer = error("ServiceUnavailableException", "Service Unavailable")
            else:
                code = "InternalServiceException" if operation.service == "connect" else "InternalServerException"
                answer = error(code, "Request processing failed because of an error or failure with the service.")
        assert answer is not None
        await self._send(send, answer, cors=path)

    async def _send(self, send: Send, answer: Answer, close: bool = False, cors: bytes = b"") -> None:
        headers = self._headers(answer, cors)
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _headers(self, answer: Answer, path: bytes) -> Headers:
        headers = [
            (b"x-amzn-requestid", self.request_id()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        if path.startswith(b"/participant/"):  # browsers call these themselves
            headers += _CORS
        return headers


def _by_name(pairs: Headers) -> dict[bytes, bytes]:
    """Headers by name; the values of a repeated one joined by commas, as signatures want them."""
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = {}
        for name, value in pairs:
            headers[name] = b"%b,%b" % (headers[name], value) if name in headers else value
    return headers
