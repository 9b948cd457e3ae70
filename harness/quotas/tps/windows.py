"""Limiters that count calls in windows of time: which of them would explain a record?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Record

_USUAL_WIDTHS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_NEARLY = 0.98
"""Share of a sliding window's width from which a refused call shows where it ends."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` calls in `width` seconds; `wrong` decisions contradict that, of those judged."""

    kind: Literal["fixed_window", "sliding_window"]
    limit: int
    width: float
    wrong: int
    width_low: float
    width_high: float


def best_window(record: Record, allowed: int) -> Window | None:
    """Return a window limiter that at most `allowed` decisions contradict, the best of them, or None.

    Only windows far wider than the jitter are tried: any record can be cut into windows that are as narrow as its blur.
    """
    if len(record.admitted) < 2 or len(record.refused) < 8:
        return None
    tolerance = 3 * float(np.median(record.refused_spread) + np.median(record.admitted_spread)) + 1e-3
    found = [w for w in (*_sliding(record, tolerance), *_fixed(record, tolerance)) if w.wrong <= allowed]
    best = min(found, key=lambda window: window.wrong, default=None)
    if best is None:
        return None
    alike = [w for w in found if (w.kind, w.limit) == (best.kind, best.limit) and abs(w.width / best.width - 1) < 0.01]
    usual = [w for w in alike if w.width in _USUAL_WIDTHS]
    low, high = min(w.width_low for w in alike), max(w.width_high for w in alike)
    return replace((usual or [best])[0], width_low=low, width_high=high)


def _limits(record: Record) -> list[int]:
    """Numbers of calls worth trying: small ones, and how many were admitted in a row before a refusal."""
    counts = np.diff(np.concatenate(([0], np.unique(record.before))))
    some = np.unique(np.concatenate((np.sort(counts)[-12:], record.before[:1])))
    around = {int(c) + k for c in some for k in (-2, -1, 0, 1, 2)}
    return sorted(n for n in around | set(range(1, 33)) if 0 < n <= len(record.admitted))


def _sliding(record: Record, tolerance: float) -> Iterator[Window]:
    """Return a sliding log: the n-th last admission must be `width` seconds ago."""
    a, d = record.admitted, record.refused
    later = np.searchsorted(a, d + tolerance)
    for limit in _limits(record):
        taken = a[limit:] - a[:-limit]
        index = later - limit  # a refusal may have been decided just after an admission that seems later
        known = index >= 0
        waited = d[known] - a[index[known]]
        if not len(taken) or not len(waited):
            continue
        width = _edge(waited, taken)
        wrong = np.count_nonzero(taken < width - tolerance) + np.count_nonzero(waited > width + tolerance)
        wrong += np.count_nonzero(~known)
        low, high = sorted((_quantile(waited, 0.999), _quantile(taken, 0.001)))
        if width > 10 * tolerance and _closes_twice(d[known], waited, width, tolerance):
            yield Window("sliding_window", limit, width, int(wrong), low - tolerance, high + tolerance)


def _closes_twice(refused: Floats, waited: Floats, width: float, tolerance: float) -> bool:
    """Return whether calls were `refused` (n,) that had `waited` nearly `width` seconds, more than once.

    One fixed window that opens again is a sliding one of some width.
    """
    near = refused[waited > _NEARLY * width - tolerance]
    return bool(len(near)) and float(near[-1] - near[0]) > 0.5 * width


def _quantile(values: Floats, q: float) -> float:
    """Return what `np.quantile` returns, to the last bit, in a fifth of its time for some hundred `values` (n,)."""
    place = (len(values) - 1) * q
    below = int(place)
    share, above = place - below, min(below + 1, len(values) - 1)
    part = np.partition(values, (below, above))
    low, high = float(part[below]), float(part[above])
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def _edge(below: Floats, above: Floats) -> float:
    """Return the number that has as many of `below` above it as of `above` below it."""
    both = np.concatenate((below, above))
    edge = float(np.partition(both, len(below) - 1)[len(below) - 1])
    beyond = above[above > edge]
    return 0.5 * (edge + float(beyond.min())) if len(beyond) and below.max() <= edge else edge


