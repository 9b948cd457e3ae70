"""The websocket of a chat's customer, spoken as AWS's own client speaks it.

Frames and times are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs (its published
source, version 5.0.0): subscribe to `aws/chat`, then `aws/ping` and `aws/heartbeat` on opening and every 10 s; a heartbeat
that is not answered by the next one means that the socket is lost; a socket is replaced after 3,540 s.

Thousands of these are open in one process: none has a greenlet. Frames are read and told in gevent's hub when they come, and
one `Pulse` sends the heartbeats of all.
"""

import logging
from collections.abc import Callable
from typing import Any

import orjson

from harness.connect import fields
from harness.connect.client import Reply, now
from harness.connect.outcome import UNREADABLE_CODE, classify, read_error
from harness.connect.transport import Channel
from harness.connect.waiting import Signal
from harness.connect.websocket.frames import CLOSE, PING, PONG, TEXT, BrokenFrames, Incoming, masked
from harness.connect.websocket.opening import open_websocket
from harness.connect.websocket.pulse import Pulse
from harness.connect.wire import Response, WireError, WireTimeout
from harness.vocabulary import CONNECTION_ERROR, INVALID_REQUEST, OK, TIMEOUT, UNCLASSIFIED_429, WEBSOCKET_OPEN

logger = logging.getLogger(__name__)

REPLACE_AFTER = 3540.0
SUBSCRIBE_AGAIN_AFTER = 1.0
SUBSCRIBE_ATTEMPTS = 4

_SUBSCRIBE_FRAME = b'{"topic":"aws/subscribe","content":{"topics":["aws/chat"]}}'
_PING_FRAME, _HEARTBEAT_FRAME = b'{"topic":"aws/ping"}', b'{"topic":"aws/heartbeat"}'
_NORMAL_CLOSURE = (1000).to_bytes(2)

Item = dict[str, Any]


