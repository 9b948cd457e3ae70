"""The chats of an instance as a state machine in injected time: slots, deadlines, tokens. No clock and no I/O."""

import heapq
import math
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
import orjson

from harness.emulator.service.items import Attachment, Item, Participant
from harness.emulator.service.members import Members
from harness.emulator.settings import documented
from harness.emulator.settings.settings import Settings

# Reasons of a disconnect, as the administrator guide names them for chats.
STOPPED = "API"
CUSTOMER_LEFT = "CUSTOMER_DISCONNECT"
NEVER_CONNECTED = "CUSTOMER_CONNECTION_NOT_ESTABLISHED"
EXPIRED = "EXPIRED"
FLOW_ENDED = "CONTACT_FLOW_DISCONNECT"

AGENT_LEFT = "AGENT_DISCONNECT"


class Listener(Protocol):
    """An open websocket; a `who` of None is the customer who started the chat."""

    who: Participant | None

    def hear(self, chat: "Chat", item: Item) -> None:
        """Take an item of the chat."""

    def finish(self) -> None:
        """Close once all that waits is sent."""


class Chat(msgspec.Struct, eq=False):
    """One chat contact. Times are seconds since the emulator started; None is a thing that did not happen yet.

    A chat with which nothing was done has no container: a load test has a hundred thousand of them, and what refers to
    nothing else need not be looked at by the garbage collector.
    """

    contact_id: str
    participant_id: str
    participant_token: str
    instance: str
    started: float
    expires: float
    connect_by: float
    raw: bytes | None  # the request as JSON, until somebody looks: at most chats of a load test nobody does
    _request: Members | None = None
    connected: float | None = None
    ended: float | None = None
    reason: str | None = None
    holds_slot: bool = False
    connection_tokens: dict[str, float] | None = None  # and when each expires
    transcript: list[Item] | None = None
    _sent: dict[str, Members] | None = None
    listeners: tuple[Listener, ...] = ()
    subscribed: bool = False
    heard: bool = False  # a websocket was open once
    unheard: list[Item] | None = None  # what others said before that
    others: dict[tuple[str, str], Participant] | None = None  # by role and name
    updated_attributes: dict[str, str] | None = None
    speakers: dict[str, Participant] | None = None  # by token: those who are not the customer who started the chat
    attachments: dict[str, Attachment] | None = None
    streams: dict[str, str] | None = None  # topics of SNS by StreamingId
    past: list[Item] | None = None  # what was said in the chats that this one continues
    by_flow: bool = False  # it expires because its flow ends it

    @property
    def request(self) -> Members:
        """The members of StartChatContact as the caller sent them."""
        if self._request is None:
            self._request, self.raw = orjson.loads(self.raw or b"{}"), None
        return self._request

    @property
    def deadline(self) -> float:
        """When the chat ends by itself, as things stand."""
        return self.expires if self.connected is not None else min(self.expires, self.connect_by)

    @property
    def sent(self) -> dict[str, Members]:
        """What calls about the chat were answered, by ClientToken."""
        if self._sent is None:
            self._sent = {}
        return self._sent

    @property
    def content_types(self) -> list[str]:
        """Content types that messages of this chat may have."""
        declared: list[str] | None = self.request.get("SupportedMessagingContentTypes")
        return declared or ["text/plain"]

    @property
    def attributes(self) -> dict[str, str]:
        """The contact attributes: those of the request, with later updates."""
        given: dict[str, str] = self.request.get("Attributes") or {}
        return given if self.updated_attributes is None else {**given, **self.updated_attributes}

    @property
    def display_name(self) -> str:
        name: str = self.request["ParticipantDetails"]["DisplayName"]
        return name

    def listen(self, listener: Listener) -> None:
        """Let `listener` hear what is said from now on."""
        self.listeners = (*self.listeners, listener)

    def leave(self, listener: Listener) -> None:
        """Let `listener` hear nothing more, if it has listened."""
        self.listeners = tuple(other for other in self.listeners if other is not listener)

    def add_token(self, token: str, expires: float) -> None:
        """Let `token` speak for a participant until it expires; infinity: it is a participant token."""
        if self.connection_tokens is None:
            self.connection_tokens = {}
        self.connection_tokens[token] = expires


class Replay(msgspec.Struct, frozen=True, gc=False):
    """What a ClientToken is remembered by: the first answer, and what was asked for."""

    contact_id: str
    participant_id: str
    participant_token: str
    expires: float
    request: bytes


