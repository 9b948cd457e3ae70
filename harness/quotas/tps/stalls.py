"""Calls that hung: did they wait on the way to the decision, or did their answers wait on the way back?

A client or a service that stops for half a second delays every call then on the wire, all on the same side of the decision.
Each such stall is placed where the bucket that the record suggests contradicts it least.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Record
from harness.quotas.tps.rate import disagreement, likely_rate
from harness.quotas.tps.timing import Calls

_SIDES = (0.0, 1.0, 0.5)
_MOST_STALLS = 16


def placed(calls: Calls, deficit: float) -> tuple[Calls, float | None]:
    """Return the same calls with each stall on the likelier side of the decision, and their likely rate if it is known."""
    stalls = _stalls(calls)
    if not stalls:
        return calls, None
    found = []
    for side in _SIDES:
        moved = replace(calls, stalled_before=np.full(len(calls.sent), side))
        found.append((*likely_rate(moved, deficit), side))
    _, rate, side = min(found)
    before = np.full(len(calls.sent), side)
    best, together = _cost(calls, before, rate, deficit), True
    for stall in stalls:
        for other in _SIDES:
            tried = before.copy()
            tried[stall] = other
            cost = _cost(calls, tried, rate, deficit)
            if cost < best:
                best, before, together = cost, tried, False
    return replace(calls, stalled_before=before), rate if together else None


def _cost(calls: Calls, before: Floats, rate: float, deficit: float) -> float:
    moved = replace(calls, stalled_before=before)
    return disagreement(Record.of(moved, (0.5, 0.5), calls.typical_spread, deficit), rate)[0]


def _stalls(calls: Calls) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Return the indices of the calls of each stall, the longest stalls first; calls that hung at the same time
    belong together.
    """
    hung = np.flatnonzero(calls.stall > max(0.01, 4 * calls.typical_spread))
    if not len(hung):
        return []
    hung = hung[np.argsort(calls.sent[hung], kind="stable")]
    until = np.maximum.accumulate(calls.sent[hung] + calls.stall[hung])
    breaks = np.flatnonzero(calls.sent[hung][1:] > until[:-1]) + 1
    stalls = np.split(hung, breaks)
    return sorted(stalls, key=lambda indices: -float(calls.stall[indices].sum()))[:_MOST_STALLS]