class ParticipantSocket:
    """One websocket of one chat.

    `on_item(item, at)` hears each message and event of the chat with the time (unix s) at which its frame was read;
    `on_lost(socket)` hears once when the subscribed socket ends without having been closed by us. Both are mostly called in
    gevent's hub, so they must not wait.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_awaiting_heartbeat",
        "_bare_429",
        "_ca_bundle",
        "_channel",
        "_closed",
        "_contact_id",
        "_incoming",
        "_on_item",
        "_on_lost",
        "_pinged",
        "_pulse",
        "_timeout",
        "_url",
        "opened_at",
    )

    def __init__(
        self,
        contact_id: str,
        on_item: Callable[[Item, float], None],
        on_lost: Callable[["ParticipantSocket"], None],
        pulse: Pulse,
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
        self._channel: Channel | None = None
        self._incoming = Incoming(self._hear)
        self._answered: Signal | None = None
        self._accepted = False
        self._awaiting_heartbeat = False
        self._closed = False
        self._pinged: bytes | None = None
        self.opened_at = 0.0

    def open(self, url: str) -> Reply:
        """Open the websocket at `url`: the attempt as a reply, `ok` when the handshake was accepted.

        One request on the wire: redirects are not followed, and no proxy is used. `timeout` bounds each step of it.
        """
        sent = now()
        self._url = url
        try:
            connection, answer = open_websocket(url, self._pulse.deadlines(self._timeout), self._ca_bundle)
        except WireTimeout:
            return self._reply(TIMEOUT, sent, message=f"no websocket within {self._timeout:g} s")
        except WireError as error:
            return self._reply(CONNECTION_ERROR, sent, message=str(error), fault=error.generator_fault)
        if answer.status != 101:
            connection.close()
            return self._refused(answer, sent)
        self.opened_at = now()
        self._channel = connection.channel
        if connection.rest:
            self._feed_or_end(connection.rest)
        if self._channel is not None:
            self._channel.listen(self._feed_or_end)
        return self._reply(OK, sent, 101)

    def subscribe(self) -> Reply:
        """Subscribe to the chat: the attempt as a reply, `ok` when the service has acknowledged it."""
        sent = now()
        self._answered = Signal()
        frames = masked(TEXT, _SUBSCRIBE_FRAME)
        for attempt in range(SUBSCRIBE_ATTEMPTS):
            self._answered.clear()
            # The first heartbeat does not wait for the acknowledgement, as that of AWS's client does not.
            if not self._write(frames if attempt else frames + self._heartbeat()):
                return self._reply(CONNECTION_ERROR, sent, message="the websocket was closed before it was subscribed")
            self._answered.wait(SUBSCRIBE_AGAIN_AFTER)
            if self._accepted:
                self._answered = None
                self._pulse.add(self)
                return self._reply(OK, sent, 200)
            if self._channel is None:
                return self._reply(CONNECTION_ERROR, sent, message="the websocket was closed before it was subscribed")
        return self._reply(TIMEOUT, sent, message="the subscription was not acknowledged")

    def beat(self) -> bool:
        """Send ping and heartbeat; False when the socket is lost, or has been open for so long that it is replaced."""
        if self._channel is None:
            return False
        if self._awaiting_heartbeat or now() - self.opened_at > REPLACE_AFTER:
            self._lose()
            return False
        return self._write(self._heartbeat())

    def close(self) -> None:
        """Close the socket without waiting for the other side; nothing is heard or told any more."""
        self._closed = True
        self._drop()

    def _refused(self, answer: Response, sent: float) -> Reply:
        if 300 <= answer.status < 400:
            return self._reply(INVALID_REQUEST, sent, message="a redirect, which is not followed")
        code, message = read_error(answer.headers, answer.body)
        if code is not None and fields.hide(code, self._url) != code:
            code = UNREADABLE_CODE
        # A handshake is answered with 101; whatever else the answer says, it opens no socket.
        outcome = classify(WEBSOCKET_OPEN, answer.status, code, message, self._bare_429)
        outcome = INVALID_REQUEST if outcome == OK or answer.status < 400 else outcome
        return self._reply(outcome, sent, answer.status, code, message)

    # --- called from the hub: nothing here may wait ----------------------------------------------------------------------

    def _feed_or_end(self, data: bytes) -> None:
        if not data:
            self._lose()
            return
        try:
            self._incoming.feed(data)
        except BrokenFrames:
            self._lose()
        if self._pinged is not None:  # of pings that came together the last one is answered (RFC 6455, 5.5.3)
            self._write(masked(PONG, self._pinged))
            self._pinged = None

    def _hear(self, opcode: int, data: bytes) -> None:
        if self._channel is None or opcode == PONG:
            return
        if opcode == PING:
            self._pinged = data
        elif opcode == CLOSE:
            self._lose()
        else:
            try:
                self._understand(data, now())
            except (ValueError, KeyError, TypeError, AttributeError):
                pass  # AWS's client ignores frames that it does not understand
            except Exception:  # of one conversation, which must not silence all others
                logger.exception("a conversation broke off")

    def _understand(self, data: bytes, at: float) -> None:
        frame = orjson.loads(data)
        topic = frame.get("topic")
        if topic == "aws/chat":
            item = orjson.loads(frame["content"])
            if self._contact_id in (item.get("ContactId"), item.get("InitialContactId")) and not self._closed:
                self._on_item(item, at)
        elif topic == "aws/heartbeat":
            self._awaiting_heartbeat = False
        elif topic == "aws/subscribe":
            self._accepted = frame["content"]["status"] == "success"
            if self._answered is not None:
                self._answered.set()

    # --- writing and ending ----------------------------------------------------------------------------------------------

    def _heartbeat(self) -> bytes:
        self._awaiting_heartbeat = True
        return masked(TEXT, _PING_FRAME) + masked(TEXT, _HEARTBEAT_FRAME)

    def _write(self, data: bytes) -> bool:
        if self._channel is None:
            return False
        try:
            sent = self._channel.send_at_once(data)
        except OSError:
            sent = False
        if not sent:  # the other side has gone, or has read nothing for a long time
            self._lose()
        return sent

    def _lose(self) -> None:
        if self._channel is None:
            return
        self._drop()
        if self._answered is not None:
            self._answered.set()
        if self._accepted and not self._closed:  # before, the reply to who subscribes says it
            self._on_lost(self)

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._pulse.drop(self)
        try:
            channel.send_at_once(masked(CLOSE, _NORMAL_CLOSURE))
        except OSError:
            pass
        channel.close()

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
