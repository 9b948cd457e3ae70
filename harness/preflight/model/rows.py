"""The result of a check: rows with a state, a sentence, and the permission that would tell more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from harness.recording.redact import redact_line

State = Literal["ok", "note", "stop", "not_known"]
"""`ok`: as it should be. `note`: read it. `stop`: a live run must not start so. `not_known`: nobody could tell."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at."""

    check: str
    """What was looked at, such as `instance` or `permission connect:StopContact`."""
    state: State
    text: str
    """What was found and, where it is not in order, what to do: one line."""
    permission: str | None = None
    """The one IAM action that would tell, where the state is `not_known` for want of a permission."""


class NotKnown(Exception):
    """A question got no answer. `permission` is the IAM action that is missing, if that is why."""

    def __init__(self, why: str, permission: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.permission = permission

    def row(self, check: str) -> Row:
        """Return the row that says so."""
        return Row(check=check, state="not_known", text=self.why, permission=self.permission)


class NoAnswer(NotKnown):
    """A service said nothing in time: who has more to ask of it need not wait for each."""


Check = Callable[[], Iterable[Row]]


def collect(name: str, check: Check) -> list[Row]:
    """Return the rows of `check`; what it could not ask is a row of its own, whatever went wrong."""
    try:
        return list(check())
    except NotKnown as unknown:
        return [unknown.row(name)]
    except Exception as error:  # a check that breaks must not hide the others
        text = redact_line(f"{type(error).__name__}: {error}")[:300]
        return [Row(check=name, state="not_known", text=f"the check failed: {text}")]


def stops(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that a live run must not start with."""
    return [row for row in rows if row.state == "stop"]
