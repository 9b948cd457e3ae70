"""Counts events by the second and by what they are, a batch at a time."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reports.run.samples import Codes

LONGEST_RUN = 8 * 86_400
"""Rows further than this (s) from the record's first row cannot be placed on the time axis and are named as such."""

MANY_CODES = 16
"""Up to so many codes rows are counted by them, and the counts put together then; of more each row is looked up first."""
_NARROW = 1 << 24
"""Seconds within a batch that leave room in 32 bits for any code."""


@dataclass(frozen=True)
class Seconds:
    """The seconds of some moments: each lies `after` (n,) whole seconds after `first` (unix); `last` is the latest's."""

    first: int
    last: int
    after: Codes

    @classmethod
    def of(cls, times: NDArray[np.float64]) -> Self:
        """The seconds of finite `times` (unix s)."""
        if len(times) == 0:
            return cls(0, 0, np.empty(0, np.int32))
        first, last = math.floor(times.min()), math.floor(times.max())
        whole = (times if first >= 0 else np.floor(times)) - first
        return cls(first, last, whole.astype(np.int32 if last - first < _NARROW else np.int64))

    def near(self, anchor: int) -> tuple[Self, NDArray[np.bool_]]:
        """Those less than the longest run away from the second `anchor`, and which they are."""
        seconds = self.after.astype(np.float64) + self.first
        chosen = np.abs(seconds - anchor) < LONGEST_RUN
        return self.of(seconds[chosen]), chosen


class BySecond:
    """Counts for each second of a run and each of `series` series. Row 0 is second `origin` (unix)."""

    def __init__(self, series: int) -> None:
        self.origin = 0
        self.counts = np.zeros((0, series), dtype=np.int64)

    def add(self, seconds: Seconds, code: Codes, series: NDArray[np.int64] | None = None) -> None:
        """Count one event in each of `seconds`, for the series that its code is, or that `series` (codes,) has there.

        None is counted that lies far from the others.
        """
        if len(code) == 0:
            return
        anchor = self.origin if len(self.counts) else seconds.first + int(np.median(seconds.after))
        if max(anchor - seconds.first, seconds.last - anchor) >= LONGEST_RUN:
            seconds, chosen = seconds.near(anchor)
            code = code[chosen]
            if len(code) == 0:
                return
        self.cover(seconds.first, seconds.last)
        width = self.counts.shape[1]
        if series is None or len(series) > MANY_CODES:
            code, series = code if series is None else series.take(code), np.arange(width)
        key = seconds.after * len(series)
        key += code
        length = seconds.last - seconds.first + 1
        counts = np.bincount(key, minlength=length * len(series)).reshape(length, -1)
        here = self.counts[seconds.first - self.origin :][:length]
        for number, one in enumerate(series):
            here[:, one] += counts[:, number]

    def cover(self, first: int, last: int) -> None:
        """Make room for the unix seconds from `first` to `last`, both included."""
        size, width = self.counts.shape
        if size == 0:
            self.origin, self.counts = first, np.zeros((last - first + 1, width), dtype=np.int64)
            return
        before, after = max(0, self.origin - first), max(0, last - (self.origin + size - 1))
        if before or after:
            grow_by = max(after, size // 2) if after else 0  # so that a long run is not copied each second
            self.counts = np.pad(self.counts, ((before, grow_by), (0, 0)))
            self.origin -= before

    def trimmed(self, first: int, last: int) -> NDArray[np.int64]:
        """The counts of the unix seconds from `first` to `last`, both included; zero where nothing was counted."""
        self.cover(first, last)
        return self.counts[first - self.origin : last - self.origin + 1]
