"""The run over time: rates of each outcome, active chats, lateness, all in bins that a figure can show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.run.fold import BEGUN, ENDED, FOUND_GONE, Aggregates
from reports.wording.vocabulary import OUTCOMES, UNKNOWN

_MOST_BINS = 240


@dataclass(frozen=True)
class Timeline:
    """The run in bins of `width` seconds.

    `rates` is indexed by the bins' starts (s since `origin`, unix); its columns are `offered` and each outcome of
    StartChatContact that occurred, in 1/s. `active` is indexed by the ends of the seconds: the chats this run held.
    `lateness_ms` is indexed as `rates`: the largest lateness in a bin.
    """

    origin: int
    width: int
    rates: pd.DataFrame
    active: pd.Series
    lateness_ms: pd.Series


def timeline(total: Aggregates, dropped_by_second: dict[int, int]) -> Timeline:
    """Lay the aggregates out in time; `dropped_by_second` (unix second: calls) adds to what was offered."""
    if np.isnan(total.first):
        empty = pd.Series(dtype=float)
        return Timeline(0, 1, pd.DataFrame({"offered": empty}), empty, empty)
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
    seconds = pd.DataFrame(columns)
    bins = np.arange(length) // width
    spans = pd.Series(bins).groupby(bins).size()
    rates = seconds.groupby(bins).sum().div(spans, axis=0)
    rates.index = rates.index * width
    changes = total.changes.trimmed(first, last)
    held = np.cumsum(changes[:, BEGUN] - changes[:, ENDED] - changes[:, FOUND_GONE])
    active = pd.Series(np.maximum(held, 0), index=np.arange(1, length + 1))
    late = pd.Series({second - first: value * 1000 for second, value in total.late_by_second.items()}, dtype=float)
    late = late[(late.index >= 0) & (late.index < length)]
    late_by_bin = late.groupby(late.index.astype(int) // width).max()
    late_by_bin.index = late_by_bin.index * width
    return Timeline(first, width, rates, active, late_by_bin)
