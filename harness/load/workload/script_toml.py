"""Reads the conversations of a workload from its TOML; refuses one that could not be held, with the key and the remedy."""

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from harness.connect.contract import MAX_MESSAGE_BYTES, TEXT_MARKDOWN, TEXT_PLAIN
from harness.durations import Hold, parse_duration, parse_hold
from harness.load.workload.scripts import Leaving, Script, Turn, WaitFor, Words
from harness.load.workload.values import as_table, flag, positive, refuse_unknown, share, texts, whole

_KEYS = ("name", "weight", "kinds", "turn", "transcript", "stay", "leave", "tabs")
_TURN_KEYS = ("reconnect", "wait_for", "matches", "within", "otherwise", "abandon", "typing", "think")
_SAYING = {
    "say": TEXT_PLAIN,
    "markdown": TEXT_MARKDOWN,
    "json": "application/json",
    "interactive": "application/vnd.amazonaws.connect.message.interactive.response",
}
_MOST_TABS = 5
"""A participant may have five open websockets
(https://docs.aws.amazon.com/connect/latest/adminguide/feature-limits.html#chat-feature-limits)."""
_LONGEST_WAIT = 7 * 86_400.0


class _Kind(Protocol):
    """What a script needs to know of a kind of chat."""

    @property
    def name(self) -> str: ...
    @property
    def content_types(self) -> tuple[str, ...] | None: ...
    @property
    def invalid(self) -> bool: ...


def parse_scripts(tables: Any, kinds: Sequence[_Kind]) -> tuple[Script, ...]:
    """Return the conversations that the [[conversation]] `tables` describe, for chats of `kinds`.

    Raises ValueError, with the place, the key, what is wrong and what to do.
    """
    if not isinstance(tables, list):
        raise ValueError("conversation: write each as a [[conversation]] table")
    scripts = tuple(_script(table, number, kinds) for number, table in enumerate(tables, 1))
    names = [script.name for script in scripts]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"conversation {name!r} is there {names.count(name)} times; names must differ")
    return scripts


def _script(value: Any, number: int, kinds: Sequence[_Kind]) -> Script:
    table = as_table(value, f"conversation {number}")
    name = table.get("name", f"conversation-{number}")
    if not isinstance(name, str) or not name:
        raise ValueError(f"conversation {number}: name: a text")
    try:
        refuse_unknown(table, _KEYS, "")
        turns = table.get("turn")
        if not isinstance(turns, list) or not turns:
            raise ValueError("it has no turns; write at least one [[conversation.turn]] table")
        chosen = texts(table["kinds"], "kinds") if "kinds" in table else ()
        script = Script(
            name=name,
            turns=tuple(_turn(turn, place) for place, turn in enumerate(turns, 1)),
            weight=positive(table.get("weight", 1.0), "weight"),
            kinds=chosen,
            transcript=flag(table.get("transcript", False), "transcript"),
            stay=_hold(table["stay"], "stay") if "stay" in table else None,
            leave=_leave(table.get("leave", "disconnect")),
            tabs=_tabs(table.get("tabs", 1)),
        )
        _check_kinds(script, kinds)
    except ValueError as error:
        raise ValueError(f"conversation {name!r}: {error}") from error
    return script


def _check_kinds(script: Script, kinds: Sequence[_Kind]) -> None:
    """Refuse kinds that there are not, and words that a chat of these kinds may not carry."""
    names = [kind.name for kind in kinds]
    for name in script.kinds:
        if name not in names:
            raise ValueError(f"kinds: there is no kind {name!r}; there are {', '.join(names)}")
    for kind in kinds:
        if kind.invalid or (script.kinds and kind.name not in script.kinds):
            continue
        allowed = (TEXT_PLAIN, *(kind.content_types or ()))
        for place, turn in enumerate(script.turns, 1):
            for words in turn.words:
                if words.content_type not in allowed:
                    key = next(key for key, content_type in _SAYING.items() if content_type == words.content_type)
                    raise ValueError(
                        f"turn {place}: {key}: chats of the kind {kind.name!r} do not declare {words.content_type}; add "
                        "it to that kind's content_types, or name the kinds that this conversation is for (kinds)"
                    )


