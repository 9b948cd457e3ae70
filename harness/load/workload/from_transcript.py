"""Turns the transcript of a chat into a scripted conversation: what its customer said, after what, and after which pause."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from harness.connect.contract import MAX_MESSAGE_BYTES

_KEYS = {"text/plain": "say", "text/markdown": "markdown", "application/json": "json"}
_INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"
_KEYS[f"{_INTERACTIVE}.response"] = "interactive"
_LONGEST_THINK = 3600.0


def script_of_transcript(data: bytes, name: str) -> str:
    """Return a workload in TOML with one conversation, called `name`, in which a customer does what the transcript shows.

    `data` is the JSON that GetTranscript answers, or that Amazon Connect stores in S3: an object with a `Transcript`, whose
    items have AbsoluteTime, ContentType, Content and ParticipantRole (or a ParticipantId that `Participants` explains).
    Raises ValueError where it is not, or where no customer says anything.
    """
    turns: list[list[str]] = []
    types: list[str] = []
    heard = greeted = False
    before: float | None = None
    for at, role, content_type, content in _messages(data):
        if role != "CUSTOMER":
            heard, before = True, at
            continue
        if content_type not in _KEYS or not 1 <= len(content.encode()) <= MAX_MESSAGE_BYTES:
            continue
        lines = []
        if heard:
            lines.append(f'wait_for = "{"reply" if turns or greeted else "greeting"}"')
        greeted = greeted or heard
        if before is not None:
            lines.append(f'think = "{min(max(at - before, 0.0), _LONGEST_THINK):.3f}s"')
        lines.append(f"{_KEYS[content_type]} = {_quoted(content)}")
        turns.append(lines)
        heard, before = False, at
        if content_type not in types:
            types.append(content_type)
    if not turns:
        raise ValueError("its customer says nothing that could be said again")
    if heard:
        turns.append(['wait_for = "reply"'])
    return _workload(turns, types, name)


def _workload(turns: list[list[str]], types: list[str], name: str) -> str:
    declared = ["text/plain", *(one for one in types if one != "text/plain")]
    if f"{_INTERACTIVE}.response" in declared:
        declared.append(_INTERACTIVE)
    parts = [
        "# Made from a transcript. What the customer wrote stands here word by word: take out what is personal.",
        "seed = 1\n",
        '[[kind]]\nname = "recorded"',
        f"content_types = [{', '.join(_quoted(one) for one in declared)}]\n",
        f"[[conversation]]\nname = {_quoted(name)}",
    ]
    parts += ["\n[[conversation.turn]]\n" + "\n".join(lines) for lines in turns]
    return "\n".join(parts) + "\n"


def _messages(data: bytes) -> list[tuple[float, str, str, str]]:
    """Time (unix s), role, content type and content of each message, in order."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    items = document.get("Transcript") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise ValueError("it has no Transcript; give what GetTranscript answers, or what Amazon Connect stores in S3")
    participants = document.get("Participants")
    roles = {
        one.get("ParticipantId"): one.get("ParticipantRole")
        for one in (participants if isinstance(participants, list) else [])
        if isinstance(one, Mapping) and isinstance(one.get("ParticipantId"), str)
    }
    found = [_message(item, roles) for item in items if isinstance(item, Mapping) and item.get("Type") == "MESSAGE"]
    return sorted((one for one in found if one is not None), key=lambda one: one[0])


def _message(item: Mapping[str, Any], roles: Mapping[Any, Any]) -> tuple[float, str, str, str] | None:
    participant = item.get("ParticipantId")
    role = item.get("ParticipantRole") or (roles.get(participant) if isinstance(participant, str) else None)
    content, content_type = item.get("Content"), item.get("ContentType", "text/plain")
    if not isinstance(role, str) or not isinstance(content, str) or not isinstance(content_type, str):
        return None
    try:
        at = datetime.fromisoformat(str(item.get("AbsoluteTime"))).timestamp()
    except ValueError as error:
        raise ValueError(f"an AbsoluteTime is not a time: {item.get('AbsoluteTime')!r}") from error
    return at, role.upper(), content_type, content


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's escapes are TOML's, but for DEL, which JSON does not escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
