"""The limit on chats open at once, inferred from starts, ends and refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.counting import counted
from harness.quotas.attempts import CHAT_LIMIT, DISCONNECTED, FAULT, STARTED, TIMEOUT, Attempts, Floats
from harness.quotas.estimates import ActiveChatsEstimate, Interval, Verdict

_STOP_TAKES = 2.0
"""Seconds before its answer within which a stop may already have freed its slot."""
COUNTED_WITHIN = 2.5
"""Seconds within which a service that counts chats late is taken to have counted them: what is seen of a service that was
left alone for so long is not blurred by that."""
_SLOT_LAGS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 45.0, 60.0, 90.0)
"""Seconds after which a freed slot may be there again, tried where slots are late."""
_FURTHER_GONE = 3
"""How many more of the chats that were stopped might have been found gone, by chance."""
_FASTER_BEFORE = 2.0
"""How many times as many chats a second may have ended by themselves before the quota was met as after."""
_EDGES = 3
"""How often the limit must have been met at the same number of chats, a slot freed in between, to be exact."""
_EDGES_AT_REST = 2
"""The same where the service had been left alone before an admission that reached the limit."""


@dataclass(frozen=True, slots=True)
class _Counts:
    """The record of our chats: starts that were admitted and refused, starts without an answer, and ends, sorted."""

    begun: Attempts
    refused: Attempts
    doubtful: Attempts
    ended: Floats
    freed_from: Floats
    """The first moment at which each end may have freed its slot, sorted."""

    def open_after(self, counted_within: float = 0.0) -> Floats:
        """Our chats that were open for certain after each admission, (n,), not counting others of the last seconds."""
        answered = np.sort(self.begun.received)
        if counted_within:
            earlier = np.searchsorted(answered, self.begun.sent - counted_within, side="right")
            ended = np.searchsorted(self.freed_from, self.begun.received)
            return np.asarray(1.0 + earlier - ended, np.float64)
        after = np.arange(1, len(answered) + 1) - np.searchsorted(self.freed_from, answered)
        return np.asarray(after, np.float64)

    def possibly_open(self, slot_lag: float = 0.0) -> Floats:
        """Our chats that may have been open at each refusal, (m,), if a freed slot is there again after `slot_lag`."""
        doubtful = np.searchsorted(np.sort(self.doubtful.sent), self.refused.received, side="right")
        return np.asarray(self._begun_at_refusals(slot_lag) + doubtful, np.float64)

    def likely(self, low: float, high: float) -> float:
        """Return the limit within its bounds, if calls that failed or got no answer began no chat."""
        return min(high, max(low, float(self._begun_at_refusals(0.0).min())))

    def _begun_at_refusals(self, slot_lag: float) -> Floats:
        begun = np.searchsorted(np.sort(self.begun.sent), self.refused.received, side="right")
        return np.asarray(begun - np.searchsorted(self.ended, self.refused.sent - slot_lag), np.float64)

    def edges(self, quota: float) -> int:
        """How often refusals at `quota` open chats followed an admission that reached it, with an end before the next."""
        met = np.sort(self.refused.sent[self.possibly_open() == quota])
        before = np.searchsorted(self.ended, met)
        return len(np.unique(before))


def infer_active_chats(
    attempts: Attempts,
    ends: Sequence[float] | Floats,
    *,
    ends_sent: Sequence[float] | Floats | None = None,
    already_ended: int = 0,
) -> ActiveChatsEstimate:
    """Return the most chats that may be open at once, from `attempts` and the moments at which our chats ended.

    `ends`: seconds on the attempts' clock, in any order: when each StopContact (or other end) of ours was answered.
    `ends_sent`: when each of them was asked for, in the same order, before which it freed no slot; None where nobody knows.
    `already_ended`: how many of our chats turned out to have been ended by somebody else, at a time nobody saw.

    Each start that was admitted shows that the chats open just then were fewer than the quota; each refusal, that they
    were not. What cannot be placed in time for certain (calls that overlap) widens the bound that it belongs to. A number is
    exact only where the limit was met there again and again; a service that counts chats late, or gives freed slots back
    late, is told from the contradictions that this leaves.
    """
    begun = attempts.where(attempts.outcome == STARTED)
    refused = attempts.where(attempts.outcome == CHAT_LIMIT)
    doubtful = attempts.where(np.isin(attempts.outcome, (FAULT, TIMEOUT, DISCONNECTED)))
    ended = np.asarray(ends, np.float64)
    freed_from = ended - _STOP_TAKES
    if ends_sent is not None:
        freed_from = np.fmax(freed_from, np.asarray(ends_sent, np.float64))
    counts = _Counts(begun, refused, doubtful, np.sort(ended), np.sort(freed_from))
    at, open_chats = _course(begun, counts.ended)
    low = max(float(counts.open_after().max(initial=0.0)), 0.0)
    evidence: dict[str, object] = {
        "started": len(begun),
        "refused": len(refused),
        "most_open": int(open_chats.max(initial=0.0)),
        "already_ended": already_ended,
        "unanswered": len(doubtful),
    }
    if not len(refused):
        sentence = f"The quota of active chats was not met: {int(low)} open at once are known to be admitted."
        found = _Found(Interval(low, low, None), "lower_bound", sentence)
    elif already_ended:
        found = _with_unseen_ends(counts, low, already_ended)
    elif float(counts.possibly_open().min()) < low:
        found = _contradicted(counts, low, evidence)
    else:
        found = _consistent(counts, low, evidence)
    evidence["sentence"] = found.sentence
    return ActiveChatsEstimate(found.chats, found.verdict, evidence, at, open_chats)


@dataclass(frozen=True, slots=True)
class _Found:
    chats: Interval
    verdict: Verdict
    sentence: str


def _with_unseen_ends(counts: _Counts, low: float, already_ended: int) -> _Found:
    high, stopped = float(counts.possibly_open().min()), len(counts.ended)
    # Of those that nobody has tried to stop yet, as large a share may be gone; the oldest are stopped first.
    share = min(1.0, (already_ended + _FURTHER_GONE) / max(stopped, 1))
    unseen = math.ceil(share * max(len(counts.begun) - stopped, 0))
    lower = max(min(low, high) - already_ended - unseen, 0.0)
    sentence = (
        f"Starts were refused with at most {counted(int(high), 'chat')} open, but somebody else ended {already_ended} of "
        f"ours, nobody knows when: the quota lies between {int(lower)} and {int(high)}."
    )
    return _Found(Interval(None, lower, high), "not_explained", sentence)


def _consistent(counts: _Counts, low: float, evidence: dict[str, object]) -> _Found:
    high = float(counts.possibly_open().min())
    edges = counts.edges(high)
    at_rest = float(counts.open_after(COUNTED_WITHIN).max(initial=0.0))
    evidence["edges"] = edges
    exact = low == high and (edges >= _EDGES or (edges >= _EDGES_AT_REST and at_rest == high))
    if not exact:
        low = max(min(low, at_rest), 0.0)
    number = f"{int(high)}" if low == high else f"{int(low)} to {int(high)}"
    sentence = f"{counted(number, 'chat')} may be open at once, if nobody else held any."
    if low < high and edges < _EDGES:
        sentence = (
            sentence[:-1] + f"; the limit was met {edges} time{'s' * (edges != 1)}, which does not make it exact."
        )
    return _Found(Interval(counts.likely(low, high), low, high), "explained", sentence)


def _contradicted(counts: _Counts, low: float, evidence: dict[str, object]) -> _Found:
    """Return a start was admitted with more chats open than another was refused with: slots or counts that are late,
    or others.
    """
    high = float(counts.possibly_open().min())
    at_rest = max(float(counts.open_after(COUNTED_WITHIN).max(initial=0.0)), 0.0)
    if at_rest <= high:
        evidence["overshoot"] = int(low - high)
        sentence = (
            f"{int(at_rest)} to {counted(int(low), 'chat')} may be open at once: the service counts late, so that up to "
            f"{int(low - high)} more than {int(high)} were admitted in quick succession."
        )
        return _Found(Interval(counts.likely(at_rest, high), at_rest, low), "explained", sentence)
    for lag in _SLOT_LAGS:
        later = float(counts.possibly_open(lag).min())
        if later >= low:
            evidence["slot_lag_s"] = lag
            span = f"{int(low)}" if low == later else f"{int(low)} to {int(later)}"
            chats = counted(span, "chat")
            sentence = f"{chats} may be open at once; a freed slot is there again only after up to {lag:g} s."
            return _Found(Interval(low, min(low, high), max(later, low)), "explained", sentence)
    if (lower := _if_ours_end(counts, low, high)) < low:
        bound = f"At least {counted(int(lower), 'chat')} may be open at once. " if lower else ""
        sentence = (
            f"{bound}Starts were refused with {int(high)} of ours open "
            f"and later admitted with {int(low)}: either some of ours end without being stopped, or others hold chats too."
        )
        return _Found(Interval(None, lower, None), "not_explained", sentence)
    evidence["others_at_least"] = int(low - high)
    sentence = (
        f"At least {counted(int(low), 'chat')} may be open at once; some starts were refused with only {int(high)} of ours "
        f"open, so others hold chats too, or the quota moved."
    )
    return _Found(Interval(None, low, None), "not_explained", sentence)


def _if_ours_end(counts: _Counts, low: float, high: float) -> float:
    """Return what the quota is at the least if chats of ours may end by themselves; `low` where that explains nothing.

    A start refused with `high` of ours begun and not stopped, and one admitted with `low` later on: if ours end by
    themselves, as many ended in between as the two differ by, and before that not many more a second: then the quota was
    not met yet, and in between it may not have been met all the time. One that had been admitted with more before says
    that the quota moved or that others came.
    """
    possibly, after = counts.possibly_open(), counts.open_after()
    answered = np.sort(counts.begun.received)
    refused_at = float(counts.refused.sent[np.flatnonzero(possibly == high)].min())
    later = answered[(after >= low) & (answered > refused_at)]
    if not len(later):
        return low
    in_between = low - high + 2 * math.sqrt(low - high) + 1
    ended_before = _FASTER_BEFORE * in_between / (float(later[0]) - refused_at) * (refused_at - float(answered[0]))
    return max(0.0, min(low, math.floor(high - ended_before - 2 * math.sqrt(ended_before))))


def _course(begun: Attempts, ended: Floats) -> tuple[Floats, Floats]:
    at = np.concatenate((begun.received, ended))
    change = np.concatenate((np.ones(len(begun)), -np.ones(len(ended))))
    order = np.argsort(at, kind="stable")
    return at[order], np.cumsum(change[order])
