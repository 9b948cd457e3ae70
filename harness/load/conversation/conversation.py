"""One customer's conversation in a chat: connect, subscribe, write, read the transcript, leave."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from harness.connect.client import Reply, now
from harness.connect.participant import CHAT_ENDED, TYPING, Connection
from harness.connect.participant_socket import ParticipantSocket
from harness.load.workload.model import Chat
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import (
    ACCESS_DENIED,
    CREATE_CONNECTION,
    DISCONNECT,
    GET_TRANSCRIPT,
    MESSAGE_RECEIPT,
    OK,
    SEND_EVENT,
    SEND_MESSAGE,
    TIMEOUT,
    WEBSOCKET_OPEN,
    WEBSOCKET_SUBSCRIBE,
)

if TYPE_CHECKING:
    from harness.load.conversation.crowd import Conversations

CONNECT_ATTEMPTS = 6
_LONGEST_PAUSE = 20.0
_ENDED_WITHIN = 5.0
"""Seconds that a customer who has left waits for the chat.ended event, as AWS's own client does."""

_TEXTS = {
    "text/plain": ("Hello!", "I have a question about my order.", "It was due on Friday.", "Thank you."),
    "text/markdown": (
        "My order is **late**.",
        "See [the order](https://shop.example/orders/4711), please.",
        "I tried:\n\n- signing in\n- a new password",
        "1. chose the seat\n2. *paid*",
    ),
    "application/json": ('{"order":4711,"question":"where is it?"}',),
    "application/vnd.amazonaws.connect.message.interactive.response": (
        '{"templateType":"QuickReply","version":"1.0","data":{"content":{"title":"Where is it?"}}}',
    ),
}


@dataclass
class _Sent:
    """A message that waits for its frame: when it was sent, and what the sample says of it."""

    at: float
    content_type: str
    size: int


