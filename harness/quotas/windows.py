"""Limiters that count calls in windows of time: which of them would explain a record?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.quotas.bucket import Record
from harness.quotas.record import Floats

_USUAL_WIDTHS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` calls in `width` seconds; `wrong` decisions contradict that, of those judged."""

    kind: Literal["fixed_window", "sliding_window"]
    limit: int
    width: float
    wrong: int
    width_low: float
    width_high: float


def best_window(record: Record) -> Window | None:
    """The window limiter with the fewest contradictions, or None where there is nothing to try."""
    if len(record.admitted) < 2 or not len(record.refused):
        return None
    found = [*_sliding(record), *_fixed(record)]
    return min(found, key=lambda window: window.wrong, default=None)


def _limits(record: Record) -> list[int]:
    """Numbers of calls worth trying: small ones, and how many were admitted in a row before a refusal."""
    counts = np.diff(np.concatenate(([0], np.unique(record.before))))
    some = np.unique(np.concatenate((np.sort(counts)[-12:], record.before[:1])))
    around = {int(c) + k for c in some for k in (-2, -1, 0, 1, 2)}
    return sorted(n for n in around | set(range(1, 33)) if 0 < n <= len(record.admitted))


def _sliding(record: Record) -> Iterator[Window]:
    """A sliding log: the n-th last admission must be `width` seconds ago."""
    a, d = record.admitted, record.refused
    tolerance = 4 * (float(np.median(record.refused_spread)) + float(np.median(record.admitted_spread))) + 1e-3
    later = np.searchsorted(a, d + tolerance)
    for limit in _limits(record):
        taken = a[limit:] - a[:-limit]
        index = np.maximum(record.before, np.minimum(later, limit)) - limit
        known = index >= 0
        waited = d[known] - a[index[known]]
        if not len(taken) or not len(waited):
            continue
        width = _edge(waited, taken)
        wrong = np.count_nonzero(taken < width - tolerance) + np.count_nonzero(waited > width + tolerance)
        wrong += np.count_nonzero(~known)
        low, high = sorted((float(np.quantile(waited, 0.999)), float(np.quantile(taken, 0.001))))
        yield Window("sliding_window", limit, width, int(wrong), low - tolerance, high + tolerance)


def _edge(below: Floats, above: Floats) -> float:
    """The number that has as many of `below` above it as of `above` below it."""
    both = np.concatenate((below, above))
    edge = float(np.partition(both, len(below) - 1)[len(below) - 1])
    beyond = above[above > edge]
    return 0.5 * (edge + float(beyond.min())) if len(beyond) and below.max() <= edge else edge


def _fixed(record: Record) -> Iterator[Window]:
    """Windows that follow each other: boundaries lie where a refusal is followed by an admission."""
    a, d = record.admitted, record.refused
    tolerance = 4 * (float(np.median(record.refused_spread)) + float(np.median(record.admitted_spread))) + 1e-3
    openings = np.flatnonzero(np.diff(record.before, append=len(a)) > 0)
    openings = openings[record.before[openings] < len(a)]
    if not len(openings):
        return
    from_, to = d[openings], a[record.before[openings]]
    tight = np.argsort(to - from_)[:6]
    gaps = np.diff(to)
    middle = 0.5 * (from_ + to)
    measured = np.unique(np.round(np.quantile(gaps, (0.1, 0.25, 0.5, 0.75, 0.9)), 3)) if len(gaps) else np.empty(0)
    span = max(float(a[-1]), float(d[-1]))
    for width in {*_USUAL_WIDTHS, *(float(w) for w in measured if w > 5 * tolerance)}:
        if width > span:
            continue
        for anchor in middle[tight]:
            yield _count(record, width, float(anchor), tolerance)


def _count(record: Record, width: float, anchor: float, tolerance: float) -> Window:
    a, d = record.admitted, record.refused
    window = np.floor((a - anchor) / width)
    first = np.searchsorted(window, window)
    place = np.arange(len(a)) - first
    at = np.floor((d - anchor) / width)
    there = record.before - np.searchsorted(window, at)
    later = np.searchsorted(window, at, side="right") - np.searchsorted(window, at)
    limit = max(1, int(np.median(there)))
    near_a = np.abs((a - anchor + width / 2) % width - width / 2) < tolerance
    near_d = np.abs((d - anchor + width / 2) % width - width / 2) < tolerance
    # A refusal may have been decided just after an admission that seems later.
    soon = np.searchsorted(a, d + tolerance) - record.before
    short = np.minimum(there + soon, later) < limit
    wrong = np.count_nonzero((place >= limit) & ~near_a) + np.count_nonzero(short & ~near_d)
    slack = tolerance / max(1.0, (float(a[-1]) - float(a[0])) / width)
    return Window("fixed_window", limit, width, int(wrong), width - slack, width + slack)
