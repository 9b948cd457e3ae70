"""The burst from rest: how many calls are admitted at once after a rest, and whether a longer rest would admit more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import BurstFromRest
from harness.quotas.special import stdtrit

VOLLEYS = 5
"""Fewest volleys at the rest that was enough."""
_LONGER_ADMITS = 0.10
_LONGEST_REST = 120.0
_SYSTEMATIC = 0.01
"""Share by which all volleys may be off alike: the refill is subtracted in whole calls, at moments that jitter."""
_OTHER_PHASES = 0.11
"""The same for a limiter that is not a bucket: five volleys have not met every phase of a window or of a sync."""

_OF_RANGE = 0.6
"""Share of the volleys' range by which their mean may be off: nodes that agree late admit a third of the most at times, and
of five volleys none may be such a one."""


@dataclass(frozen=True, slots=True)
class Volley:
    """Calls at once after `rest` seconds: `admitted` within `span` seconds, without the `refilled` ones it is `burst`."""

    rest: float
    admitted: int
    span: float
    refilled: float = 0.0

    @property
    def burst(self) -> float:
        """Admitted at once."""
        return max(0.0, self.admitted - self.refilled)


def volley_of(decisions: Decisions, rest: float, rate: float) -> Volley | None:
    """Read a volley from its decisions; at `rate` a second the limiter refills meanwhile.

    None where no call was refused: how many more would have been admitted is not known. One of which nothing was admitted
    tells that its rest was too short, and counts: without it the mean would be that of the lucky ones.
    """
    if decisions.admitted.all():
        return None
    times = decisions.admissions
    if not len(times):
        return Volley(rest, 0, 0.0)
    span = float(times[-1] - decisions.at[0])
    return Volley(rest, len(times), span, rate * span)


def next_rest(volleys: Sequence[Volley], first: float) -> float | None:
    """Return the rest before the next volley, seconds, or None when there are enough.

    Rests double from `first` (two minutes at the most) until a longer one admits no more than 10 % (or one call) more;
    that rest is then used until five volleys had it or a longer one.
    """
    if not volleys:
        return min(first, _LONGEST_REST)
    enough = _rest_that_is_enough(volleys)
    if enough is None:
        return min(2 * max(v.rest for v in volleys), _LONGEST_REST)
    return enough if sum(v.rest >= 0.95 * enough for v in volleys) < VOLLEYS else None


def _rest_that_is_enough(volleys: Sequence[Volley]) -> float | None:
    """Return the shortest rest that a longer one did not beat; None where that is still to be tried."""
    rests = sorted({round(v.rest, 3) for v in volleys})
    groups: list[list[Volley]] = []
    for rest in rests:  # rests that differ by a few per cent are the same one
        some = [v for v in volleys if round(v.rest, 3) == rest]
        if groups and rest < 1.4 * groups[-1][0].rest:
            groups[-1] += some
        else:
            groups.append(some)
    for shorter, longer in pairwise(groups):
        before, after = _least_sure(shorter), float(np.median([v.burst for v in longer]))
        if after <= before + max(1.0, _LONGER_ADMITS * before):
            return min(v.rest for v in shorter)
    return min(v.rest for v in groups[-1]) if groups[-1][0].rest >= 0.95 * _LONGEST_REST else None


def _least_sure(volleys: Sequence[Volley]) -> float:
    """Return what `volleys` of one rest admit in the middle; nothing where one was in vain: the rest is too short for it."""
    return float(np.median([v.burst for v in volleys])) if all(v.admitted for v in volleys) else 0.0


def burst_from_rest(volleys: Sequence[Volley]) -> BurstFromRest | None:
    """Return the burst from `volleys`; those after too short a rest are left out. None without any volley."""
    if not volleys:
        return None
    enough = _rest_that_is_enough(volleys)
    rest = enough if enough is not None else max(v.rest for v in volleys)
    counts = np.array([v.burst for v in volleys if v.rest >= 0.95 * rest])
    n, middle = len(counts), float(counts.mean())
    half = float(stdtrit(n - 1, 0.975) * np.std(counts, ddof=1) / np.sqrt(n)) if n >= 2 else 0.5 * middle
    half = max(half, 1.0, _SYSTEMATIC * middle)
    return BurstFromRest(
        float(np.median(counts)),
        float(counts.min()),
        float(counts.max()),
        max(0.0, middle - half),
        middle + half,
        n,
        rest,
        tuple(float(c) for c in counts),
        enough is not None,
    )


def widened(found: BurstFromRest, volleys: Sequence[Volley], first: int) -> BurstFromRest:
    """Return `found` for a limiter that is not a bucket: its mean is known less closely than five volleys make it look.

    Volleys after other rests met other phases, so they show how far apart volleys lie too, but for those in vain. Nor is it
    known whether it refilled during a volley, as a bucket does: what was admitted in all is held too. Where some were in
    vain, a longer rest than was tried admits more: as many as the most of any, or as the `first` that the run began with.
    """
    middle = 0.5 * (found.mean_low + found.mean_high)
    seen = [v.burst for v in volleys if v.admitted]
    apart = _OF_RANGE * (max(seen) - min(seen)) if seen else 0.0
    half = max(0.5 * (found.mean_high - found.mean_low), _OTHER_PHASES * middle, apart)
    whole = float(np.mean([v.admitted for v in volleys if v.rest >= 0.95 * found.rest_s]))
    most = found.high
    if not all(v.admitted for v in volleys):
        most = max(float(first), most, *(v.burst for v in volleys))
        whole = max(whole, (1 + _OTHER_PHASES) * most + 1)
    return replace(found, high=most, mean_low=max(0.0, middle - half), mean_high=max(middle + half, whole))
