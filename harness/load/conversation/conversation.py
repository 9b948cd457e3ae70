"""One customer's conversation in a chat: connect, subscribe, take the turns of a script, leave."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import gevent

from harness.connect.client import Reply, now
from harness.connect.participant import AGENTS, CHAT_ENDED, TRANSFERRED, TYPING
from harness.connect.waiting import Signal
from harness.load.conversation.line import Line, further_tab
from harness.load.conversation.shared import Shared
from harness.load.conversation.small_talk import small_talk
from harness.load.conversation.waits import Wait, Waits
from harness.load.workload.model import Chat
from harness.load.workload.scripts import Script, Turn, Words
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import (
    ACCESS_DENIED,
    AGENT_JOINED,
    AGENT_LEFT,
    CHAT_ENDED_BY_OTHERS,
    DISCONNECT,
    GET_TRANSCRIPT,
    GREETING,
    MESSAGE_RECEIPT,
    NO_AGENT,
    NOT_AWAITED,
    OK,
    QUEUE_WAIT,
    REPLY,
    SEND_EVENT,
    SEND_MESSAGE,
    TIMEOUT,
    TRANSFER,
)

_ENDED_WITHIN = 5.0
"""Seconds that a customer who has left waits for the chat.ended event, as AWS's own client does."""
_EVENTS = {AGENTS["joined"]: AGENT_JOINED, AGENTS["left"]: AGENT_LEFT, TRANSFERRED: TRANSFER}
_SAID = ("MESSAGE", "ATTACHMENT")
"""Types of items in which somebody says something."""
_MISSED = "nobody answered within --reply-timeout, or before the chat was ended"


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

    def __init__(self, shared: Shared, reply: Reply, chat: Chat, script: Script, rng: random.Random) -> None:
        assert reply.contact_id
        self._shared = shared
        self._session = shared.session
        self._contact_id = reply.contact_id
        self._chat = chat
        self._script = script
        self._rng = rng
        self._line = Line(shared, self, reply, rng, self._subscribed)
        self._tabs = [further_tab(shared, self, reply, rng) for _ in range(script.tabs - 1)]
        self._number = 0
        self._awaited: dict[str, _Sent] = {}
        self._seen: dict[str, float] = {}
        self._waits = Waits(shared.patience.seconds, self._wait_is_over)
        self._deadline: int | None = None  # the number of the call that comes when a wait has taken too long
        self._subscribed_at = 0.0
        self._last_heard: str | None = None
        self._said: list[str] = []  # what the other side has said since the customer's last message
        self._asked_at: float | None = None  # when the last message was accepted; None where it was not
        self._greeted = False
        self._queued_at: float | None = None  # while the customer is in the queue, as far as the flow said so
        self._leaving = False
        self._end_heard = Signal()
        self._over = Signal()
        self._news = Signal()

    def run(self) -> None:
        """Live through the conversation; returns when the chat has ended, is to be stopped, or the run ends."""
        try:
            if self._line.connect():
                for tab in self._tabs:
                    tab.connect()
                self._talk()
            self._leave()
        finally:
            self.close()

    def close(self) -> None:
        """Close the websocket; messages whose frames have not come are recorded as timed out."""
        for line in (self._line, *self._tabs):
            line.close()
        self._end()
        self._waits.close(now(), ended=False)
        if self._deadline is not None:
            self._shared.deadlines.cancel(self._deadline)
        self._queue_is_over(now(), NOT_AWAITED)
        if not self._shared.closing:
            for sent in self._awaited.values():
                self._receipt(sent, now(), TIMEOUT)
        self._awaited.clear()

    # --- what its line asks and tells ------------------------------------------------------------------------------------

    def is_over(self) -> bool:
        """Tell whether the chat or the run has ended."""
        return self._over.is_set() or self._shared.closing

    def pause(self, seconds: float) -> bool:
        """Wait; False when the chat or the run ended in the meantime."""
        self._over.wait(seconds)
        return not self.is_over()

    def record(
        self, operation: str, due: float, reply: Reply, content_type: str | None = None, message_bytes: int = 0
    ) -> None:
        """Record an attempt of this customer's that was due at `due`."""
        self._session.record(operation, due, reply, self._contact_id, self._chat.kind, content_type, message_bytes)

    def hear(self, item: dict[str, Any], at: float) -> None:
        """Take one message or event of the chat, whose frame was read at `at`."""
        content_type, role = item.get("ContentType"), item.get("ParticipantRole")
        if content_type == CHAT_ENDED:
            self._waits.close(at, ended=True)
            self._queue_is_over(at, NOT_AWAITED if self._leaving else NO_AGENT)
            if not self._end_heard.is_set() and not self._leaving:
                self._note(CHAT_ENDED_BY_OTHERS, self._subscribed_at or at, self._subscribed_at or at, at, OK)
            self._end_heard.set()
            self._end()
        elif item.get("Type") in _SAID:
            if role == "CUSTOMER":
                self._hear_own(item.get("Id"), at)
            elif isinstance(role, str) and (not isinstance(item.get("Id"), str) or item["Id"] != self._last_heard):
                self._last_heard = item.get("Id")
                self._hear_other(item.get("Content"), at)
        elif content_type in _EVENTS and (role == "AGENT" or content_type == TRANSFERRED):
            begun = self._subscribed_at or at
            if content_type == AGENTS["joined"]:
                self._queue_is_over(at, OK)
            self._note(_EVENTS[str(content_type)], begun, begun, at, OK)

    def _hear_own(self, identity: Any, at: float) -> None:
        if not isinstance(identity, str):
            return
        sent = self._awaited.pop(identity, None)
        if sent is not None:
            self._receipt(sent, at, OK)
        else:
            self._seen[identity] = at

    def _hear_other(self, content: Any, at: float) -> None:
        self._greeted = True
        text = content if isinstance(content, str) else ""
        self._said.append(text)
        queued = self._shared.queue_message
        if self._queued_at is None and queued is not None and queued.search(text):
            self._queued_at = at
        self._waits.heard(at)
        self._news.set()

    def _queue_is_over(self, at: float, outcome: str) -> None:
        begun, self._queued_at = self._queued_at, None
        if begun is not None:
            message = "the chat was ended before an agent joined" if outcome == NO_AGENT else ""
            self._note(QUEUE_WAIT, begun, begun, at, outcome, message)

    def _subscribed(self, at: float) -> None:
        if not self._subscribed_at:
            self._subscribed_at = at
            self._waits.subscribed(at)
            self._watch_waits()

    def _end(self) -> None:
        self._over.set()
        self._news.set()

    # --- waiting for the other side --------------------------------------------------------------------------------------

    def _watch_waits(self) -> None:
        until = self._waits.patient_until
        if until is not None and self._deadline is None:
            self._deadline = self._shared.deadlines.add(until, self._patience_is_over)

    def _patience_is_over(self, at: float) -> None:
        self._deadline = None
        self._waits.expire(at)
        self._watch_waits()  # the others that are open, or were opened since

    def _wait_is_over(self, wait: Wait, at: float, outcome: str) -> None:
        if outcome == OK:
            self._shared.patience.heard(wait.operation)
        message = "" if outcome in (OK, NOT_AWAITED) else _MISSED
        self._note(wait.operation, wait.due, wait.begun, at, outcome, message, wait.content_type, wait.message_bytes)
        self._news.set()

    def _await_other(self, turn: Turn) -> bool:
        """Wait as `turn` says; whether the other side said what was waited for."""
        came_at = now()
        while not self.is_over():
            if self._has_said(turn):
                return True
            if turn.wait_for == "reply" and self._asked_at is None and turn.matches is None and self._number:
                return False  # the message was refused: nobody will reply to it
            until = self._waits_until(turn, came_at)
            if now() >= until:
                return False
            self._news.clear()
            self._news.wait(until - now())
        return False

    def _waits_until(self, turn: Turn, came_at: float) -> float:
        if turn.within is not None:
            return came_at + turn.within
        greeting = turn.wait_for == "greeting"
        begun = self._subscribed_at if greeting else self._asked_at or came_at
        if self._script.firm:
            return begun + self._shared.patience.seconds
        return self._shared.patience.until(GREETING if greeting else REPLY, begun)

    def _has_said(self, turn: Turn) -> bool:
        if turn.matches is not None:
            return any(turn.matches.search(text) for text in self._said)
        return self._greeted if turn.wait_for == "greeting" else bool(self._said)

    # --- talking -------------------------------------------------------------------------------------------------------

    def _talk(self) -> None:
        script = self._script
        spoken = 0
        for turn in script.turns:
            if self.is_over():
                return
            if not self._take(turn, spoken):
                return
            spoken += turn.small_talk
        if script.transcript and not self.is_over():
            due = now()
            reply, _ = self._shared.client.get_transcript(self._line.token)
            self.record(GET_TRANSCRIPT, due, reply)
            self._check_denied(reply)
        stay = (script.stay or self._session.settings.hold).draw(self._rng)
        if stay > 0:
            self.pause(stay)

    def _take(self, turn: Turn, spoken: int) -> bool:
        """Take one turn; False when it was the customer's last."""
        if turn.reconnect and not self._line.reconnect():
            return False
        if (turn.wait_for or turn.matches) and not self._await_other(turn) and turn.else_leave:
            return False
        if turn.abandon and self._rng.random() < turn.abandon:
            return False
        if turn.typing and not self.is_over():
            due = now()
            reply = self._shared.client.send_event(self._line.token, TYPING, self._client_token())
            self.record(SEND_EVENT, due, reply)
            self._check_denied(reply)
        due = now()
        if turn.think is not None:
            seconds = turn.think.draw(self._rng)
            due += seconds
            if not self.pause(seconds):
                return False
        if turn.small_talk:
            self._say(small_talk(self._chat.content_types, spoken, self._rng), due)
        elif turn.words:
            self._say(turn.words[int(self._rng.random() * len(turn.words))], due)
        return True

    def _say(self, words: Words, due: float) -> None:
        """Send what the customer wanted to say at `due`."""
        self._said.clear()
        self._asked_at = None
        self._waits.sending()
        reply, message_id = self._shared.client.send_message(self._line.token, *words, self._client_token())
        size = len(words.text.encode())
        self.record(SEND_MESSAGE, due, reply, words.content_type, size)
        self._check_denied(reply)
        if message_id is None:
            return
        sent = _Sent(reply.sent, words.content_type, size)
        at = self._seen.pop(message_id, None)
        self._asked_at = reply.received
        if not self._end_heard.is_set():
            self._waits.accepted(due, reply.received, at or reply.sent, words.content_type, size)
            self._watch_waits()
        if at is not None:
            self._receipt(sent, at, OK)
        else:
            self._awaited[message_id] = sent

    def _receipt(self, sent: _Sent, at: float, outcome: str) -> None:
        message = "" if outcome == OK else "the message's frame did not come on the websocket"
        self._note(MESSAGE_RECEIPT, sent.at, sent.at, at, outcome, message, sent.content_type, sent.size)

    def _note(
        self,
        operation: str,
        due: float,
        begun: float,
        at: float,
        outcome: str,
        message: str = "",
        content_type: str | None = None,
        size: int = 0,
    ) -> None:
        """Record what was no call: something that the websocket showed, or did not."""
        reply = Reply(outcome=outcome, sent=begun, received=at, message=message)
        self._session.record(operation, due, reply, self._contact_id, self._chat.kind, content_type, size)

    # --- leaving -------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """End the chat, unless it has ended or the run is about to end it. Only what is known to have ended is told so."""
        if self._shared.closing:
            return
        if self._end_heard.is_set():
            self._session.chat_ended(self._contact_id, ALREADY_ENDED)  # by somebody else: the session asks why
            return
        if self._script.leave == "disconnect" and self._line.is_open and not self.is_over():
            self._await_receipts()
            self._waits.close(now(), ended=False)
            self._leaving = True
            due = now()
            reply = self._shared.client.disconnect(self._line.token, self._client_token())
            self.record(DISCONNECT, due, reply)
            if reply.outcome == OK and self._over.wait(_ENDED_WITHIN) and self._end_heard.is_set():
                self._session.chat_ended(self._contact_id, STOPPED)
                return
        if self._script.leave == "vanish":
            for line in (self._line, *self._tabs):
                line.close()
            self._waits.close(now(), ended=False)
            self.pause(self._session.settings.hold.draw(self._rng))
        if not self._shared.closing:
            self._session.stop_soon(self._contact_id)

    def _await_receipts(self) -> None:
        """Wait a moment: a frame that is on its way should not be missed because the customer left."""
        give_up = now() + self._shared.timeout
        while self._awaited and now() < give_up and not self.is_over():
            gevent.sleep(0.05)

    def _check_denied(self, reply: Reply) -> None:
        # A token is refused once its chat has ended, and a socket that was lost at the time did not hear of the end. It may
        # be refused for other reasons as well, so the chat is then stopped, not taken for ended.
        if reply.outcome == ACCESS_DENIED:
            self._end()

    def _client_token(self) -> str:
        self._number += 1
        return f"{self._chat.client_token}.{self._number}"
