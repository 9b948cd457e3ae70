"""What one customer waits for from the other side: the greeting, and a reply to each message. Pure: time comes in.

A wait that nobody answers within the patience is over as `no_greeting` or `no_reply`. One that can no longer be known (the
customer wrote before the greeting, or left, or the run ended) is `not_awaited`, which is neither an answer nor its absence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from harness.vocabulary import GREETING, NO_GREETING, NO_REPLY, NOT_AWAITED, OK, REPLY

_MISSED = {GREETING: NO_GREETING, REPLY: NO_REPLY}


class Wait(NamedTuple):
    """A wait: `due` is when the customer wanted the exchange to begin, `begun` when the service had accepted it."""

    operation: str
    due: float
    begun: float
    content_type: str | None = None
    message_bytes: int = 0


Told = Callable[[Wait, float, str], None]
"""Told of each wait once, when it is over: the wait, the time (unix s) and its outcome."""


class Waits:
    """The waits of one conversation. `patience` is how long (s) each may last; `told` hears how each ended.

    A message of another participant ends all that are open. It may come before the answer to the SendMessage that it
    replies to, so the last one is kept until that answer is there.
    """

    def __init__(self, patience: float, told: Told) -> None:
        self._patience = patience
        self._told = told
        self._open: list[Wait] = []
        self._heard: float | None = None
        self._greeted = False
        self._spoken = False
        self.replies = 0

    @property
    def patient_until(self) -> float | None:
        """When (unix s) the patience of the oldest wait is over; None where nothing is waited for."""
        return self._open[0].begun + self._patience if self._open else None

    def subscribed(self, at: float) -> None:
        """Note that the customer's websocket has subscribed: from now on the greeting is waited for. Later calls
        change nothing.
        """
        if self._greeted:
            return
        self._greeted = True
        wait = Wait(GREETING, at, at)
        if self._heard is not None:
            self._told(wait, max(self._heard, at), OK)
        else:
            self._open.append(wait)

    def sending(self) -> None:
        """Note that the customer is about to say something: what then comes first may no longer be a greeting."""
        self._spoken = True

    def accepted(self, due: float, at: float, after: float, content_type: str, message_bytes: int) -> None:
        """Note that a message that was due at `due` was accepted, which was known at `at`.

        Another participant's message counts as its reply if it came later than `after`: when the message was sent, or when
        the customer's own frame of it was read.
        """
        if self._heard is not None and self._heard >= after:
            self.replies += 1
            self._told(Wait(REPLY, due, min(at, self._heard), content_type, message_bytes), self._heard, OK)
        else:
            self._open.append(Wait(REPLY, due, at, content_type, message_bytes))

    def heard(self, at: float) -> None:
        """Another participant has said something."""
        self.expire(at)
        self._heard = at
        over, self._open = self._open, []
        for wait in over:
            overtaken = wait.operation == GREETING and self._spoken
            self.replies += wait.operation == REPLY
            self._told(wait, at, NOT_AWAITED if overtaken else OK)

    def expire(self, at: float) -> None:
        """End the waits whose patience is over at `at`; each ended when its own was."""
        while self._open and self._open[0].begun + self._patience <= at:
            wait = self._open.pop(0)
            self._told(wait, wait.begun + self._patience, _MISSED[wait.operation])

    def close(self, at: float, ended: bool) -> None:
        """Nothing more can be heard from `at` on: the other side has `ended` the chat, or the customer or the run left."""
        self.expire(at)
        over, self._open = self._open, []
        for wait in over:
            self._told(wait, max(at, wait.begun), _MISSED[wait.operation] if ended else NOT_AWAITED)
