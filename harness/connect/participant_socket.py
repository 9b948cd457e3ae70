"""The websocket of a chat's customer, spoken as AWS's own client speaks it.

Frames and times are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs (its published
source, version 5.0.0): subscribe to `aws/chat`, then `aws/ping` and `aws/heartbeat` on opening and every 10 s; a heartbeat
that is not answered by the next one means that the socket is lost; a socket is replaced after 3,540 s.

Thousands of these are open in one process: each has one greenlet that reads, and one `Pulse` sends the heartbeats of all.
"""

import heapq
import ssl
from collections.abc import Callable
from typing import Any

import gevent
import orjson
import websocket
from gevent.event import Event
from websocket import ABNF

from harness.connect.client import Reply, now
from harness.connect.outcome import classify, read_error
from harness.vocabulary import CONNECTION_ERROR, INVALID_REQUEST, OK, TIMEOUT, WEBSOCKET_OPEN

HEARTBEAT_EVERY = 10.0
REPLACE_AFTER = 3540.0
SUBSCRIBE_AGAIN_AFTER = 1.0
SUBSCRIBE_ATTEMPTS = 4
_SILENT_FOR = 3 * HEARTBEAT_EVERY  # a reader that hears nothing for so long has lost the socket

_SUBSCRIBE_FRAME = '{"topic":"aws/subscribe","content":{"topics":["aws/chat"]}}'
_PING_FRAME, _HEARTBEAT_FRAME = '{"topic":"aws/ping"}', '{"topic":"aws/heartbeat"}'

Item = dict[str, Any]


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
    ) -> None:
        self._contact_id = contact_id
        self._on_item = on_item
        self._on_lost = on_lost
        self._pulse = pulse
        self._timeout = timeout
        self._ca_bundle = ca_bundle
        self._socket: Any = None
        self._reader: gevent.Greenlet | None = None
        self._answered = Event()
        self._accepted = False
        self._awaiting_heartbeat = False
        self.opened_at = 0.0

    def open(self, url: str) -> Reply:
        """Open the websocket at `url`: the attempt as a reply, `ok` when the handshake was accepted."""
        sent = now()
        try:
            # No locks: one greenlet reads, and a send of these small frames is one write.
            self._socket = websocket.create_connection(
                url, timeout=self._timeout, enable_multithread=False, skip_utf8_validation=True, sslopt=self._tls()
            )
        except websocket.WebSocketBadStatusException as refusal:
            status = refusal.status_code
            code, message = read_error(refusal.resp_headers or {}, refusal.resp_body or b"")
            # A handshake is answered with 101; whatever else it says, it is no socket.
            outcome = classify(WEBSOCKET_OPEN, status, code)
            return self._reply(INVALID_REQUEST if outcome == OK else outcome, sent, status, code, message)
        except (TimeoutError, websocket.WebSocketTimeoutException):
            return self._reply(TIMEOUT, sent, message=f"no websocket within {self._timeout:g} s")
        except (OSError, websocket.WebSocketException, ValueError) as error:
            return self._reply(CONNECTION_ERROR, sent, message=str(error) or type(error).__name__)
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
                break
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

    def _read(self) -> None:
        sock = self._socket
        try:
            while sock is self._socket:
                opcode, data = sock.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    break
                self._hear(data)
        except (OSError, websocket.WebSocketException, ValueError, AttributeError):
            # AttributeError: websocket-client forgets its socket when another greenlet closes it in the meantime.
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
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
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

    def _tls(self) -> dict[str, Any]:
        return {"cert_reqs": ssl.CERT_REQUIRED, **({"ca_certs": self._ca_bundle} if self._ca_bundle else {})}

    def _reply(self, outcome: str, sent: float, status: int = 0, code: str | None = None, message: str = "") -> Reply:
        return Reply(outcome, sent, now(), status, code, message, contact_id=self._contact_id)


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