def _turn(value: Any, place: int) -> Turn:
    try:
        table = as_table(value, "it is not a table")
        refuse_unknown(table, (*_TURN_KEYS, *_SAYING), "")
        wait_for, matches = _wait_for(table.get("wait_for", "")), _pattern(table.get("matches"))
        waits = bool(wait_for or matches)
        for key in ("within", "otherwise"):
            if key in table and not waits:
                raise ValueError(f"{key}: there is nothing to wait for; add wait_for or matches, or leave {key} out")
        turn = Turn(
            reconnect=flag(table.get("reconnect", False), "reconnect"),
            wait_for=wait_for or ("reply" if matches else ""),
            matches=matches,
            within=_within(table["within"]) if "within" in table else None,
            else_leave=_otherwise(table.get("otherwise", "go_on")),
            abandon=share(table.get("abandon", 0.0), "abandon"),
            typing=flag(table.get("typing", False), "typing"),
            think=_hold(table["think"], "think") if "think" in table else None,
            words=_words(table),
        )
    except ValueError as error:
        raise ValueError(f"turn {place}: {error}") from error
    return turn


def _words(table: dict[str, Any]) -> tuple[Words, ...]:
    given = [key for key in _SAYING if key in table]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: a turn says one thing; write a turn for each")
    if not given:
        return ()
    key = given[0]
    values = table[key] if isinstance(table[key], list) else [table[key]]
    if not values:
        raise ValueError(f"{key}: the list is empty; give at least one text, or leave it out")
    found = []
    for value in values:
        text = _json_text(value, key) if key in ("json", "interactive") else value
        if not isinstance(text, str):
            raise ValueError(f"{key}: a text or a list of texts, of which one is drawn")
        if not 1 <= len(text.encode()) <= MAX_MESSAGE_BYTES:
            raise ValueError(f"{key}: {len(text.encode()):,} bytes, 1 to {MAX_MESSAGE_BYTES:,} are allowed; shorten it")
        found.append(Words(_SAYING[key], text))
    return tuple(found)


def _json_text(value: Any, key: str) -> str:
    """Return the JSON of a table, or a text that is JSON itself."""
    try:
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        json.loads(value, parse_constant=_no_number)
        return str(value)
    except RecursionError as error:
        raise ValueError(f"{key}: nested too deeply") from error
    except TypeError as error:
        if isinstance(value, dict):
            raise ValueError(f"{key}: JSON has no dates and times; write them as texts") from error
        raise ValueError(f"{key}: a table, or a text that is JSON ({error})") from error
    except ValueError as error:
        raise ValueError(f"{key}: a table, or a text that is JSON ({error})") from error


def _no_number(word: str) -> float:
    """Refuse NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(f"{word} is no number of JSON")


def _wait_for(value: Any) -> WaitFor:
    if value not in ("", "greeting", "reply"):
        raise ValueError(
            f'wait_for: {value!r}; use "greeting" or "reply", and matches = "..." for certain words of the other side'
        )
    found: WaitFor = value
    return found


def _pattern(value: Any) -> re.Pattern[str] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("matches: a regular expression, as a text")
    try:
        return re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"matches: {value!r} is not a regular expression ({error}); write ( as \\\\( where it is meant"
        ) from error


def _within(value: Any) -> float:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        seconds = None
    if seconds is None or not 0 < seconds <= _LONGEST_WAIT:
        raise ValueError(f"within: {value!r} is not a duration over 0; use one like 500ms, 30s or 5m")
    return seconds


def _hold(value: Any, path: str) -> Hold:
    if not isinstance(value, str):
        raise ValueError(f'{path}: {value!r}; a text such as "2s", "uniform:1s,3s" or "exponential:2s"')
    try:
        return parse_hold(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _otherwise(value: Any) -> bool:
    if value not in ("go_on", "leave"):
        raise ValueError(f'otherwise: {value!r}; use "go_on" or "leave"')
    return bool(value == "leave")


def _leave(value: Any) -> Leaving:
    if value not in ("disconnect", "vanish"):
        raise ValueError(
            f'leave: {value!r}; use "disconnect", or "vanish" for customers who close the page without a word'
        )
    found: Leaving = value
    return found


def _tabs(value: Any) -> int:
    tabs = whole(value, "tabs")
    if not 1 <= tabs <= _MOST_TABS:
        raise ValueError(f"tabs: {tabs}; 1 to {_MOST_TABS}, as a participant may have {_MOST_TABS} open websockets")
    return tabs
