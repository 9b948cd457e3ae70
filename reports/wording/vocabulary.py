"""The words of a sample that reports know by name, from the harness's vocabulary, and how to say them to a reader."""

from harness import vocabulary
from harness.vocabulary import DISCONNECT as DISCONNECT
from harness.vocabulary import DISCONNECT_REASONS as DISCONNECT_REASONS
from harness.vocabulary import HARNESS_CALLS as HARNESS_CALLS
from harness.vocabulary import NO_CALLS as NO_CALLS
from harness.vocabulary import NOT_ASKED as NOT_ASKED
from harness.vocabulary import OK as OK
from harness.vocabulary import OUTCOMES as OUTCOMES
from harness.vocabulary import SERVED_NOTHING as SERVED_NOTHING
from harness.vocabulary import START_OUTCOMES as START_OUTCOMES
from harness.vocabulary import STARTED as STARTED

START, STOP = vocabulary.START_CHAT, vocabulary.STOP_CONTACT
TPS, QUOTA, OTHER_429 = vocabulary.TPS_THROTTLED, vocabulary.ACTIVE_CHAT_LIMIT, vocabulary.UNCLASSIFIED_429

UNKNOWN = "(unknown)"
"""Stands for any outcome that this version does not know."""

PROBE = "QuotaProbe"
"""The user class that decides on each call itself: it has no schedule, and offers what it sends."""

LABELS = {
    STARTED: "started",
    TPS: "TPS throttled",
    QUOTA: "active-chat limit",
    OTHER_429: "unclassified 429",
    vocabulary.INVALID_REQUEST: "invalid request",
    vocabulary.NOT_FOUND: "not found",
    vocabulary.ACCESS_DENIED: "access denied",
    vocabulary.SERVICE_ERROR: "service error",
    vocabulary.TIMEOUT: "time-out",
    vocabulary.CONNECTION_ERROR: "connection error",
    OK: "ok",
    vocabulary.NO_GREETING: "no greeting",
    vocabulary.NO_REPLY: "no reply",
    vocabulary.NO_AGENT: "no agent",
    vocabulary.NOT_AWAITED: "not awaited",
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

GOING_ON = "the run is still going on"
"""Why a run that has not ended yet is not valid."""

FIRST_LIMIT = {"tps": "TPS", "active_chats": "active chats", None: "none met"}
"""What the limit that was met first is called, by its name in capacity.json."""
