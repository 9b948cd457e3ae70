"""The quotas and timings that AWS documents, as defaults of the emulator.

Sources: Amazon Connect administrator guide, "Amazon Connect service quotas" (API throttling quotas, concurrent active
chats per instance); API reference of StartChatContact (durations, the five-minute rule) and of the Participant Service
(100 seconds to open a websocket address, a day for a connection token).
"""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["account", "instance"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A throttling quota: `rate` calls per second, `burst` calls at once, shared by an `account` or an `instance`."""

    rate: float
    burst: float
    scope: Scope


LIMITS: dict[str, Limit] = {
    "StartChatContact": Limit(5, 8, "account"),
    "StopContact": Limit(10, 15, "account"),
    "GetContactAttributes": Limit(10, 15, "account"),
    "UpdateContactAttributes": Limit(10, 15, "account"),
    "CreateParticipant": Limit(5, 8, "account"),
    "StartContactStreaming": Limit(5, 8, "account"),
    "StopContactStreaming": Limit(5, 8, "account"),
    "DescribeContact": Limit(10, 15, "account"),
    "SearchContacts": Limit(0.5, 1, "account"),
    "GetCurrentMetricData": Limit(5, 8, "account"),
    "CreateParticipantConnection": Limit(6, 9, "instance"),
    "SendMessage": Limit(10, 15, "instance"),
    "SendEvent": Limit(10, 15, "instance"),
    "GetTranscript": Limit(8, 12, "instance"),
    "DisconnectParticipant": Limit(3, 5, "instance"),
    "StartAttachmentUpload": Limit(2, 5, "instance"),
    "CompleteAttachmentUpload": Limit(2, 5, "instance"),
    "GetAttachment": Limit(8, 12, "instance"),
}

ACTIVE_CHATS = 500
CHAT_DURATION = 25 * 3600.0
CONNECT_TIMEOUT = 300.0
WEBSOCKET_URL_LIFETIME = 100.0
CONNECTION_TOKEN_LIFETIME = 24 * 3600.0
# Documented for StartOutboundChatContact; StartChatContact's own documentation gives no length.
CLIENT_TOKEN_LIFETIME = 7 * 24 * 3600.0
WEBSOCKETS_PER_PARTICIPANT = 5

ATTRIBUTE_BYTES = 32_768
ATTACHMENT_FILE_BYTES = 20 * 1024 * 1024
ATTACHMENTS_PER_CHAT = 35
ATTACHMENT_SUFFIXES = frozenset(
    {
        "csv", "doc", "docx", "heic", "jpg", "mov", "mp4", "pdf", "png", "ppt", "pptx", "rtf", "txt", "wav", "xls", "xlsx",
    }
)  # fmt: skip
# Not documented; UrlExpiry tells it to the client.
UPLOAD_URL_LIFETIME = 900.0
MESSAGE_BYTES = 16_384
MESSAGE_TYPES = frozenset(
    {
        "text/plain",
        "text/markdown",
        "application/json",
        "application/vnd.amazonaws.connect.message.interactive.response",
    }
)
SUPPORTED_TYPES = MESSAGE_TYPES | {"application/vnd.amazonaws.connect.message.interactive"}
