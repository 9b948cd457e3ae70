"""Which parts of a record were under pressure: more calls were offered than admitted, for a while, at a steady pace."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.sustained import Stretch
from harness.quotas.attempts import Floats

_PRESSURE = 1.08
_FEWEST_REFUSED = 3
_MOST_CELLS = 1500
_GAIN = 25.0
_CHANGE = 1.15


def under_pressure(decisions: Decisions) -> list[Stretch]:
    """Return the stretches under pressure, in order.

    The record is cut where nobody called, and where the offered rate changed: by what was offered only, never by what was
    admitted, so that chance is not chosen. A part is under pressure where at least 8 % more was offered than admitted;
    neighbours that are, make one stretch.
    """
    found: list[Stretch] = []
    for begin, end, attached in _parts(decisions.at):
        part = decisions.between(begin, end)
        admitted = int(np.count_nonzero(part.admitted))
        stretch = Stretch(begin, end, len(part), admitted)
        if len(part) - admitted < _FEWEST_REFUSED or stretch.pressure < _PRESSURE:
            continue
        if found and attached and abs(found[-1].end - begin) < 1e-6 and _alike(found[-1], stretch):
            last = found.pop()
            stretch = Stretch(last.begin, end, last.offered + len(part), last.admitted + admitted)
        found.append(stretch)
    return found


def _alike(one: Stretch, other: Stretch) -> bool:
    """Neighbours of pressures that differ by less than half: a ramp's steps, not a probe's stages."""
    return 1 / 1.5 < one.pressure / other.pressure < 1.5


def _parts(at: Floats) -> list[tuple[float, float, bool]]:
    """(begin, end, attached to the one before) of the parts in which calls came at a steady rate."""
    if len(at) < 2:
        return []
    gaps = np.diff(at)
    pause = max(1.0, 15 * float(np.median(gaps)))
    cuts = np.flatnonzero(gaps > pause)
    parts: list[tuple[float, float, bool]] = []
    for first, last in zip(np.concatenate(([0], cuts + 1)), np.concatenate((cuts, [len(at) - 1])), strict=True):
        run = at[first : last + 1]
        edges = _steady(run)
        parts += [(float(a), float(b), k > 0) for k, (a, b) in enumerate(pairwise(edges))]
    return parts


def _steady(at: Floats) -> Floats:
    """Edges between which calls at `at` (n,) came at a steady rate."""
    span = float(at[-1] - at[0])
    whole = np.array([at[0], at[-1] + 1e-9])
    if len(at) < 60 or span <= 0:
        return whole
    cells = int(np.clip(len(at) // 12, 4, _MOST_CELLS))
    grid = np.linspace(at[0], at[-1] + 1e-9, cells + 1)
    counts = np.histogram(at, grid)[0].astype(float)
    spread = float(np.mean(np.diff(counts) ** 2)) / 2
    dispersion = float(np.clip(spread / max(counts.mean(), 1e-9), 0.3, 4.0))
    total = np.concatenate(([0.0], np.cumsum(counts)))
    cuts: list[int] = []
    work = [(0, cells)]
    while work and len(cuts) < 200:
        first, last = work.pop()
        cut = _best_cut(total, first, last, dispersion)
        if cut is not None:
            cuts.append(cut)
            work += [(first, cut), (cut, last)]
    return np.asarray(grid[sorted({0, cells, *cuts})])


def _best_cut(total: Floats, first: int, last: int, dispersion: float) -> int | None:
    """Where the offered rate changed most between two cells, by the Poisson likelihood; None where it did not."""
    if last - first < 4:
        return None
    cut = np.arange(first + 2, last - 1)
    left, right = total[cut] - total[first], total[last] - total[cut]
    a, b = left / (cut - first), right / (last - cut)
    all_of = (total[last] - total[first]) / (last - first)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = left * np.nan_to_num(np.log(a / all_of)) + right * np.nan_to_num(np.log(b / all_of))
        change = np.maximum(a, b) / np.maximum(np.minimum(a, b), 1e-9)
    gain = np.where(change > _CHANGE, gain / dispersion, 0.0)
    best = int(np.argmax(gain))
    return int(cut[best]) if gain[best] > _GAIN else None
