"""Which parts of a record were under pressure, at a steady pace, and whether short loads sustain what a long one did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import Sustained
from harness.quotas.attempts import Floats
from harness.quotas.special import stdtrit

_PRESSURE = 1.08
_FEWEST_REFUSED = 3
_MOST_CELLS = 1500
_GAIN = 25.0
_CHANGE = 1.15
_FEWEST_CALLS, _FEWEST_LOADS, _COUNTED = 8, 4, 0.5
"""Calls of a short load, and how many of those tell how far loads differ; the sd of a count, admissions, if it is kept."""
_FAR_OFF, _ALWAYS_OFF = 0.25, 2.7
"""Share of a long load's rate, beyond an admission, by which no short one of the same kind is off; so many of their sd their
mean is not."""
_DIFFER, _APART = 3.0, 2.5
"""How many times the variance of the parts of one load theirs is, where loads differ; how many standard errors the mean of
the short ones is off then."""
_ALIKE = 2.0
"""How many times the variance of the parts of one load that of short ones is which are alike."""
_UNEVEN = 1.2
"""How much wider the interval of the mean of a few loads is than of normal ones: some places are rare, and take much."""
_TOO_FEW, _DOUBT, _LEFT_OPEN = 40.0, 1.5, 1.25
"""Admissions of a short load up to which it hardly tells loads that differ; standard errors, and times the variance of the
parts of one load, that leave it open."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a record with calls at a steady rate: `begin` to `end` seconds, `offered` and `admitted` calls."""

    begin: float
    end: float
    offered: int
    admitted: int

    @property
    def pressure(self) -> float:
        """Offered over admitted."""
        return self.offered / max(1, self.admitted)


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


@dataclass(frozen=True, slots=True)
class Load:
    """A short load that began at rest: what it admitted, and in how many seconds."""

    admitted: int
    seconds: float

    @property
    def rate(self) -> float:
        """Admissions a second."""
        return self.admitted / self.seconds


def load_of(decisions: Decisions) -> Load | None:
    """Return what a short load sustained after its first quarter, from a refusal on; None where there is none in its first
    half.
    """
    if len(decisions) < _FEWEST_CALLS:
        return None
    first, end = float(decisions.at[0]), float(decisions.at[-1])
    refused = decisions.refusals[decisions.refusals >= first + 0.25 * (end - first)]
    if not len(refused) or refused[0] > 0.5 * (first + end):
        return None
    begin = float(refused[0])
    return Load(int(np.count_nonzero(decisions.admissions > begin)), end - begin)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What short loads say of a long one, in shares of its rate: their rates (n,), and the sd of the parts of the long one
    that are as long as they are.
    """

    rates: Floats
    within: float
    few: float = 0.0
    """Admissions of a short load, at the rate of the long one."""

    @property
    def alike(self) -> bool:
        """Whether they are enough, and none is off by so much as where a limiter has to be paid for its burst first."""
        return len(self.rates) >= _FEWEST_LOADS and float(np.abs(self.rates - 1).max()) <= _FAR_OFF + 1 / self.few

    @property
    def spread(self) -> float:
        """The variance of all of them, the long one among them."""
        return float(np.var(np.append(self.rates, 1.0), ddof=1))

    @property
    def another_kind(self) -> bool:
        """Whether all are above the long load, or all below it, and alike, or so far off that it cannot be one of them."""
        off, n = self.rates - 1, len(self.rates)
        sd = float(off.std(ddof=1))
        apart = abs(float(off.mean())) > _ALWAYS_OFF * sd * math.sqrt(1 + 1 / n)
        return apart or (sd**2 < _ALIKE * self.within**2 and len(set(np.sign(off).tolist())) == 1)

    def differ(self, usual: float) -> bool:
        """Return whether loads differ more than parts of one do, whose sd is `usual`, or this one from the others."""
        return self.spread > _DIFFER * usual**2 or (self.apart(_APART) and self.spread > usual**2)

    @property
    def may_differ(self) -> bool:
        """Return whether so few admissions leave it open that loads differ."""
        if self.few > _TOO_FEW:
            return False
        return self.apart(_DOUBT) or self.spread > _LEFT_OPEN * self.within**2

    def apart(self, errors: float) -> bool:
        """Return whether the mean of the short loads is off by over so many of its standard errors."""
        error = float(self.rates.std(ddof=1)) / math.sqrt(len(self.rates))
        return abs(float(self.rates.mean()) - 1) > errors * error


def _beside(found: Sustained, decisions: Decisions, loads: Sequence[Load]) -> _Beside:
    rates = np.array([load.rate for load in loads]) / found.estimate
    if not len(loads) or found.blocks:
        return _Beside(np.empty(0), 0.0)
    seconds = float(np.mean([load.seconds for load in loads]))
    edges = np.arange(found.begin, found.end, seconds)
    parts = np.histogram(decisions.admissions, edges)[0] if len(edges) > 2 else np.zeros(2)
    few = seconds * found.estimate
    return _Beside(rates, max(float(np.std(parts, ddof=1)), _COUNTED) / few, few)


def over_several_loads(
    strong: Sustained, mild: Sustained | None, decisions: Decisions, again: Sequence[Load], again_mild: Sequence[Load]
) -> tuple[Sustained, Sustained | None]:
    """Return both rates as the mean of several loads in place of one, where loads differ more than parts of one do.

    Others' even calls keep their place between a limiter's tokens until it has rested, so that a load however long shows
    one such place: what it takes at another place is seen from one load to the next only. Where parts are too short to tell,
    or all short loads are off alike, as those of a limiter that adapts to long ones, the interval holds both.
    """
    first, second = _beside(strong, decisions, again), None if mild is None else _beside(mild, decisions, again_mild)
    told = [beside for beside in (first, second) if beside is not None and beside.alike]
    differ = any(beside.differ(max(beside.within, first.within)) for beside in told)
    if first.alike:
        strong = _of_loads(strong, first, differ)
    if mild is not None and second is not None and second.alike:
        mild = _of_loads(mild, second, differ)
    return strong, mild


def _of_loads(found: Sustained, beside: _Beside, differ: bool) -> Sustained:
    mean = _mean_of(found, beside)
    if differ:
        reach = beside.within if beside.another_kind else 0.0
        low, high = (1 - reach) * found.estimate, (1 + reach) * found.estimate
        return replace(mean, low=min(mean.low, low), high=max(mean.high, high))
    if beside.may_differ:
        return replace(found, low=min(found.low, mean.low), high=max(found.high, mean.high))
    return found


def _mean_of(found: Sustained, beside: _Beside) -> Sustained:
    rates = np.append(beside.rates, 1.0)
    middle, n = float(rates.mean()), len(rates)
    error = max(float(stdtrit(n - 1, 0.975)) * float(rates.std(ddof=1)), beside.within)
    half = _UNEVEN * error / math.sqrt(n)
    return replace(
        found,
        estimate=middle * found.estimate,
        low=max(0.0, middle - half) * found.estimate,
        high=(middle + half) * found.estimate,
        pressure=found.pressure / middle,
    )
