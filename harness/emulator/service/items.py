"""The items of a chat's transcript, as the Participant Service shapes them, and the names of its events."""

from dataclasses import dataclass

import msgspec

PREFIX = "application/vnd.amazonaws.connect.event."
JOINED, LEFT, ENDED, TYPING, TRANSFERRED = (
    PREFIX + name for name in ("participant.joined", "participant.left", "chat.ended", "typing", "transfer.succeeded")
)
REHYDRATED = PREFIX + "chat.rehydrated"
ACKNOWLEDGED = PREFIX + "connection.acknowledged"
DELIVERED, READ, METADATA = (PREFIX + f"message.{name}" for name in ("delivered", "read", "metadata"))
# What a participant may send; none of these is kept in the transcript.
EVENTS = frozenset({TYPING, DELIVERED, READ, ACKNOWLEDGED})


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a chat: the customer, an agent, a bot, the flow."""

    id: str
    display_name: str
    role: str


@dataclass(slots=True)
class Attachment:
    """One file. `body` is None until it is uploaded; `who` sent it (None: the customer who started the chat)."""

    id: str
    name: str
    content_type: str
    size: int
    who: Participant | None
    upload_secret: str
    upload_until: float
    body: bytes | None = None
    complete: bool = False

    @property
    def shown(self) -> dict[str, str]:
        """What an item of the transcript says of it."""
        return {
            "AttachmentId": self.id,
            "AttachmentName": self.name,
            "ContentType": self.content_type,
            "Status": "APPROVED",
        }


class Receipt(msgspec.Struct, rename="pascal", omit_defaults=True):
    """When one participant got and read a message."""

    recipient_participant_id: str
    delivered_timestamp: str | None = None
    read_timestamp: str | None = None


class MessageMetadata(msgspec.Struct, rename="pascal"):
    """The receipts of a message."""

    message_id: str
    receipts: list[Receipt]


class Item(msgspec.Struct, rename="pascal", omit_defaults=True):
    """One message or event; members that are None are left out of its JSON."""

    absolute_time: str
    content_type: str
    id: str
    type: str
    contact_id: str
    initial_contact_id: str
    content: str | None = None
    participant_id: str | None = None
    display_name: str | None = None
    participant_role: str | None = None
    message_metadata: MessageMetadata | None = None
    attachments: list[dict[str, str]] | None = None
    related_contact_id: str | None = None
