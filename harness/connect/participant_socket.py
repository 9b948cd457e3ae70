"""The websocket of a chat's customer, spoken as AWS's own client speaks it.

Frames and times are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs (its published
source, version 5.0.0): subscribe to `aws/chat`, then `aws/ping` and `aws/heartbeat` on opening and every 10 s; a heartbeat
that is not answered by the next one means that the socket is lost; a socket is replaced after 3,540 s.

Thousands of these are open in one process: each has one greenlet that reads, and one `Pulse` sends the heartbeats of all.
"""

import heapq
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import gevent
import orjson
import websocket
from gevent import ssl as gevent_ssl
from gevent.event import Event
from websocket import ABNF
from websocket._abnf import frame_buffer

from harness.connect import fields
from harness.connect.client import Reply, now
from harness.connect.outcome import UNREADABLE_CODE, classify, read_error
from harness.connect.transport import connect_cooperatively
from harness.connect.wire import is_generator_fault
from harness.vocabulary import (
    CONNECTION_ERROR,
    INVALID_REQUEST,
    OK,
    TIMEOUT,
    UNCLASSIFIED_429,
    WEBSOCKET_OPEN,
)

HEARTBEAT_EVERY = 10.0
REPLACE_AFTER = 3540.0
SUBSCRIBE_AGAIN_AFTER = 1.0
SUBSCRIBE_ATTEMPTS = 4
_SILENT_FOR = 3 * HEARTBEAT_EVERY  # a reader that hears nothing for so long has lost the socket

_SUBSCRIBE_FRAME = '{"topic":"aws/subscribe","content":{"topics":["aws/chat"]}}'
_PING_FRAME, _HEARTBEAT_FRAME = '{"topic":"aws/ping"}', '{"topic":"aws/heartbeat"}'

Item = dict[str, Any]


MAX_FRAME_BYTES = 4 * 1024 * 1024
"""API Gateway's websocket frames have at most 128 KB (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html)."""


_REDIRECTED = "Redirect limit exhausted"
"""What websocket-client says of a redirect where none is to be followed; it does not tell the status."""


class _BoundedFrames(frame_buffer):
    """Refuses a frame that says it is larger than any that the service sends, before reading it."""

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > MAX_FRAME_BYTES:
            raise websocket.WebSocketProtocolException(f"a frame of over {MAX_FRAME_BYTES} bytes")


class _BoundedWebSocket(websocket.WebSocket):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.frame_buffer = _BoundedFrames(self._recv, options.get("skip_utf8_validation", False))


@cache
def _tls_context(ca_bundle: str | None) -> Any:
    """One for all websockets: reading the certificates of the authorities takes many milliseconds."""
    context = gevent_ssl.SSLContext(gevent_ssl.PROTOCOL_TLS_CLIENT)
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    else:
        context.load_default_certs()
    return context


