"""Latency over time: durations counted by stretch of time and size, for a picture of the run and for how sure a quantile is.

Latencies that follow each other are alike: a service that is slow for ten seconds is slow for all calls in them. An
interval that takes them as independent is too narrow, so the scatter between stretches of time is measured too.
"""

import math

import numpy as np
from numpy.typing import NDArray

from harness.quotas.special import stdtrit
from reports.run.histogram import BINS, bin_of, centre_of

Counts = NDArray[np.int64]

_MERGED = 5  # 2**5 bins of the histogram in one here: 4.4 % of a duration
_SIZES = (BINS >> _MERGED) + 2
_MOST_BLOCKS = 1024
_WAVES, _FEWEST_WAVES = 12, 3
_NORMAL = 1.959964


class LatencyOverTime:
    """Durations of `groups` groups of calls, counted by block of time and by size.

    A block is `width` s long, which doubles whenever there would be more than 1,024; block 0 begins at `first` x `width`
    (unix s). `counts` is (blocks, groups, sizes).
    """

    def __init__(self, groups: int) -> None:
        self.width = 1
        self.first = 0
        self._room: NDArray[np.int32] = np.zeros((0, groups, _SIZES), np.int32)
        self._blocks = 0

    @property
    def counts(self) -> NDArray[np.int32]:
        """The blocks that there are; there is room for more, so that a long run is not copied with each batch."""
        return self._room[: self._blocks]

    def add(self, group: Counts, seconds: Counts, bins: Counts) -> None:
        """Count calls of each `group` in the unix `seconds`, with durations in `bins` (from `bins_of`); equal shapes."""
        if len(group) == 0:
            return
        first, last = int(seconds.min()), int(seconds.max())
        self._cover(first, last)
        doublings = self.width.bit_length() - 1  # a shift costs a fifth of a division
        begin, groups = first >> doublings, self.counts.shape[1]
        blocks = (last >> doublings) - begin + 1
        key = (seconds >> doublings) - begin
        key *= groups
        key += group
        key *= _SIZES
        key += _merged(bins)
        flat = np.bincount(key, minlength=blocks * groups * _SIZES)
        at = begin - self.first
        self.counts[at : at + blocks] += flat.reshape(blocks, groups, _SIZES).astype(np.int32)

    def _cover(self, first: int, last: int) -> None:
        """Make room for the unix seconds from `first` to `last`, both included."""
        if not len(self.counts):
            self.first = first // self.width
        low, high = min(self.first * self.width, first), max((self.first + len(self.counts)) * self.width - 1, last)
        while high // self.width - low // self.width >= _MOST_BLOCKS:
            self._merge()
        before = self.first - low // self.width
        after = high // self.width - (self.first + len(self.counts) - 1)
        if before > 0:
            self._keep(np.pad(self.counts, ((before, 0), (0, 0), (0, 0))))
            self.first -= before
        if after > 0:
            needed = self._blocks + after
            if needed > len(self._room):
                room = np.zeros((max(needed, min(2 * needed, _MOST_BLOCKS)), *self._room.shape[1:]), np.int32)
                room[: self._blocks] = self.counts
                self._room = room
            self._blocks = needed

    def _keep(self, counts: NDArray[np.int32]) -> None:
        self._room, self._blocks = counts, len(counts)

    def _merge(self) -> None:
        """Take blocks together by two."""
        odd = self.first % 2
        counts = np.pad(self.counts, ((odd, (self._blocks + odd) % 2), (0, 0), (0, 0)))
        blocks, groups, sizes = counts.shape
        self._keep(counts.reshape(blocks // 2, 2, groups, sizes).sum(axis=1, dtype=np.int32))
        self.first -= odd
        self.width, self.first = 2 * self.width, self.first // 2

    def of(self, group: int) -> Counts:
        """The counts (blocks, sizes) of one group."""
        return self.counts[:, group].astype(np.int64)

    def widening(self, group: int, duration: float) -> float:
        """How many times wider than for independent calls an interval of the quantile at `duration` (s) has to be."""
        counts = self.of(group)
        below = counts[:, : int(_merged(np.array([bin_of(duration)]))[0]) + 1].sum(axis=1)
        return widening(below, counts.sum(axis=1))

    def quantiles(self, group: int, shares: tuple[float, ...]) -> NDArray[np.float64]:
        """Quantiles (s) of each block, (blocks, shares), within 5 %; not-a-number where a block has no call."""
        counts = self.of(group)
        totals, sums = counts.sum(axis=1), np.cumsum(counts, axis=1)
        found = np.full((len(counts), len(shares)), np.nan)
        for row in np.flatnonzero(totals):
            ranks = [max(1, int(np.ceil(share * totals[row] - 1e-9))) for share in shares]
            found[row] = SIZE_CENTRES[np.searchsorted(sums[row], ranks)]
        return found


def widening(hits: Counts, totals: Counts) -> float:
    """How many times wider than for independent calls the interval of the share sum(`hits`) / sum(`totals`) has to be.

    Both are (blocks,) in order of time. What each block has too many is weighed with up to 12 slow cosines over the run:
    their mean square is the variance of the sum, with the likeness of neighbours in it, and there are few of them, so it
    is Student's quantile (the equal-weighted cosine estimator of Lazarus, Lewis, Stock and Watson, 2018). 1.0 where it is
    no larger than for independent calls.
    """
    total = int(totals.sum())
    share = float(hits.sum()) / total if total else 0.0
    waves = min(_WAVES, len(totals) - 1)
    if not 0 < share < 1 or waves < _FEWEST_WAVES:
        return 1.0
    phase = math.pi * (np.arange(len(totals)) + 0.5) / len(totals)
    cosines = math.sqrt(2) * np.cos(np.outer(np.arange(1, waves + 1), phase))
    weighed = cosines @ (hits - share * totals)
    scatter = float(weighed @ weighed) / waves / (total * share * (1 - share))
    return max(1.0, math.sqrt(scatter) * float(stdtrit(waves, 0.975)) / _NORMAL)


def _merged(bins: Counts) -> Counts:
    return (bins + (1 << _MERGED) - 1) >> _MERGED


SIZE_CENTRES = np.array(
    [centre_of(min(max(size * 2**_MERGED - 2 ** (_MERGED - 1), 0), BINS - 1)) for size in range(_SIZES)]
)
"""The middle (s) of each size."""