class Conversation:
    """What the customer of one started chat does. `run` is its whole life, in a greenlet of its own.

    The frame of a message may arrive before the answer to its SendMessage, so frames and answers wait for each other.
    """

    def __init__(self, crowd: Conversations, reply: Reply, chat: Chat, rng: random.Random) -> None:
        assert reply.contact_id
        self._crowd = crowd
        self._session = crowd.session
        self._contact_id = reply.contact_id
        self._token = reply.participant_token
        self._connection: Connection | None = None
        if reply.websocket_url and reply.connection_token and not crowd.client.refusal_of_address(reply.websocket_url):
            self._connection = Connection(reply.websocket_url, reply.connection_token)
        self._url_at = reply.received
        self._chat = chat
        self._rng = rng
        self._number = 0
        self._awaited: dict[str, _Sent] = {}
        self._seen: dict[str, float] = {}
        self._socket: ParticipantSocket | None = None
        self._end_heard = Event()
        self._over = Event()

    def run(self) -> None:
        """Live through the conversation; returns when the chat has ended, is to be stopped, or the run ends."""
        try:
            if self._connect():
                self._talk()
            self._leave()
        finally:
            self.close()

    def close(self) -> None:
        """Close the websocket; messages whose frames have not come are recorded as timed out."""
        if self._socket is not None:
            self._socket.close()
            self._crowd.sockets.discard(self._socket)
            self._socket = None
        self._over.set()
        if not self._crowd.closing:
            for sent in self._awaited.values():
                self._receipt(sent, now(), TIMEOUT)
        self._awaited.clear()

    # --- connecting ----------------------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        """Be subscribed, as AWS's own client would: try again after a pause that doubles. False when it was no use."""
        pause = 1.0
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt and not self._pause(pause * self._rng.uniform(0.75, 1.25)):
                return False
            if self._is_over():
                return False
            if self._attempt_to_connect():
                if not self._is_over():
                    return True
                self._drop_socket()  # it was opened while the end came
                return False
            pause = min(pause * 2, _LONGEST_PAUSE)
        return False

    def _attempt_to_connect(self) -> bool:
        # A websocket address must be opened within 100 s; AWS's own client trusts one for 85 s.
        if self._connection is None or now() - self._url_at > 85:
            if self._token is None:
                return False  # the service answered the start without a token that could be sent
            due = now()
            reply, self._connection = self._crowd.client.create_connection(self._token)
            self._url_at = reply.received
            self._record(CREATE_CONNECTION, due, reply)
            if self._connection is None:
                return False
        socket = ParticipantSocket(
            self._contact_id,
            self._hear,
            self._lost,
            self._crowd.pulse,
            self._crowd.timeout,
            self._crowd.ca_bundle,
            self._crowd.bare_429,
        )
        url = self._connection.websocket_url
        due = now()
        reply = socket.open(url)
        self._record(WEBSOCKET_OPEN, due, reply)
        if reply.outcome == OK:
            self._socket = socket
            self._crowd.sockets.add(socket)
            due = now()
            reply = socket.subscribe()
            self._record(WEBSOCKET_SUBSCRIBE, due, reply)
        if reply.outcome != OK:
            self._drop_socket()
            self._url_at = -1e18  # an address is good for one attempt
            return False
        return True

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._crowd.sockets.discard(self._socket)
            self._socket.close()
            self._socket = None

    def _lost(self, socket: ParticipantSocket) -> None:
        self._crowd.sockets.discard(socket)
        if socket is not self._socket or self._is_over():
            return
        self._socket = None
        self._crowd.reconnects += 1
        gevent.spawn(self._connect)

    # --- talking -------------------------------------------------------------------------------------------------------

    def _talk(self) -> None:
        script = self._crowd.script
        for number in range(script.messages):
            if script.typing and not self._is_over():
                due = now()
                reply = self._crowd.client.send_event(self._bearer, TYPING, self._client_token())
                self._record(SEND_EVENT, due, reply)
                self._check_denied(reply)
            if not self._pause(script.think.draw(self._rng)):
                return
            self._say(number)
        if script.transcript and not self._is_over():
            due = now()
            reply, _ = self._crowd.client.get_transcript(self._bearer)
            self._record(GET_TRANSCRIPT, due, reply)
            self._check_denied(reply)
        self._pause(self._session.settings.hold.draw(self._rng))

    def _say(self, number: int) -> None:
        content_type = _sendable(self._chat)[number % len(_sendable(self._chat))]
        texts = _TEXTS[content_type]
        text = texts[int(self._rng.random() * len(texts))]
        due = now()
        reply, message_id = self._crowd.client.send_message(self._bearer, content_type, text, self._client_token())
        size = len(text.encode())
        self._record(SEND_MESSAGE, due, reply, content_type, size)
        self._check_denied(reply)
        if message_id is None:
            return
        sent = _Sent(reply.sent, content_type, size)
        at = self._seen.pop(message_id, None)
        if at is not None:
            self._receipt(sent, at, OK)
        else:
            self._awaited[message_id] = sent

    def _hear(self, item: dict[str, Any], at: float) -> None:
        if item.get("ContentType") == CHAT_ENDED:
            self._end_heard.set()
            self._over.set()
            return
        identity = item.get("Id")
        if item.get("ParticipantRole") != "CUSTOMER" or item.get("Type") != "MESSAGE" or not isinstance(identity, str):
            return
        sent = self._awaited.pop(identity, None)
        if sent is not None:
            self._receipt(sent, at, OK)
        else:
            self._seen[identity] = at

    def _receipt(self, sent: _Sent, at: float, outcome: str) -> None:
        message = "" if outcome == OK else "the message's frame did not come on the websocket"
        reply = Reply(outcome=outcome, sent=sent.at, received=at, message=message, contact_id=self._contact_id)
        self._session.record(MESSAGE_RECEIPT, sent.at, reply, self._chat.kind, sent.content_type, sent.size)

    # --- leaving -------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """End the chat, unless it has ended or the run is about to end it. Only what is known to have ended is told so."""
        if self._crowd.closing:
            return
        if self._end_heard.is_set():
            self._session.chat_ended(self._contact_id, ALREADY_ENDED)  # by somebody else: the session asks why
            return
        if self._crowd.script.disconnects and self._socket is not None and not self._is_over():
            self._await_receipts()
            due = now()
            reply = self._crowd.client.disconnect(self._bearer, self._client_token())
            self._record(DISCONNECT, due, reply)
            if reply.outcome == OK and self._over.wait(_ENDED_WITHIN) and self._end_heard.is_set():
                self._session.chat_ended(self._contact_id, STOPPED)
                return
        if not self._crowd.closing:
            self._session.stop_soon(self._contact_id)

    def _await_receipts(self) -> None:
        """A frame that is on its way should not be missed because the customer left."""
        give_up = now() + self._crowd.timeout
        while self._awaited and now() < give_up and not self._is_over():
            gevent.sleep(0.05)

    def _check_denied(self, reply: Reply) -> None:
        # A token is refused once its chat has ended, and a socket that was lost at the time did not hear of the end. It may
        # be refused for other reasons as well, so the chat is then stopped, not taken for ended.
        if reply.outcome == ACCESS_DENIED:
            self._over.set()

    def _is_over(self) -> bool:
        return self._over.is_set() or self._crowd.closing

    @property
    def _bearer(self) -> str:
        return self._connection.token if self._connection else ""

    def _pause(self, seconds: float) -> bool:
        """Wait; False when the chat or the run ended in the meantime."""
        self._over.wait(seconds)
        return not self._is_over()

    def _client_token(self) -> str:
        self._number += 1
        return f"{self._chat.client_token}.{self._number}"

    def _record(
        self, operation: str, due: float, reply: Reply, content_type: str | None = None, message_bytes: int = 0
    ) -> None:
        reply = reply.but(contact_id=self._contact_id)
        self._session.record(operation, due, reply, self._chat.kind, content_type, message_bytes)


def _sendable(chat: Chat) -> list[str]:
    """The declared content types that a customer may send, in their order; text/plain where none was declared."""
    declared = (chat.content_types or "text/plain").split(",")
    return [content_type for content_type in declared if content_type in _TEXTS] or ["text/plain"]
