"""What is said in a chat: its items, who hears of them, and the pages of GetTranscript."""

from typing import Any

from harness.emulator.service.chats import Chat, Chats
from harness.emulator.service.clock import Clock, iso8601

_EVENT = "application/vnd.amazonaws.connect.event."
JOINED, LEFT, ENDED, TYPING = (
    _EVENT + name for name in ("participant.joined", "participant.left", "chat.ended", "typing")
)
ACKNOWLEDGED = _EVENT + "connection.acknowledged"
DELIVERED, READ, METADATA = (_EVENT + f"message.{name}" for name in ("delivered", "read", "metadata"))
EVENTS = frozenset({TYPING, DELIVERED, READ, ACKNOWLEDGED})

Item = dict[str, Any]


class Conversations:
    """Writes items into chats' transcripts and hands each to the chat's listeners."""

    def __init__(self, chats: Chats, clock: Clock, greeting: str) -> None:
        self._chats, self._clock, self._greeting = chats, clock, greeting

    def items(self, chat: Chat) -> list[Item]:
        """The transcript so far, oldest first. It is made when first asked for: most chats of a load test never are."""
        if chat.transcript is None:
            chat.transcript = []
            self._keep(chat, self._item(chat, chat.started, JOINED))
            message = chat.request.get("InitialMessage")
            if message is not None:
                self._keep(chat, self._item(chat, chat.started, message["ContentType"], message["Content"]))
            if self._greeting:
                self._keep(chat, self._item(chat, chat.started, "text/plain", self._greeting, role="SYSTEM"))
        return chat.transcript

    def say(self, now: float, chat: Chat, content_type: str, content: str | None, role: str = "CUSTOMER") -> Item:
        """A message or event of a participant; typing is heard and not kept."""
        items = self.items(chat)
        item = self._item(chat, now, content_type, content, role)
        if content_type in (DELIVERED, READ):
            self._hear(chat, {**item, "ContentType": METADATA, "Type": "MESSAGEMETADATA"})
            return item
        if content_type not in EVENTS:
            items.append(item)
        self._hear(chat, item)
        return item

    def ended(self, chat: Chat) -> None:
        """The chat has ended: everybody who listens hears it, and nobody listens any more."""
        at = chat.ended or 0.0
        if chat.transcript is not None or chat.listeners:
            for kind in (LEFT, ENDED):
                item = self._item(chat, at, kind) if kind == LEFT else self._item(chat, at, kind, role=None)
                self.items(chat).append(item)
                self._hear(chat, item)
        chat.listeners.clear()

    def _keep(self, chat: Chat, item: Item) -> None:
        if chat.transcript is not None:
            chat.transcript.append(item)

    @staticmethod
    def _hear(chat: Chat, item: Item) -> None:
        for listener in tuple(chat.listeners):
            listener(chat, item)

    def _item(
        self, chat: Chat, at: float, content_type: str, content: str | None = None, role: str | None = "CUSTOMER"
    ) -> Item:
        item: Item = {
            "AbsoluteTime": iso8601(self._clock.unix(at)),
            "ContentType": content_type,
            "Id": self._chats.new_id(),
            "Type": "EVENT" if content_type.startswith(_EVENT) else "MESSAGE",
            "InitialContactId": chat.contact_id,
            "ContactId": chat.contact_id,
        }
        if content is not None:
            item["Content"] = content
        if role is not None:
            own = role == "CUSTOMER"
            item["ParticipantId"] = chat.participant_id if own else f"{role.lower()}-{chat.participant_id}"
            item["DisplayName"] = chat.display_name if own else f"{role}_MESSAGE"
            item["ParticipantRole"] = role
        return item


def page(items: list[Item], request: dict[str, Any]) -> tuple[list[Item], str | None]:
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
    return [{key: value for key, value in item.items() if key != "InitialContactId"} for item in chosen], token


def _first(items: list[Item], start: dict[str, Any] | None, forward: bool) -> int:
    """Index of the first item of a forward scan, or one past the first of a backward scan."""
    one_past = 0 if forward else 1
    if not start:
        return 0 if forward else len(items)
    if start.get("Id") is not None:
        for index, item in enumerate(items):
            if item["Id"] == start["Id"]:
                return index + one_past
        raise ValueError("StartPosition.Id is not in the transcript")
    if start.get("AbsoluteTime") is not None:
        at = start["AbsoluteTime"]
        return sum(1 for item in items if (item["AbsoluteTime"] < at if forward else item["AbsoluteTime"] <= at))
    return max(len(items) - (start.get("MostRecent") or 0), 0)
