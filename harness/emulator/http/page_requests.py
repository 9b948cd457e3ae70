"""What the emulator's own pages are asked for, read and checked: each mistake is one line that says what to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import orjson

from harness.emulator.service.chats import Chat
from harness.emulator.service.items import DELIVERED, JOINED, PREFIX, READ
from harness.emulator.service.state import State
from harness.emulator.service.transcript import receipt_message_id
from harness.emulator.settings import documented
from harness.emulator.settings.values import SettingsError, duration, finite_duration, short

_ROLES = ("AGENT", "SYSTEM", "CUSTOM_BOT", "SUPERVISOR")
# Ends that no caller of the emulated operations brings about; AWS's words for them.
_ENDS = ("AGENT_DISCONNECT", "AGENT_NETWORK_DISCONNECT", "THIRD_PARTY_DISCONNECT", "IDLE_DISCONNECT", "SYSTEM_ERROR")
_MOST = 1000
_CENTURY = 100 * 366 * 86400.0


class PageError(ValueError):
    """A request to one of the emulator's pages that cannot be met."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Message(msgspec.Struct, rename="pascal"):
    """What somebody is to say."""

    content: str = ""
    content_type: str = "text/plain"
    participant_role: str = "AGENT"
    display_name: str = ""


def read_message(body: bytes) -> Message:
    """Return the body of POST .../messages. Raises PageError."""
    try:
        message = msgspec.json.decode(body, type=Message)
    except msgspec.MsgspecError as error:
        raise PageError(
            f'wants {{"Content": "...", "ContentType": "...", "ParticipantRole": "..."}}: {error}'
        ) from None
    if message.participant_role not in _ROLES:
        raise PageError(f"ParticipantRole is one of {', '.join(_ROLES)}")
    kind = message.content_type
    event = kind.startswith(PREFIX)
    if not event and kind not in documented.SUPPORTED_TYPES:
        known = ", ".join(sorted(documented.SUPPORTED_TYPES))
        raise PageError(f"ContentType {short(kind)!r} is none of a message; it is one of {known}, or an event's")
    if not message.content and not event:
        raise PageError("Content is missing: the text of the message")
    if len(message.content.encode()) > documented.MESSAGE_BYTES:
        raise PageError(f"Content has more than {documented.MESSAGE_BYTES} bytes")
    if message.content_type in (DELIVERED, READ) and receipt_message_id(message.content) is None:
        raise PageError('the Content of a receipt is JSON that names the message: {"messageId": "..."}')
    return message


def read_end(body: bytes) -> str:
    """Return the body of POST .../end: the reason. Raises PageError."""
    try:
        asked = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        asked = None
    reason = asked.get("DisconnectReason", "AGENT_DISCONNECT") if isinstance(asked, dict) else None
    if reason not in _ENDS:
        raise PageError(f"DisconnectReason is one of {', '.join(_ENDS)}")
    return str(reason)


def read_spec(body: bytes) -> str:
    """Return the body of POST /settings, as `key=value,...`: JSON of names and values, or that text. Raises PageError."""
    if not body.lstrip().startswith(b"{"):
        return body.decode(errors="replace")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PageError(f'wants {{"rate": 10}} or rate=10: {error}') from None
    return ",".join(f"{key}={quoted(value)}" for key, value in asked.items())


def quoted(value: object) -> str:
    """`value` as a settings text has it, in quotes where it needs them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if not re.search(r"[,\"'\\]|^\s|\s$", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_advance(body: bytes) -> float:
    """Return the body of POST /clock, `{"advance": "5m"}`: seconds. Raises PageError."""
    try:
        asked = orjson.loads(body)
        seconds = duration(str(asked["advance"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, SettingsError):
        seconds = _CENTURY + 1
    if seconds > _CENTURY:
        raise PageError('wants {"advance": "5m"}: a duration such as 250ms, 30s, 5m, 25h')
    return seconds


@dataclass(frozen=True, slots=True)
class Filter:
    """Which chats a caller asks for, and how many of them at most; `full` asks for all that is known of each."""

    state: str
    attributes: Mapping[str, str]
    limit: int
    full: bool

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filter":
        """Return the filter of `?state=open|ended&attribute.KEY=VALUE&limit=N&full=yes`. Raises PageError."""
        state, limit = query.get("state", ""), query.get("limit", str(_MOST))
        if state not in ("", "open", "ended"):
            raise PageError("state is open or ended")
        if not (limit.isascii() and limit.isdigit()):
            raise PageError("limit is a whole number")
        prefix = "attribute."
        attributes = {key.removeprefix(prefix): value for key, value in query.items() if key.startswith(prefix)}
        return cls(state, attributes, int(limit), query.get("full", "no") == "yes")

    def takes(self, chat: Chat) -> bool:
        """Whether `chat` is one of them."""
        if self.state and (chat.ended is None) != (self.state == "open"):
            return False
        return all(chat.attributes.get(key) == value for key, value in self.attributes.items())


@dataclass(frozen=True, slots=True)
class Condition:
    """What a caller waits for: `started`, `connected`, `ended`, `agent`, `messages=N`, `message=REGEX`; empty: nothing."""

    text: str
    timeout: float
    pattern: re.Pattern[str] | None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Condition":
        """Return the condition of `?until=...&timeout=...`. Raises PageError."""
        text = query.get("until", "")
        name, _, value = text.partition("=")
        try:
            timeout = finite_duration(query.get("timeout", "10s"))
            pattern = re.compile(value) if name == "message" else None
        except (SettingsError, re.error, OverflowError, RecursionError) as error:
            raise PageError(f"until={text}, timeout={query.get('timeout', '10s')}: {error}") from None
        known = text in ("", "started", "connected", "ended", "agent") or (name == "message" and value != "")
        if not known and not (name == "messages" and value.isascii() and value.isdigit()):
            raise PageError("until is started, connected, ended, agent, messages=N or message=REGEX")
        return cls(text, timeout, pattern)

    def holds(self, state: State, chat: Chat) -> bool:
        """Whether `chat` is what the caller waits for."""
        name, _, value = self.text.partition("=")
        if name in ("", "started"):
            return True
        if name == "connected":
            return chat.connected is not None
        if name == "ended":
            return chat.ended is not None
        items = state.conversations.items(chat)
        if name == "agent":
            return any(item.content_type == JOINED and item.participant_role == "AGENT" for item in items)
        messages = [item for item in items if item.type == "MESSAGE"]
        if self.pattern is not None:
            return any(self.pattern.search(item.content or "") for item in messages)
        return len(messages) >= int(value)