class ParticipantSocket:
    """One websocket of one chat.

    `on_item(item, at)` hears each message and event of the chat with the time (unix s) at which its frame was read;
    `on_lost(socket)` hears once when the socket ends without having been closed by us.
    """

    def __init__(
        self,
        contact_id: str,
        on_item: Callable[[Item, float], None],
        on_lost: Callable[["ParticipantSocket"], None],
        pulse: "Pulse",
        timeout: float = 30.0,
        ca_bundle: str | None = None,
        bare_429: str = UNCLASSIFIED_429,
    ) -> None:
        self._contact_id = contact_id
        self._on_item = on_item
        self._on_lost = on_lost
        self._pulse = pulse
        self._timeout = timeout
        self._ca_bundle = ca_bundle
        self._bare_429 = bare_429
        self._url = ""
        self._socket: Any = None
        self._reader: gevent.Greenlet | None = None
        self._answered = Event()
        self._accepted = False
        self._awaiting_heartbeat = False
        self.opened_at = 0.0

    def open(self, url: str) -> Reply:
        """Open the websocket at `url`: the attempt as a reply, `ok` when the handshake was accepted.

        One request on the wire: redirects are not followed, and no proxy is used. `timeout` bounds all of it.
        """
        sent = now()
        self._url = url
        too_late = gevent.Timeout.start_new(self._timeout)
        try:
            # No locks: one greenlet reads, and a send of these small frames is one write.
            self._socket = websocket.create_connection(
                url,
                timeout=self._timeout,
                class_=_BoundedWebSocket,
                socket=self._connected(url),
                enable_multithread=False,
                skip_utf8_validation=True,
                redirect_limit=0,
            )
        except websocket.WebSocketBadStatusException as refusal:
            return self._refused(refusal, sent)
        except (TimeoutError, websocket.WebSocketTimeoutException):
            return self._reply(TIMEOUT, sent, message=f"no websocket within {self._timeout:g} s")
        except gevent.Timeout as late:
            if late is not too_late:
                raise
            return self._reply(TIMEOUT, sent, message=f"no websocket within {self._timeout:g} s")
        except Exception as error:  # whatever websocket-client makes of what a server sends is the server's doing
            message = str(error) or type(error).__name__
            if message == _REDIRECTED:
                return self._reply(INVALID_REQUEST, sent, message="a redirect, which is not followed")
            return self._reply(CONNECTION_ERROR, sent, message=message, fault=is_generator_fault(error))
        finally:
            too_late.close()
        self.opened_at = now()
        self._socket.settimeout(_SILENT_FOR)
        self._reader = gevent.spawn(self._read)
        return self._reply(OK, sent, 101)

    def subscribe(self) -> Reply:
        """Subscribe to the chat: the attempt as a reply, `ok` when the service has acknowledged it."""
        sent = now()
        for _ in range(SUBSCRIBE_ATTEMPTS):
            self._answered.clear()
            if not self._send(_SUBSCRIBE_FRAME):
                return self._reply(CONNECTION_ERROR, sent, message="the websocket was closed before it was subscribed")
            self._answered.wait(SUBSCRIBE_AGAIN_AFTER)
            if self._accepted:
                self._pulse.add(self)
                return self._reply(OK, sent, 200)
            if self._socket is None:
                return self._reply(CONNECTION_ERROR, sent, message="the websocket was closed before it was subscribed")
        return self._reply(TIMEOUT, sent, message="the subscription was not acknowledged")

    def beat(self) -> bool:
        """Send ping and heartbeat; False when the socket is lost, or has been open for so long that it is replaced."""
        if self._socket is None:
            return False
        if self._awaiting_heartbeat or now() - self.opened_at > REPLACE_AFTER:
            self._lose()
            return False
        self._awaiting_heartbeat = True
        return self._send(_PING_FRAME) and self._send(_HEARTBEAT_FRAME)

    def close(self) -> None:
        """Close the socket without waiting for the other side; `on_lost` will not be called."""
        self._on_lost = _nobody
        self._drop()
        if self._reader is not None and self._reader is not gevent.getcurrent():
            self._reader.kill(block=False)

    def _refused(self, refusal: Any, sent: float) -> Reply:
        status = refusal.status_code if isinstance(refusal.status_code, int) else 0
        headers = {str(name): str(value) for name, value in (refusal.resp_headers or {}).items()}
        body = refusal.resp_body if isinstance(refusal.resp_body, bytes) else b""
        code, message = read_error(headers, body)
        if code is not None and fields.hide(code, self._url) != code:
            code = UNREADABLE_CODE
        # A handshake is answered with 101; whatever else the answer says, it opens no socket.
        outcome = classify(WEBSOCKET_OPEN, status, code, message, self._bare_429)
        return self._reply(INVALID_REQUEST if outcome == OK or status < 400 else outcome, sent, status, code, message)

    def _read(self) -> None:
        sock = self._socket
        try:
            while sock is self._socket:
                opcode, data = sock.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    break
                self._hear(data)
        except Exception:
            # Broken frames; and websocket-client forgets its socket when another greenlet closes it meanwhile.
            pass
        if sock is self._socket:
            self._lose()

    def _hear(self, data: bytes) -> None:
        at = now()
        try:
            frame = orjson.loads(data)
            topic = frame.get("topic")
            if topic == "aws/chat":
                item = orjson.loads(frame["content"])
                if self._contact_id in (item.get("ContactId"), item.get("InitialContactId")):
                    self._on_item(item, at)
            elif topic == "aws/heartbeat":
                self._awaiting_heartbeat = False
            elif topic == "aws/subscribe":
                self._accepted = frame["content"]["status"] == "success"
                self._answered.set()
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # AWS's client ignores frames that it does not understand

    def _send(self, text: str) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(text)
        except (OSError, websocket.WebSocketException, AttributeError):
            self._lose()
            return False
        return True

    def _lose(self) -> None:
        if self._socket is None:
            return
        self._drop()
        self._answered.set()
        self._on_lost(self)

    def _drop(self) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        try:
            sock.send_close()
            sock.shutdown()
        except (OSError, websocket.WebSocketException, AttributeError):
            pass

    def _connected(self, url: str) -> Any:
        # Not websocket-client's own connecting, which asks for proxies and has no bound on a name's resolution.
        parts = urlsplit(url)
        host, tls = parts.hostname or "", parts.scheme == "wss"
        sock = connect_cooperatively(host, parts.port or (443 if tls else 80), self._timeout)
        if not tls:
            return sock
        try:
            return _tls_context(self._ca_bundle).wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise

    def _reply(
        self,
        outcome: str,
        sent: float,
        status: int = 0,
        code: str | None = None,
        message: str = "",
        fault: bool = False,
    ) -> Reply:
        return Reply(
            outcome=outcome,
            sent=sent,
            received=now(),
            status=status,
            error_code=code,
            message=fields.hide(message, self._url),
            contact_id=self._contact_id,
            after_send=True,
            generator_fault=fault,
        )


class Pulse:
    """Sends the heartbeats of any number of sockets from one greenlet, each in its own rhythm."""

    def __init__(self, every: float = HEARTBEAT_EVERY) -> None:
        self._every = every
        self._due: list[tuple[float, int, ParticipantSocket]] = []
        self._number = 0
        self._changed = Event()
        self._greenlet = gevent.spawn(self._run)

    def add(self, socket: ParticipantSocket) -> None:
        """Beat for `socket` now and from now on, until it is closed or lost."""
        if socket.beat():
            self._push(socket)
            self._changed.set()

    def close(self) -> None:
        """No more heartbeats."""
        self._greenlet.kill()

    def _push(self, socket: ParticipantSocket) -> None:
        self._number += 1
        heapq.heappush(self._due, (now() + self._every, self._number, socket))

    def _run(self) -> None:
        while True:
            wait = self._due[0][0] - now() if self._due else None
            if wait is None or wait > 0:
                self._changed.clear()
                self._changed.wait(wait)
                continue
            socket = heapq.heappop(self._due)[2]
            if socket.beat():
                self._push(socket)


def _nobody(socket: ParticipantSocket) -> None:
    """Hears of a socket that was closed on purpose."""
