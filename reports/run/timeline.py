"""The run over time: rates of each outcome, active chats, lateness, all in bins that a figure can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.wording.vocabulary import OUTCOMES, UNKNOWN

if TYPE_CHECKING:  # the process that draws needs the class alone, without what reads samples
    from reports.run.fold import Aggregates

Floats = NDArray[np.float64]

_MOST_BINS = 240
BUSIEST_S = 10


@dataclass(frozen=True)
class Timeline:
    """The run in bins of `width` seconds; all seconds are since `origin` (unix).

    `rates` are `offered` and each outcome of StartChatContact that occurred, in 1/s, each (bins,); a bin begins at
    `begins`. `active` (seconds,) are the chats that this run held at the end of each second, from 1 on. `lateness_ms` is the
    largest lateness in a bin, for the bins with a call, which begin at `late_begins`.
    """

    origin: int
    width: int
    begins: Floats
    rates: dict[str, Floats]
    active: NDArray[np.int64]
    late_begins: Floats
    lateness_ms: Floats

    def busiest_offered(self) -> float | None:
        """What was offered a second in the busiest ten seconds, or bins of a long run; of a shorter run in all of it."""
        offered, bins = self.rates["offered"], -(-BUSIEST_S // self.width)
        if not len(offered):
            return None
        bins = min(bins, len(offered))
        return float(np.convolve(offered, np.ones(bins) / bins, "valid").max())


def timeline(total: Aggregates, dropped_by_second: dict[int, int]) -> Timeline:
    """Lay the aggregates out in time; `dropped_by_second` (unix second: calls) adds to what was offered."""
    if np.isnan(total.first):
        none = np.empty(0)
        return Timeline(0, 1, none, {"offered": none}, np.empty(0, np.int64), none, none)
    first, last = int(np.floor(total.first)), int(np.floor(total.last))
    length = last - first + 1
    offered = total.offered.trimmed(first, last)[:, 0].astype(float)
    for second, count in dropped_by_second.items():
        if first <= second <= last:
            offered[second - first] += count
    by_sent = total.by_sent.trimmed(first, last)
    columns = {"offered": offered}
    for outcome in (*OUTCOMES, UNKNOWN):
        counts = by_sent[:, total.series(outcome)]
        if counts.any():
            columns[outcome] = counts.astype(float)
    width = max(1, int(np.ceil(length / _MOST_BINS)))
    begins = np.arange(0, length, width)
    spans = np.diff(begins, append=length)
    rates = {name: np.add.reduceat(counts, begins) / spans for name, counts in columns.items()}
    latest = np.full(len(begins), -np.inf)
    for second, late in total.late_by_second.items():
        if 0 <= second - first < length:
            latest[(second - first) // width] = max(latest[(second - first) // width], late * 1000)
    called = np.isfinite(latest)
    at = begins.astype(np.float64)
    return Timeline(first, width, at, rates, total.held(first, last), at[called], latest[called])
