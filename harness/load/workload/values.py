"""The values of a workload file: each function takes one and its path, and refuses what it cannot be with a ValueError."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any


def refuse_unknown(table: Mapping[str, Any], allowed: tuple[str, ...], path: str) -> None:
    """Refuse a key that is not `allowed`, with the allowed ones."""
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, 1)
            hint = f"did you mean {path}{near[0]}? " if near else ""
            raise ValueError(f"unknown key {path}{key}; {hint}allowed are {', '.join(allowed)}")


def as_table(value: Any, path: str) -> dict[str, Any]:
    """Accept a table."""
    if not isinstance(value, dict):
        raise ValueError(f"{path}: a table")
    return value


def flag(value: Any, path: str) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{path}: true or false")
    return value


def whole(value: Any, path: str) -> int:
    """Accept a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{path}: a whole number")
    return value


def positive(value: Any, path: str) -> float:
    """Accept a number over 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise ValueError(f"{path}: a number over 0")
    return float(value)


def texts(value: Any, path: str) -> tuple[str, ...]:
    """Accept a text or a list of texts."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) for item in values):
        raise ValueError(f"{path}: a text or a list of texts")
    return tuple(values)


def span(value: Any, path: str) -> tuple[int, int]:
    """Accept a whole number, or the least and the most of one."""
    pair = value if isinstance(value, list) else [value, value]
    check: Callable[[Any], bool] = lambda item: isinstance(item, int) and not isinstance(item, bool) and item >= 0  # noqa: E731
    if len(pair) != 2 or not all(map(check, pair)) or pair[0] > pair[1]:
        raise ValueError(f"{path}: a whole number, or [least, most]")
    return pair[0], pair[1]


def share(value: Any, path: str) -> float:
    """Accept a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{path}: a number from 0 to 1")
    return float(value)
