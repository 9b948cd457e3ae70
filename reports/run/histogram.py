"""A latency histogram of fixed size: quantiles of any number of durations, each within 0.1 %."""

import numpy as np
from numpy.typing import NDArray

from reports.run.samples import Codes

_OCTAVES_DOWN, _OCTAVES_UP = 20, 20  # from 2**-20 s (about 1 us) to 2**20 s (12 days)
_STEPS = 512  # bins in an octave, so a bin is at most 1/512 wide relative to its lower edge
_STEP_BITS = 9
_LOWEST, _HIGHEST = 2.0**-_OCTAVES_DOWN, 2.0**_OCTAVES_UP

_DRAWN = 500

BINS = (_OCTAVES_DOWN + _OCTAVES_UP) * _STEPS + 1
ERROR = 1 / (2 * _STEPS)
"""The most that a quantile can be off, as a share of it: half a bin, 0.1 %."""

# A double's bits, read as an integer, grow with the logarithm of its value: exponent, then mantissa. Their upper
# part therefore is a bin number already, at a tenth of the cost of a logarithm.
_SHIFT = 52 - _STEP_BITS
_BASE = int(np.float64(_LOWEST).view(np.int64)) >> _SHIFT


class Histograms:
    """Durations in seconds, counted in bins of 0.2 %, one histogram for each of `groups` groups.

    Durations under 2**-20 s count as zero; those of 2**20 s or more count in the last bin. Memory is
    `groups` x `BINS` counts, whatever the number of durations.
    """

    def __init__(self, groups: int) -> None:
        self.counts = np.zeros((groups, BINS), dtype=np.int64)

    def add(self, code: Codes, bins: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> None:
        """Count durations of the given `bins` (from `bins_of`), each for the group that its code is; equal shapes.

        With `groups` (codes,) it is the one there.
        """
        if len(code) == 0:
            return
        if groups is None:
            groups = np.arange(int(code.max()) + 1)
        elif len(groups) > len(self.counts):
            code, groups = groups.take(code), np.arange(len(self.counts))
        lowest = int(bins.min())
        width = int(bins.max()) - lowest + 1
        key = (code * width).astype(np.int64)
        key += bins
        counts = np.bincount(key, minlength=len(groups) * width + lowest)[lowest:].reshape(-1, width)
        for row, group in zip(counts, groups, strict=True):
            self.counts[group, lowest : lowest + width] += row

    def merged(self, groups: list[int]) -> "Histograms":
        """One histogram (group 0) of all durations of the given groups."""
        one = Histograms(1)
        one.counts[0] = self.counts[groups].sum(axis=0)
        return one

    def total(self, group: int) -> int:
        """How many durations the group has."""
        return int(self.counts[group].sum())

    def quantile(self, group: int, q: float) -> float | None:
        """The shortest duration (s) that at least a share `q` of the group's do not exceed; None if it has none.

        This is numpy's `quantile(..., method="inverted_cdf")`, within `ERROR`.
        """
        total = self.total(group)
        return self.at_rank(group, max(1, int(np.ceil(q * total - 1e-9)))) if total else None

    def at_rank(self, group: int, rank: int) -> float:
        """The `rank`-th shortest duration (s) of the group, counted from 1."""
        return float(_CENTRES[np.searchsorted(np.cumsum(self.counts[group]), rank)])

    def quantile_interval(self, group: int, q: float, widening: float = 1.0) -> tuple[float, float] | None:
        """A 95 % interval (s) of the quantile, from order statistics; None where the durations are too few for one.

        `widening` is how many times further its ranks lie apart than those of durations that are independent of each other.
        """
        total = self.total(group)
        spread = 1.96 * widening * (total * q * (1 - q)) ** 0.5
        low, high = int(np.floor(total * q - spread)), int(np.ceil(total * q + spread)) + 1
        if low < 1 or high > total:
            return None
        return self.at_rank(group, low), self.at_rank(group, high)

    def mean(self, group: int) -> float | None:
        """The group's mean duration (s); None if it has none."""
        total = self.total(group)
        return float(self.counts[group] @ _CENTRES / total) if total else None

    def cumulative(self, group: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The group's distribution at up to 500 points: durations (s), and the share of them that do not exceed each."""
        row = self.counts[group]
        occupied = np.flatnonzero(row)
        shares = np.cumsum(row[occupied]) / max(1, row.sum())
        if len(occupied) > _DRAWN:  # a step of less than a pixel is not seen
            ranks = np.linspace(0, 1, _DRAWN)
            keep = np.unique(np.searchsorted(shares, ranks).clip(max=len(occupied) - 1))
            occupied, shares = occupied[keep], shares[keep]
        return _CENTRES[occupied], shares


def bins_of(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin number of each duration in seconds; a negative one or not-a-number counts as zero."""
    inside = seconds
    if not (seconds.min(initial=_LOWEST) >= _LOWEST and seconds.max(initial=_LOWEST) < _HIGHEST):  # or not-a-number
        inside = np.fmax(seconds, np.nextafter(_LOWEST, 0.0))
        np.fmin(inside, np.nextafter(_HIGHEST, 0.0), out=inside)
    bins: NDArray[np.int64] = inside.view(np.int64) >> _SHIFT
    bins -= _BASE - 1
    return bins


def bin_of(duration: float) -> int:
    """The bin number of one duration (s)."""
    return int(bins_of(np.array([duration]))[0])


def centre_of(number: int) -> float:
    """The middle (s) of a bin."""
    return float(_CENTRES[number])


def _centres() -> NDArray[np.float64]:
    edges = (np.arange(BINS, dtype=np.int64) + _BASE << _SHIFT).view(np.float64)
    return np.concatenate(([0.0], (edges[:-1] + edges[1:]) / 2))


_CENTRES = _centres()
