"""Checks of option values: each takes a value as it was written and returns the one that a run works with.

A check raises ValueError whose text follows the option's name in an error: the value, what is wrong, what it takes.
"""

import re
from collections.abc import Callable

from harness.durations import Hold, parse_duration, parse_hold
from harness.input_files import read_bounded

Number = int | float
_BARE_NUMBER = re.compile(r"\d+(\.\d+)?")


_MOST_USERS = 1_000_000


def one_of(*choices: str) -> Callable[[str], str]:
    """Accept one of `choices`."""

    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r}: one of {', '.join(choices)}")
        return value

    return check


def between(
    least: float, most: float, *, over: bool = False, what: str = "", zero: str = ""
) -> Callable[[Number], Number]:
    """Accept a number from `least` (excluded with `over`) to `most`; `zero` says what a 0 means where it may be one."""
    span = what or f"a number {'over' if over else 'from'} {least:g}, at most {most:,.0f}"

    def check(value: Number) -> Number:
        low = value > least if over else value >= least
        if not (low and value <= most) and not (zero and value == 0):
            raise ValueError(f"{value:g}: {span}{f', or 0 for {zero}' if zero else ''}")
        return value

    return check


def optional_limit(value: int) -> int | None:
    """Accept a whole number of at least 1, or 0 for no limit (None)."""
    if value < 0:
        raise ValueError(f"{value}: at least 1, or 0 for no limit")
    return value or None


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Accept a duration such as 500ms, 30s or 5m, or a bare number of seconds, and return seconds."""

    def check(value: str) -> float:
        text = value.strip()
        try:
            found = float(text) if _BARE_NUMBER.fullmatch(text) else parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{value!r} is not a duration; use one like 500ms, 30s, 5m or 2h") from error
        if not least <= found <= most:
            raise ValueError(f"{value!r}: from {least:g}s to {most:g}s")
        return found

    return check


def distribution(value: str) -> Hold:
    """Accept a distribution of seconds in the forms of `--hold`."""
    return parse_hold(value)


def subset_of(*choices: str) -> Callable[[str], str]:
    """Accept some of `choices`, with commas between them."""

    def check(value: str) -> str:
        for part in value.split(","):
            if part not in choices:
                raise ValueError(f"{part!r}: any of {', '.join(choices)}, with commas between them")
        return value

    return check


def regular_file(what: str) -> Callable[[str], str]:
    """Accept "" or the path of a regular file of bounded size; `what` says which file to name."""

    def check(value: str) -> str:
        if value:
            read_bounded(value, what)
        return value

    return check


def printable(value: str) -> str:
    """Accept a text of one line without control characters, at most 1,000 characters."""
    if len(value) > 1000 or not value.isprintable():
        raise ValueError(f"{value[:60]!r}: one line of text, at most 1,000 characters")
    return value.strip()


def identifier(value: str) -> str:
    """Accept an id or ARN as AWS writes them."""
    if value and not re.fullmatch(r"[\w:/.-]{1,500}", value, re.ASCII):
        raise ValueError(f"{value[:60]!r}: an id or ARN, of letters, digits and - _ : / .")
    return value


def new_directory(value: str) -> str:
    """Accept "" or a path for a run directory; whether it can be made is seen when the run begins."""
    if not value.isprintable():
        raise ValueError(f"{value!r}: a path of printable characters")
    return value


def pattern(value: str) -> str:
    """Accept a regular expression, or nothing."""
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{value!r} is not a regular expression ({error}); write ( as \\( where it is meant"
        ) from error
    return value


def number_of_users(text: str) -> int:
    """Return the number of users that `text` asks for. Raises ValueError for one that no run can have."""
    try:
        users = int(text)
    except ValueError:
        users = 0
    if not 1 <= users <= _MOST_USERS:
        raise ValueError(f"{text[:40]!r}: a whole number of users from 1 to {_MOST_USERS:,}")
    return users
