"""A first idea of a limiter's rate from a few seconds of calls, and whether that was long enough to have one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.quotas.any_limiter.decisions import Decisions

_FEWEST = 12
_FEWEST_SLOW = 5
"""Fewest admissions where they come less than twice a second."""


@dataclass(frozen=True, slots=True)
class FirstRate:
    """About how many calls a second are admitted; `silence`: the longest time without one; `known`: whether that will do."""

    rate: float
    silence: float
    known: bool


def first_rate(decisions: Decisions) -> FirstRate:
    """Read the rate from `decisions` of an emptied limiter. Where they come in turns, whole turns are counted."""
    times = decisions.admissions
    if len(decisions) < 2:
        return FirstRate(0.0, 0.0, known=False)
    begin, end = float(decisions.at[0]), float(decisions.at[-1])
    gaps = np.diff(np.concatenate(([begin], times, [end])))
    silence = float(gaps.max())
    rate = len(times) / max(end - begin, 1e-3)
    turns = np.flatnonzero(gaps[:-1] > 0.6 * silence)  # times[i] is the first admission of a turn
    if silence > 3 / max(rate, 1e-9) and len(turns) >= 2:
        rate = float(turns[-1] - turns[0]) / float(times[turns[-1]] - times[turns[0]])
        return FirstRate(rate, silence, known=len(turns) >= 3 or float(end - begin) > 2.4 * silence)
    fewest = _FEWEST if rate > 2 else _FEWEST_SLOW
    return FirstRate(rate, silence, known=len(times) >= fewest and float(end - begin) > 4 * silence)
