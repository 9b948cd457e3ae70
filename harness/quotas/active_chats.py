"""The limit on chats open at once, inferred from starts, ends and refusals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.quotas.attempts import CHAT_LIMIT, DISCONNECTED, FAULT, STARTED, TIMEOUT, Attempts, Floats
from harness.quotas.estimates import ActiveChatsEstimate, Interval

_STOP_TAKES = 2.0
"""Seconds before its answer within which a stop may already have freed its slot."""


def infer_active_chats(
    attempts: Attempts, ends: Sequence[float] | Floats, *, already_ended: int = 0
) -> ActiveChatsEstimate:
    """The most chats that may be open at once, from `attempts` and the moments at which our chats ended.

    `ends`: seconds on the attempts' clock, in any order: when each StopContact (or other end) of ours was answered.
    `already_ended`: how many of our chats turned out to have been ended by somebody else, at a time nobody saw.

    Each start that was admitted shows that the chats open just then were fewer than the quota; each refusal, that they
    were not. What cannot be placed in time for certain (calls that overlap) widens the bound that it belongs to.
    """
    begun = attempts.where(attempts.outcome == STARTED)
    refused = attempts.where(attempts.outcome == CHAT_LIMIT)
    doubtful = attempts.where(np.isin(attempts.outcome, (FAULT, TIMEOUT, DISCONNECTED)))
    ended = np.sort(np.asarray(ends, np.float64))
    at, open_chats = _course(begun, ended)
    most = float(open_chats.max(initial=0.0))
    low = max(_surely_open(begun, ended), 0.0)
    evidence: dict[str, object] = {
        "started": len(begun),
        "refused": len(refused),
        "most_open": int(most),
        "already_ended": already_ended,
        "unanswered": len(doubtful),
    }
    if not len(refused):
        evidence["sentence"] = (
            f"The quota of active chats was not met: {int(low)} open at once are known to be admitted."
        )
        return ActiveChatsEstimate(Interval(low, low, None), "lower_bound", evidence, at, open_chats)
    possible = (
        np.searchsorted(np.sort(begun.sent), refused.received, side="right")
        + np.searchsorted(np.sort(doubtful.sent), refused.received, side="right")
        - np.searchsorted(ended, refused.sent)
    )
    high = float(possible.min())
    if high < low:
        evidence["others_at_least"] = int(low - high)
        evidence["sentence"] = (
            f"At least {int(low)} chats may be open at once; some starts were refused with only {int(high)} of ours "
            f"open, so others hold chats too, or the quota moved."
        )
        return ActiveChatsEstimate(Interval(None, low, None), "not_explained", evidence, at, open_chats)
    if already_ended:
        evidence["sentence"] = (
            f"Starts were refused with at most {int(high)} chats open, but {already_ended} of ours were ended by somebody "
            f"else, nobody knows when: the quota lies between {int(max(low - already_ended, 0))} and {int(high)}."
        )
        lower = max(low - already_ended, 0.0)
        return ActiveChatsEstimate(Interval(None, lower, high), "not_explained", evidence, at, open_chats)
    number = f"{int(high)}" if low == high else f"{int(low)} to {int(high)}"
    evidence["sentence"] = f"{number} chats may be open at once, if nobody else held any."
    return ActiveChatsEstimate(Interval(high, low, high), "explained", evidence, at, open_chats)


def _course(begun: Attempts, ended: Floats) -> tuple[Floats, Floats]:
    at = np.concatenate((begun.received, ended))
    change = np.concatenate((np.ones(len(begun)), -np.ones(len(ended))))
    order = np.argsort(at, kind="stable")
    return at[order], np.cumsum(change[order])


def _surely_open(begun: Attempts, ended: Floats) -> float:
    """The most of our chats that were open at once for certain, a start counting from its answer on."""
    if not len(begun):
        return 0.0
    answered = np.sort(begun.received)
    after = np.arange(1, len(answered) + 1) - np.searchsorted(ended, answered + _STOP_TAKES)
    return float(after.max())