def _fixed(record: Record, tolerance: float) -> Iterator[Window]:
    """Windows that follow each other: boundaries lie where a refusal is followed by an admission."""
    a, d = record.admitted, record.refused
    openings = np.flatnonzero(np.diff(record.before, append=len(a)) > 0)
    # Several refusals in a row before it: a single one may only seem to come before the last admission of its window.
    run = openings - np.searchsorted(record.before, record.before[openings]) + 1
    openings = openings[(record.before[openings] < len(a)) & (run >= 3)]
    if len(openings) < 3:
        return
    from_, to = d[openings], a[record.before[openings]]
    middle, doubt = 0.5 * (from_ + to), to - from_
    gaps = np.diff(middle)
    measured = {_quantile(gaps, q) / k for q in (0.1, 0.25, 0.5, 0.75) for k in (1, 2, 3)}
    span = max(float(a[-1]), float(d[-1]))
    for guess in {*_USUAL_WIDTHS, *measured}:
        if 10 * tolerance < guess < span / 2:
            clear = doubt < 0.3 * guess
            if np.count_nonzero(clear) >= 3:
                width = _width(middle[clear], doubt[clear], guess)
                for tried in {guess, *(width * np.linspace(0.996, 1.004, 9))}:
                    yield _count(record, float(tried), _anchor(from_[clear], to[clear], float(tried)), tolerance)


def _width(middle: Floats, doubt: Floats, guess: float) -> float:
    """Width of the evenly spaced boundaries that lie nearest to `middle`, starting from a `guess`."""
    weight = 1 / (doubt + 1e-3)
    width, anchor = guess, float(middle[np.argmin(doubt)])
    reach = 4.0
    while reach < 1e6:
        near = np.abs(middle - anchor) < reach * width
        number = np.round((middle[near] - anchor) / width)
        if len(np.unique(number)) > 2:
            slope, offset = np.polyfit(number, middle[near], 1, w=weight[near])
            if 0.8 * guess < slope < 1.25 * guess:
                width, anchor = float(slope), float(offset)
        if near.all():
            break
        reach *= 1.7
    return width


def _anchor(from_: Floats, to: Floats, width: float) -> float:
    """Return the boundary that lies between most refusals, `from_`, and the admissions that followed, `to`, modulo
    `width`.
    """
    tightest = np.argmin(to - from_)
    middle = 0.5 * (from_[tightest] + to[tightest])
    number = np.round((0.5 * (from_ + to) - middle) / width)
    return 0.5 * (_quantile(from_ - number * width, 0.9) + _quantile(to - number * width, 0.1))


def _count(record: Record, width: float, anchor: float, tolerance: float) -> Window:
    a, d = record.admitted, record.refused
    window = np.floor((a - anchor) / width)
    place = np.arange(len(a)) - np.searchsorted(window, window)
    at = np.floor((d - anchor) / width)
    begin = np.searchsorted(window, at)
    there = record.before - begin
    in_window = np.searchsorted(window, at, side="right") - begin
    limit = max(1, int(np.median(there)))
    # A call near a boundary may belong to either window, a refusal may have been decided just after an admission.
    near_a = np.abs((a - anchor + width / 2) % width - width / 2) < tolerance
    near_d = np.abs((d - anchor + width / 2) % width - width / 2) < tolerance
    soon = np.searchsorted(a, d + tolerance) - record.before
    short = np.minimum(there + soon, in_window) < limit
    wrong = np.count_nonzero((place >= limit) & ~near_a) + np.count_nonzero(short & ~near_d)
    slack = tolerance / max(1.0, (float(a[-1]) - float(a[0])) / width)
    return Window("fixed_window", limit, width, int(wrong), width - slack, width + slack)
