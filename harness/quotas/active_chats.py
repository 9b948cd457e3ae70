"""The limit on chats open at once, inferred from starts, ends and refusals."""

from __future__ import annotations

from collections.abc import Sequence

from harness.quotas.estimates import ActiveChatsEstimate
from harness.quotas.record import Attempts, Floats


def infer_active_chats(
    attempts: Attempts, ends: Sequence[float] | Floats, *, already_ended: int = 0
) -> ActiveChatsEstimate:
    """The most chats that may be open at once, from `attempts` and the moments at which our chats ended.

    `ends`: seconds on the attempts' clock, in any order: when each StopContact (or other end) of ours was answered.
    `already_ended`: how many of our chats turned out to have been ended by somebody else, at a time nobody saw.
    """
    raise NotImplementedError
