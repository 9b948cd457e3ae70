"""Opens a websocket: one request on a connection of its own, after which the connection carries frames."""

import base64
import hashlib
import os
import ssl
from functools import cache
from urllib.parse import urlsplit

import httptools

from harness.connect.transport import BUFFER_BYTES, Channel, Deadlines
from harness.connect.wire import Connection, Endpoint, Response, WireError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHED = 101
_BUFFER = memoryview(bytearray(BUFFER_BYTES))
"""Where all websockets receive: what came is used up before the next one reads."""


class Upgrading(Connection):
    """A connection whose one request asks to switch to the websocket protocol. `rest` is what came right behind a 101."""

    rest = b""

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

    def _feed(self, data: memoryview) -> None:
        try:
            super()._feed(data)
        except httptools.HttpParserUpgrade as switched:
            if self._answer is None:
                raise
            self.rest = bytes(data[switched.args[0] :])


def open_websocket(url: str, deadlines: Deadlines, ca_bundle: str | None) -> tuple[Upgrading, Response]:
    """Ask for a websocket at the ws or wss `url`: the connection and the answer, whatever it is.

    Each step may last as long as `deadlines` say. Raises WireError, WireTimeout.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "wss"
    endpoint = Endpoint(host, parts.port or (443 if tls else 80), tls, parts.netloc)
    connection = Upgrading(endpoint, deadlines, _tls_context(ca_bundle) if tls else None, _BUFFER)
    try:
        key = base64.b64encode(os.urandom(16))
        place = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        head = f"GET {place} HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: http{'s' * tls}://{parts.netloc}\r\n"
        request = head.encode("ascii", "replace") + (
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
            % key
        )
        answer = connection.exchange(request)
        if answer.status == _SWITCHED and not _is_agreed(answer, key):
            raise WireError("the answer to the handshake does not fit its key", after_send=True)
    except BaseException:
        connection.close()
        raise
    return connection, answer


def _is_agreed(answer: Response, key: bytes) -> bool:
    """Whether a 101 answers the handshake with this key, without an extension or protocol that was not asked for."""
    wanted = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    headers = answer.headers
    return (
        headers.get("sec-websocket-accept", "").strip() == wanted
        and headers.get("upgrade", "").strip().lower() == "websocket"
        and "sec-websocket-extensions" not in headers
    )


@cache
def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """One for all websockets: reading the certificates of the authorities takes many milliseconds."""
    return ssl.create_default_context(cafile=ca_bundle)
