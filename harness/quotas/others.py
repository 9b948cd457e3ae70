"""What others hold of a quota of active chats, from counts of all chats of the instance and the course of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.estimates import Interval

_STEADY = 3.0
"""Chats by which ours may have changed within a stretch whose count is taken at its word."""


@dataclass(frozen=True, slots=True)
class Count:
    """All chats that were open at some moment from `begin` to `end` (seconds on the attempts' clock): `least` to `most`."""

    begin: float
    end: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class OthersOpen:
    """How many chats others held, `low` to `high`, and the number of counts that this rests on."""

    low: float
    high: float
    counts: int

    def quota(self, ours: Interval) -> Interval:
        """Return the quota of the whole instance from `ours`, what was left to us of it."""
        exact = self.low == self.high and ours.estimate is not None
        return Interval(
            ours.estimate + self.low if exact and ours.estimate is not None else None,
            None if ours.low is None else ours.low + self.low,
            None if ours.high is None else ours.high + self.high,
        )


def others_open(
    counts: Sequence[Count], at: Floats, ours: Floats, met: Sequence[float] | Floats = ()
) -> OthersOpen | None:
    """Return what others held while the limit was met; None where no count tells.

    `at` (n,) are the moments at which our open chats became `ours` (n,), in order. `met`: the moments of refusals by the
    quota; without any, all counts of the time from the first to the last of `at` are used. Counts in which ours hardly
    changed are preferred, since a count says of its stretch of time not when it was taken.
    """
    if not len(at):
        return None
    moments = np.sort(np.asarray(met, np.float64))
    inside = [count for count in counts if _within(count, moments, at)]
    told = [(count, *_ours_in(count, at, ours)) for count in inside]
    steady = [each for each in told if each[2] - each[1] <= _STEADY]
    used = steady or told
    if not used:
        return None
    low = min(max(count.least - most, 0.0) for count, _, most in used)
    high = max(max(count.most - least, 0.0) for count, least, _ in used)
    return OthersOpen(float(low), float(high), len(used))


def _within(count: Count, met: Floats, at: Floats) -> bool:
    if len(met):
        return bool(np.searchsorted(met, count.begin) < np.searchsorted(met, count.end))
    return bool(count.end > at[0] and count.begin < at[-1])


def _ours_in(count: Count, at: Floats, ours: Floats) -> tuple[float, float]:
    """Return the fewest and the most chats of ours that were open in the time of a count."""
    first, last = np.searchsorted(at, count.begin, side="right"), np.searchsorted(at, count.end)
    before = float(ours[first - 1]) if first else 0.0
    levels = np.append(ours[first:last], before)
    return float(levels.min()), float(levels.max())
