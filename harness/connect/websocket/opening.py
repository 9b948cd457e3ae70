"""Opens a websocket: one request on a connection of its own, after which the connection carries frames."""

import hashlib
import os
import ssl
from binascii import b2a_base64
from functools import cache, lru_cache
from urllib.parse import urlsplit

import httptools

from harness.connect.transport import BUFFER_BYTES, Channel, Deadlines
from harness.connect.websocket_address import origin_of
from harness.connect.wire import Connection, Endpoint, Response, WireError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHA1 = hashlib.sha1()  # a copy costs a third of a new one
_SWITCHED = 101
_BUFFER = memoryview(bytearray(BUFFER_BYTES))
"""Where all websockets receive: what came is used up before the next one reads."""


class Upgrading(Connection):
    """A connection whose one request asks to switch to the websocket protocol. `rest` is what came right behind a 101."""

    rest = b""

    def __init__(
        self, endpoint: Endpoint, deadlines: Deadlines, context: ssl.SSLContext | None, buffer: memoryview
    ) -> None:
        super().__init__(endpoint, deadlines, context, buffer)
        self._feed = self._feed_until_switched

    @property
    def channel(self) -> Channel:
        """What carries the frames after a 101."""
        return self._channel

    def on_message_complete(self) -> None:
        """Take a 101 for the answer that it is here."""
        if self._answer is None and self._parser.get_status_code() == _SWITCHED:
            self._finish(_SWITCHED)
        else:
            super().on_message_complete()

    def _feed_until_switched(self, data: memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switched:
            if self._answer is None:
                raise
            self.rest = bytes(data[switched.args[0] :])


def open_websocket(url: str, deadlines: Deadlines, ca_bundle: str | None) -> tuple[Upgrading, Response]:
    """Ask for a websocket at the ws or wss `url`: the connection and the answer, whatever it is.

    Each step may last as long as `deadlines` say. Raises WireError, WireTimeout.
    """
    origin = origin_of(url)
    if origin is None:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        place = f"{parts.path}?{parts.query}" if parts.query else parts.path
    else:
        place = url[len(origin) :]
    endpoint, head = _origin(origin)
    connection = Upgrading(endpoint, deadlines, _tls_context(ca_bundle) if endpoint.tls else None, _BUFFER)
    try:
        key = b2a_base64(os.urandom(16), newline=False)
        slash = "" if place.startswith("/") else "/"
        request = b"GET %b HTTP/1.1\r\n%bSec-WebSocket-Key: %b\r\n\r\n" % (
            f"{slash}{place}".encode("ascii", "replace"),
            head,
            key,
        )
        answer = connection.exchange(request)
        if answer.status == _SWITCHED and not _is_agreed(answer, key):
            raise WireError("the answer to the handshake does not fit its key", after_send=True)
    except BaseException:
        connection.close()
        raise
    return connection, answer


@lru_cache(1024)
def _origin(origin: str) -> tuple[Endpoint, bytes]:
    """Return where the addresses of one origin lead to, and the headers that their handshakes have in common."""
    parts = urlsplit(origin)
    tls = parts.scheme == "wss"
    headers = f"Host: {parts.netloc}\r\nOrigin: http{'s' * tls}://{parts.netloc}\r\n"
    headers += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    endpoint = Endpoint(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.netloc)
    return endpoint, headers.encode("ascii", "replace")


def _is_agreed(answer: Response, key: bytes) -> bool:
    """Whether a 101 answers the handshake with this key, without an extension or protocol that was not asked for."""
    wanted = _SHA1.copy()
    wanted.update(key + _GUID)
    return (
        (answer.header("sec-websocket-accept") or "").strip() == b2a_base64(wanted.digest(), newline=False).decode()
        and (answer.header("upgrade") or "").strip().lower() == "websocket"
        and answer.header("sec-websocket-extensions") is None
    )


@cache
def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """One for all websockets: reading the certificates of the authorities takes many milliseconds."""
    return ssl.create_default_context(cafile=ca_bundle)
