"""Checks what Locust's dialog of a user class sends: Locust would set any attribute of the class to any value."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from harness.errors import UsageError
from harness.load.options.checks import number_of_users

_CLASS, _TASKS = "user_class_name", "tasks"


class Configurable(Protocol):
    """A user class of Locust's, as far as its dialog goes."""

    def json(self) -> dict[str, object]:
        """Return the settings that the dialog shows, by name."""


def check_user_settings(
    body: bytes, classes: Mapping[str, Configurable], tasks: Mapping[str, Sequence[object]]
) -> None:
    """Check the JSON that the dialog sends for one of `classes`, each with its `tasks`. Raises UsageError."""
    try:
        given = json.loads(body)
    except ValueError as error:
        raise UsageError("the settings of a user class are a JSON object") from error
    name = given.get(_CLASS) if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in classes:
        raise UsageError(f"no user class {str(name)[:60]!r}: the locustfile has {', '.join(sorted(classes))}")
    present = classes[name].json()
    known = {getattr(task, "__name__", "") for task in tasks.get(name, [])}
    for key, value in given.items():
        if key != _CLASS and key not in present:
            raise UsageError(f"a user class has no setting {key[:60]!r}")
        if key in _CHECKS and not _CHECKS[key](value):
            raise UsageError(f"{name}: {_WANTED[key]}")
    if _TASKS in given and not _some_of(given[_TASKS], known):
        raise UsageError(f"{name}: Tasks: at least one of {', '.join(sorted(known))}")
    if "host" in given and (given["host"] or None) != (present["host"] or None):
        raise UsageError(f"{name}: Host: the start form names it, for all user classes")


def _some_of(chosen: object, known: set[str]) -> bool:
    return isinstance(chosen, list) and (bool(chosen) or not known) and all(each in known for each in chosen)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object) -> bool:
    if value == 0:
        return True
    try:
        return type(value) is int and bool(number_of_users(str(value)))
    except ValueError:
        return False


_CHECKS: dict[str, Callable[[object], bool]] = {"weight": _is_weight, "fixed_count": _is_count}
_WANTED = {
    "weight": "Weight: a number over 0",
    "fixed_count": "Fixed Count: a whole number, or 0 for as many as there are to be",
}
