"""Asks in the browser before a live run: a form is taken only with the token that came with its announcement."""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping

FIELD = "chatquota_confirmed"
VALID_FOR = 300.0
"""Seconds for which an announcement may be agreed to."""
_MOST = 100


class NotConfirmed(Exception):
    """A live run was asked for. `lines` tell what it will do; the same form with `token` starts it."""

    def __init__(self, lines: list[str], token: str) -> None:
        super().__init__("; ".join(line.strip() for line in lines))
        self.lines = lines
        self.token = token


class Confirmations:
    """Tokens that were given out, each for one form and one use."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given: dict[str, tuple[bytes, float]] = {}

    def ask(self, fields: Mapping[str, str], lines: list[str]) -> NotConfirmed:
        """Return what asks the user to agree to `lines` for the form `fields`."""
        token = secrets.token_urlsafe(24)
        while len(self._given) >= _MOST:
            self._given.pop(next(iter(self._given)))
        self._given[token] = (_digest(fields, lines), self._clock() + VALID_FOR)
        return NotConfirmed(lines, token)

    def agreed(self, fields: Mapping[str, str], lines: list[str]) -> bool:
        """Whether the form has a token that was given for the same form and announcement, and use it up."""
        digest, until = self._given.pop(fields.get(FIELD, ""), (b"", 0.0))
        return digest == _digest(fields, lines) and self._clock() < until


def _digest(fields: Mapping[str, str], lines: list[str]) -> bytes:
    text = repr((sorted((name, value) for name, value in fields.items() if name != FIELD), lines))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
