"""What is said in a chat: its items, who hears of them, receipts, and the pages of GetTranscript."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from harness.emulator.service.chats import Chat
from harness.emulator.service.clock import Clock, iso8601
from harness.emulator.service.items import (
    DELIVERED,
    ENDED,
    EVENTS,
    JOINED,
    LEFT,
    METADATA,
    PREFIX,
    READ,
    REHYDRATED,
    Item,
    MessageMetadata,
    Participant,
    Receipt,
)
from harness.emulator.service.members import Members


class Conversations:
    """Writes items into chats' transcripts and hands each to the chat's listeners."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._ids = random.Random(f"{seed} items")
        # Hands an item to a topic that its chat streams to; the server puts its own here.
        self.publish: Callable[[str, Chat, Item], None] = lambda topic, chat, item: None

    def items(self, chat: Chat) -> list[Item]:
        """Return the transcript so far, oldest first. It is made when first asked for: most chats of a load test
        never are.
        """
        if chat.transcript is None:
            chat.transcript = list(chat.past or [])
            if chat.past is not None:
                rehydrated = self._item(chat, chat.started, REHYDRATED, None, None)
                rehydrated.related_contact_id = chat.request["PersistentChat"]["SourceContactId"]
                chat.transcript.append(rehydrated)
            chat.transcript.append(self._item(chat, chat.started, JOINED, None, self.customer(chat)))
            message = chat.request.get("InitialMessage")
            if message is not None:
                item = self._item(chat, chat.started, message["ContentType"], message["Content"], self.customer(chat))
                chat.transcript.append(item)
        return chat.transcript

    @staticmethod
    def customer(chat: Chat) -> Participant:
        """Return the customer of `chat`."""
        return Participant(chat.participant_id, chat.display_name, "CUSTOMER")

    def participant(self, chat: Chat, role: str, name: str = "") -> Participant:
        """Return the participant of `chat` with this role and name; it is made when first asked for."""
        if chat.others is None:
            chat.others = {}
        participant = chat.others.get((role, name))
        if participant is None:
            participant = Participant(self._new_id(), name or f"{role}_MESSAGE", role)
            chat.others[role, name] = participant
        return participant

    def say(
        self, now: float, chat: Chat, content_type: str, content: str | None, who: Participant | None = None
    ) -> Item:
        """Return a message or event of a participant (the customer); typing and receipts are heard and not kept."""
        items = self.items(chat)
        item = self._item(chat, now, content_type, content, who or self.customer(chat))
        if content_type in (DELIVERED, READ):
            self._receipt(now, chat, item)
            return item
        if content_type not in EVENTS:
            items.append(item)
        self._hear(chat, item)
        return item

    def attach(self, now: float, chat: Chat, shown: dict[str, str], who: Participant | None) -> Item:
        """Return a file that a participant (the customer) has sent."""
        item = self._item(chat, now, shown["ContentType"], None, who or self.customer(chat))
        item.type, item.attachments = "ATTACHMENT", [shown]
        self.items(chat).append(item)
        self._hear(chat, item)
        return item

    def add_participant(self, chat: Chat, role: str, name: str) -> Participant:
        """One more participant, whatever others of this name there are."""
        who = Participant(self._new_id(), name, role)
        if chat.others is None:
            chat.others = {}
        chat.others[role, who.id] = who
        return who

    def ended(self, chat: Chat) -> None:
        """Note that the chat has ended: everybody who listens hears it, and nobody listens any more."""
        at = chat.ended or 0.0
        if chat.transcript is not None or chat.listeners or chat.streams:
            for kind, who in ((LEFT, self.customer(chat)), (ENDED, None)):
                item = self._item(chat, at, kind, None, who)
                self.items(chat).append(item)
                self._hear(chat, item)
        chat.listeners = ()

    @staticmethod
    def take_unheard(chat: Chat) -> list[Item]:
        """Return what others said before the first websocket opened; it is given out once."""
        unheard, chat.unheard = chat.unheard or [], None
        chat.heard = True
        return unheard

    def _receipt(self, now: float, chat: Chat, event: Item) -> None:
        """Note that a participant has received or read a message: the message's metadata say so, and all are told."""
        message_id = receipt_message_id(event.content)
        message = next((item for item in self.items(chat) if item.id == message_id and item.type == "MESSAGE"), None)
        who = event.participant_id
        if message is None or who is None:
            return
        if message.message_metadata is None:
            message.message_metadata = MessageMetadata(message.id, [])
        receipts = message.message_metadata.receipts
        receipt = next((one for one in receipts if one.recipient_participant_id == who), None)
        if receipt is None:
            receipt = Receipt(who)
            receipts.append(receipt)
        at = iso8601(self._clock.unix(now))
        if event.content_type == READ:
            receipt.read_timestamp = receipt.read_timestamp or at
        receipt.delivered_timestamp = receipt.delivered_timestamp or at
        told = Item(
            absolute_time=at,
            content_type=METADATA,
            id=event.id,
            type="MESSAGEMETADATA",
            contact_id=chat.contact_id,
            initial_contact_id=chat.contact_id,
            message_metadata=MessageMetadata(message.id, [receipt]),
        )
        self._hear(chat, told)

    def _hear(self, chat: Chat, item: Item) -> None:
        if not chat.heard and item.type == "MESSAGE" and item.participant_role != "CUSTOMER":
            if chat.unheard is None:
                chat.unheard = []
            chat.unheard.append(item)
        for listener in chat.listeners:
            listener.hear(chat, item)
        if chat.streams:
            for topic in chat.streams.values():
                self.publish(topic, chat, item)

    def _item(self, chat: Chat, at: float, content_type: str, content: str | None, who: Participant | None) -> Item:
        item = Item(
            absolute_time=iso8601(self._clock.unix(at)),
            content_type=content_type,
            id=self._new_id(),
            type="EVENT" if content_type.startswith(PREFIX) else "MESSAGE",
            contact_id=chat.contact_id,
            initial_contact_id=chat.contact_id,
            content=content,
        )
        if who is not None:
            item.participant_id, item.display_name, item.participant_role = who.id, who.display_name, who.role
        return item

    def _new_id(self) -> str:
        text = f"{self._ids.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def receipt_message_id(content: str | None) -> str | None:
    """Return the message that a receipt's `{"messageId": ...}` names; None: it names none."""
    try:
        named: Any = orjson.loads(content or "")
        message_id = named["messageId"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return message_id if isinstance(message_id, str) and message_id else None


def page(items: list[Item], request: Members) -> tuple[list[Members], str | None]:
    """One page of a transcript and the token of the next page. Raises ValueError for a token or a start not known.

    Defaults as documented: 10 items, DESCENDING, scanned BACKWARD from the newest, or FORWARD from a StartPosition.
    """
    start = request.get("StartPosition")
    forward = (request.get("ScanDirection") or ("FORWARD" if start else "BACKWARD")) == "FORWARD"
    if request.get("NextToken"):
        direction, _, position = request["NextToken"].partition("-")
        if direction not in ("f", "b") or not (position.isascii() and position.isdigit()) or int(position) > len(items):
            raise ValueError("NextToken is not valid")
        forward, first = direction == "f", int(position)
    else:
        first = _first(items, start, forward)
    count = request.get("MaxResults") or 10
    if forward:
        chosen, following = items[first : first + count], first + count
        token = f"f-{following}" if following < len(items) else None
    else:
        following = max(first - count, 0)
        chosen = items[following:first]
        token = f"b-{following}" if following > 0 else None
    if (request.get("SortOrder") or "DESCENDING") == "DESCENDING":
        chosen = chosen[::-1]
    return [plain(item, initial=False) for item in chosen], token


def plain(item: Item, initial: bool = True) -> Members:
    """Return an item as JSON values, with or without its InitialContactId."""
    values: Members = msgspec.to_builtins(item)
    if not initial:
        del values["InitialContactId"]
    return values


def _first(items: list[Item], start: Members | None, forward: bool) -> int:
    """Index of the first item of a forward scan, or one past the first of a backward scan."""
    one_past = 0 if forward else 1
    if not start:
        return 0 if forward else len(items)
    if start.get("Id") is not None:
        for index, item in enumerate(items):
            if item.id == start["Id"]:
                return index + one_past
        raise ValueError("StartPosition.Id is not in the transcript")
    if start.get("AbsoluteTime") is not None:
        at = _normal_time(start["AbsoluteTime"])
        return sum(1 for item in items if (item.absolute_time < at if forward else item.absolute_time <= at))
    return max(len(items) - (start.get("MostRecent") or 0), 0)


def _normal_time(text: str) -> str:
    """Return an ISO 8601 time with an offset, as items have it. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or "T" not in text:
        raise ValueError("StartPosition.AbsoluteTime is not an ISO 8601 time such as 2026-01-31T12:00:00.000Z")
    return iso8601(at.astimezone(UTC).timestamp())
