"""How one setting's text becomes its value: numbers, durations, choices, each mistake told in one line."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar
from urllib.parse import urlsplit

N = TypeVar("N", int, float)

_LONGEST_LINE = 3_000


class SettingsError(ValueError):
    """A setting that does not exist or cannot have the value given; the text is one line that says what to do.

    Of a long value the middle is left out.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST_LINE:
            text = f"{text[: _LONGEST_LINE * 2 // 3]} ... {text[-_LONGEST_LINE // 3 :]}"
        super().__init__(text)


def number(text: str) -> float:
    """Return a number of 0 or more; `inf` means no limit."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise SettingsError("wants a number of 0 or more, or inf")
    return value


def short(text: str) -> str:
    """Return `text` as a line that names it has room for it: its beginning, where it is long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 100


def whole(text: str) -> int:
    """Return a whole number of 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise SettingsError("wants a whole number of 0 or more")
    if len(text) > _DIGITS:
        raise SettingsError(f"wants a whole number of at most {_DIGITS} digits")
    return int(text)


_DIGITS = 15


def _up_to(read: Callable[[str], N], most: N, wants: str) -> Callable[[str], N]:
    """Return what reads a value that is at most `most`."""

    def parse(text: str) -> N:
        value = read(text)
        if value > most:
            raise SettingsError(f"wants {wants}")
        return value

    return parse


def whole_to(most: int) -> Callable[[str], int]:
    """Return a whole number from 0 to `most`: of things that are each kept in memory."""
    return _up_to(whole, most, f"a whole number from 0 to {most}")


_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# Time is counted in seconds as floats: of shorter steps than this nothing is left after a day.
_SHORTEST = 1e-6


def duration(text: str) -> float:
    """Seconds, as `0.25`, `250ms`, `30s`, `5m`, `25h`, `7d`, or `never` (infinity)."""
    if text == "never":
        return math.inf
    for unit in ("ms", "s", "m", "h", "d"):
        if text.endswith(unit) and text[: -len(unit)]:
            figure, factor = text[: -len(unit)], _UNITS[unit]
            break
    else:
        figure, factor = text, 1.0
    try:
        seconds = number(figure) * factor
    except SettingsError:
        raise SettingsError("wants a duration such as 250ms, 30s, 5m, 25h, or never") from None
    if 0 < seconds < _SHORTEST:
        raise SettingsError("wants 0 or a duration of at least 0.001ms")
    return seconds


def finite_number(most: float) -> Callable[[str], float]:
    """Return a number from 0 to `most`."""
    return _up_to(number, most, f"a number from 0 to {most:g}")


_LONGEST = 7 * 86400.0


def finite_duration(text: str) -> float:
    """Return a duration of at most a week: one that an answer or a limiter waits for."""
    value = duration(text)
    if value > _LONGEST:
        raise SettingsError("wants a duration of at most 7d, such as 250ms or 30s")
    return value


def same_or_duration(text: str) -> float | None:
    """Return a duration of at most a week, or `same` (None)."""
    return None if text == "same" else finite_duration(text)


def probability(text: str) -> float:
    """Return a number from 0 to 1, or a percentage such as `1%`."""
    try:
        value = number(text[:-1]) / 100 if text.endswith("%") else number(text)
    except SettingsError:
        value = math.inf
    if value > 1:
        raise SettingsError("wants a probability from 0 to 1, or a percentage such as 1%")
    return value


def flag(text: str) -> bool:
    """`yes` or `no` (also on/off, true/false, 1/0)."""
    if text.lower() in ("yes", "on", "true", "1"):
        return True
    if text.lower() in ("no", "off", "false", "0"):
        return False
    raise SettingsError("wants yes or no")


def choice(*names: str) -> Callable[[str], str]:
    """One of `names`."""

    def parse(text: str) -> str:
        if text not in names:
            raise SettingsError(f"wants one of {', '.join(names)}")
        return text

    return parse


def text(value: str) -> str:
    """Any text."""
    return value


def http_url(value: str) -> str:
    """Return an http:// or https:// address, or nothing."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, or a port that is none
        good = False
    if value and not (good and value.isascii() and value.isprintable() and " " not in value):
        raise SettingsError("wants an address such as http://127.0.0.1:9000/chat")
    return value


@dataclass(frozen=True, slots=True)
class WebsocketLimit:
    """How many websockets a participant may have open, and what happens to one more."""

    count: int
    beyond: Literal["refuse", "close_oldest"]

    def __str__(self) -> str:
        return f"{self.count}:{self.beyond}"


def websocket_limit(text: str) -> WebsocketLimit:
    """`5:refuse`, `5:close_oldest`, or `5`, which refuses."""
    count, _, beyond = text.partition(":")
    fits = count.isascii() and count.isdigit() and len(count) < 7 and int(count) > 0
    if not fits or beyond not in ("", "refuse", "close_oldest"):
        raise SettingsError("wants a number of websockets and what one more does: 5:refuse or 5:close_oldest")
    return WebsocketLimit(int(count), "close_oldest" if beyond == "close_oldest" else "refuse")


def identifier(text: str) -> str:
    """1 to 100 printable ASCII characters without `/` or spaces."""
    if not 0 < len(text) <= 100 or not text.isascii() or "/" in text or not text.isprintable() or " " in text:
        raise SettingsError("wants an identifier of 1 to 100 printable ASCII characters without / or spaces")
    return text
