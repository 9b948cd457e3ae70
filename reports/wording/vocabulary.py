"""The words of a sample that reports know by name: operations, outcomes, and how to say them to a reader."""

from harness import vocabulary

START, STOP, DISCONNECT = "StartChatContact", "StopContact", "DisconnectParticipant"

HARNESS_CALLS = frozenset({STOP, "DescribeContact"})
"""Calls that the harness makes at its own pace, which are no part of a customer's journey."""

NO_CALLS = vocabulary.NO_CALLS
"""Operations in the samples that are no calls of an API with a TPS quota."""

STARTED, TPS, QUOTA, OTHER_429 = "started", "tps_throttled", "active_chat_limit", "unclassified_429"
OK = "ok"

START_OUTCOMES = vocabulary.START_OUTCOMES
"""What can become of a StartChatContact call, in the order that tables show."""

OUTCOMES = vocabulary.OUTCOMES

UNKNOWN = "(unknown)"
"""Stands for any outcome that this version does not know."""

PROBE = "QuotaProbe"
"""The user class that decides on each call itself: it has no schedule, and offers what it sends."""

LABELS = {
    STARTED: "started",
    TPS: "TPS throttled",
    QUOTA: "active-chat limit",
    OTHER_429: "unclassified 429",
    "invalid_request": "invalid request",
    "not_found": "not found",
    "access_denied": "access denied",
    "service_error": "service error",
    "timeout": "time-out",
    "connection_error": "connection error",
    OK: "ok",
    "no_greeting": "no greeting",
    "no_reply": "no reply",
    "not_awaited": "not awaited",
    UNKNOWN: "unknown outcome",
}

SIZE_BANDS = (
    (0, "none"),
    (1, "1 to 255 B"),
    (256, "256 B to 1 KiB"),
    (1024, "1 to 4 KiB"),
    (4096, "4 to 16 KiB"),
    (16384, "16 to 31 KiB"),
    (31744, "31 KiB and more"),
)
"""Attribute sizes as the report groups them: (smallest size in bytes, name); a contact's limit is 32,768 bytes."""