class Chats:
    """Every chat of the emulator, open or lately ended, and the slots of the active-chat quota.

    Call `advance(now)` before anything else at a new time: it ends what is due and frees the slots that are due.
    `now` never goes back. `on_end` hears of each chat once, when it ends.
    """

    def __init__(self, settings: Settings, on_end: Callable[[Chat], None] = lambda chat: None) -> None:
        self.settings = settings
        self.on_end = on_end
        self._ids = random.Random(f"{settings.seed} ids")
        self._coins = random.Random(f"{settings.seed} overshoot")
        self.by_id: dict[str, Chat] = {}
        self.by_token: dict[str, Chat] = {}
        self.open: dict[str, int] = {}  # slots in use, by instance
        self.held: dict[str, int] = {}  # of which by other clients
        self.replays: dict[tuple[str, str], Replay] = {}
        self._starts = draws(self._ids, _START)
        self._deadlines: list[tuple[float, int, str]] = []  # by contact id
        self._freed: list[tuple[float, int, Chat]] = []
        self._held_ends: list[tuple[float, str]] = []
        self._ended: deque[Chat] = deque()
        self._serial = 0
        self._live = 0
        for instance in instance_ids(settings):
            self.open[instance] = self.held[instance] = settings.held
            if not math.isinf(settings.held_mean):
                for _ in range(settings.held):
                    end = self._coins.expovariate(1 / settings.held_mean) if settings.held_mean else 0.0
                    heapq.heappush(self._held_ends, (end, instance))

    def new_id(self) -> str:
        """A fresh identifier in the form of a UUID."""
        return _uuid(f"{self._ids.getrandbits(128):032x}")

    def new_token(self) -> str:
        """Return a fresh bearer token."""
        return f"EMULATED{self._ids.getrandbits(512).to_bytes(64).hex()}"

    def has_room(self, instance: str) -> bool:
        """Whether the active-chat quota lets one more chat start in `instance`."""
        beyond = self.open[instance] - self.settings.active_chats
        if beyond < 0:
            return True
        return beyond < self.settings.overshoot and self._coins.random() < 0.5

    def start(
        self,
        now: float,
        instance: str,
        request: Mapping[str, Any],
        raw: bytes,
        token: str | None,
        asked: bytes = b"",
    ) -> Chat:
        """Open a chat; the caller has checked that there is room.

        `request` has the members of StartChatContact, `raw` is its JSON as sent, `asked` a fingerprint of it.
        """
        settings = self.settings
        minutes = request.get("ChatDurationInMinutes")
        length = settings.chat_duration if minutes is None else minutes * 60.0
        # Both ids and the token in one: a start is what a load test asks for most.
        ids = (_STARTED % next(self._starts)).decode()
        chat = Chat(
            ids[:36],
            ids[36:72],
            ids[72:],
            instance,
            now,
            now + min(length, settings.flow_ends),
            now + settings.connect_timeout,
            raw,
        )
        if settings.flow_ends < length:
            chat.by_flow = True
        self.by_id[chat.contact_id] = self.by_token[chat.participant_token] = chat
        if settings.unconnected_counts:
            self._take_slot(chat)
        self._live += 1
        self._watch(chat)
        if token is not None:
            key = (instance if settings.client_token_scope == "instance" else "", token)
            self.replays[key] = Replay(
                chat.contact_id,
                chat.participant_id,
                chat.participant_token,
                now + settings.client_token_lifetime,
                asked,
            )
            while len(self.replays) > settings.keep_tokens:
                del self.replays[next(iter(self.replays))]
        return chat

    def replay(self, now: float, instance: str, token: str) -> Replay | None:
        """Return the first answer to `token`, if it is still remembered."""
        key = (instance if self.settings.client_token_scope == "instance" else "", token)
        replay = self.replays.get(key)
        if replay is not None and replay.expires <= now:
            del self.replays[key]
            return None
        return replay

    def connect(self, now: float, chat: Chat) -> None:
        """Note that the customer has connected: the connection deadline no longer applies."""
        if chat.connected is None and chat.ended is None:
            chat.connected = now
            if not chat.holds_slot:
                self._take_slot(chat)
            self._watch(chat)

    def add_connection(self, now: float, chat: Chat, who: Participant | None = None) -> tuple[str, float]:
        """Return a new connection token of a participant (the chat's customer), and when it expires."""
        token = self.new_token()
        if who is not None and chat.speakers is not None:
            chat.speakers[token] = who
        expires = now + documented.CONNECTION_TOKEN_LIFETIME
        chat.add_token(token, expires)
        self.by_token[token] = chat
        return token, expires

    def add_participant_token(self, chat: Chat, who: Participant | None = None) -> str:
        """One more participant token of the customer, or the one of another participant `who`."""
        token = self.new_token()
        if who is not None:
            if chat.speakers is None:
                chat.speakers = {}
            chat.speakers[token] = who
        chat.add_token(token, math.inf)
        self.by_token[token] = chat
        return token

    def add_stream(self, chat: Chat, topic: str) -> str:
        """Stream what is said to `topic` from now on; the stream's id."""
        if chat.streams is None:
            chat.streams = {}
        stream = self.new_id()
        chat.streams[stream] = topic
        return stream

    def revoke(self, chat: Chat, who: Participant) -> None:
        """Another participant than the first customer leaves: its tokens and websockets are of no use any more."""
        for token in [token for token, speaker in (chat.speakers or {}).items() if speaker is who]:
            del self.by_token[token]
            if chat.connection_tokens is not None:
                del chat.connection_tokens[token]
        for listener in [listener for listener in chat.listeners if listener.who is who]:
            chat.leave(listener)
            listener.finish()

    def end(self, now: float, chat: Chat, reason: str) -> bool:
        """End an open chat; False if it had ended already."""
        if chat.ended is not None:
            return False
        chat.ended, chat.reason = now, reason
        self._live -= 1
        if chat.holds_slot:
            if self.settings.slot_lag:
                self._serial += 1
                heapq.heappush(self._freed, (now + self.settings.slot_lag, self._serial, chat))
            else:
                self._free_slot(chat)
        self.on_end(chat)
        self._ended.append(chat)
        while len(self._ended) > self.settings.keep_ended:
            self._forget(self._ended.popleft())
        return True

    def advance(self, now: float) -> None:
        """Let time pass until `now`: end the chats and free the slots that are due."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            due, _, contact_id = heapq.heappop(deadlines)
            chat = self.by_id.get(contact_id)
            if chat is not None and chat.ended is None and chat.deadline == due:
                self.end(due, chat, self._reason_at(chat, due))
        while self._freed and self._freed[0][0] <= now:
            self._free_slot(heapq.heappop(self._freed)[2])
        while self._held_ends and self._held_ends[0][0] <= now:
            instance = heapq.heappop(self._held_ends)[1]
            self.held[instance] -= 1
            self.open[instance] -= 1

    @property
    def live(self) -> int:
        """How many chats have not ended (a slot may stay taken for a while after the end)."""
        return self._live

    @staticmethod
    def _reason_at(chat: Chat, due: float) -> str:
        if chat.connected is None and due == chat.connect_by:
            return NEVER_CONNECTED
        return FLOW_ENDED if chat.by_flow else EXPIRED

    def _take_slot(self, chat: Chat) -> None:
        chat.holds_slot = True
        self.open[chat.instance] += 1

    def _free_slot(self, chat: Chat) -> None:
        chat.holds_slot = False
        self.open[chat.instance] -= 1

    def _watch(self, chat: Chat) -> None:
        deadline = chat.deadline
        if deadline == math.inf:
            return
        self._serial += 1
        heapq.heappush(self._deadlines, (deadline, self._serial, chat.contact_id))
        # Chats that were stopped stay in the heap until their deadline: throw them out before they are the most of it.
        if len(self._deadlines) > 2 * self._live + 1000:
            self._deadlines = [item for item in self._deadlines if self._still_due(item[0], item[2])]
            heapq.heapify(self._deadlines)

    def _still_due(self, deadline: float, contact_id: str) -> bool:
        chat = self.by_id.get(contact_id)
        return chat is not None and chat.ended is None and chat.deadline == deadline

    def _forget(self, chat: Chat) -> None:
        del self.by_id[chat.contact_id], self.by_token[chat.participant_token]
        for token in chat.connection_tokens or ():
            self.by_token.pop(token, None)


# Of a start: two ids in the form of a UUID, and the digits of a token.
_START = struct.Struct("8s4s3s3s12s" * 2 + "128s")
_STARTED = b"%b-%b-4%b-a%b-%b" * 2 + b"EMULATED%b"


def draws(rng: random.Random, layout: struct.Struct) -> Iterator[tuple[bytes, ...]]:
    """Draw hexadecimal digits without end, in pieces as `layout` cuts them."""
    while True:  # many at once: one by one they cost twice as much
        yield from layout.iter_unpack(rng.randbytes(32 * layout.size).hex().encode())


def _uuid(digits: str) -> str:
    """The first 32 hexadecimal `digits` in the form of a UUID."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def instance_ids(settings: Settings) -> list[str]:
    """Return the ids of the emulator's instances; the first is the one that the settings name."""
    rng = random.Random(f"{settings.seed} instances")
    others = [
        f"{rng.getrandbits(32):08x}-cccc-4ccc-8ccc-{rng.getrandbits(48):012x}" for _ in range(settings.instances - 1)
    ]
    return [settings.instance_id, *others]
