"""What the figures show of the samples beside time: how latencies lie, and outcomes and latency by what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.wording.vocabulary import SIZE_BANDS, START

if TYPE_CHECKING:  # the process that draws needs the classes alone, without what reads samples
    from reports.run.fold import Aggregates
    from reports.run.histogram import Histograms

BANDS = {name: number for number, (_, name) in enumerate(SIZE_BANDS)}
"""The numbers of the bands of attribute sizes, by their names."""

Floats = NDArray[np.float64]
Table = Mapping[str, Mapping[str, float]]
"""Numbers by category and, within it, by their name: an outcome, or p50, p95 and p99 (ms)."""


@dataclass(frozen=True)
class Curve:
    """A distribution of latencies: for each of `seconds` (n,) the `share` (n,) that does not exceed it."""

    seconds: Floats
    share: Floats


@dataclass(frozen=True)
class Varieties:
    """Counts of outcomes, and latency of started chats, by content type and by band of attribute sizes."""

    types: Table
    bands: Table
    type_latency: Table
    band_latency: Table


def curves(total: Aggregates) -> dict[str, tuple[Curve, Curve]]:
    """Return the latencies of each outcome of StartChatContact, from when calls were due and from when they were sent."""
    return {
        outcome: (Curve(*total.from_scheduled.cumulative(group)), Curve(*total.from_sent.cumulative(group)))
        for (operation, outcome), group in total.pairs.items()
        if operation == START
    }


def varieties(total: Aggregates) -> Varieties:
    """Return what became of the calls by what they asked for."""
    types = total.types.numbers
    return Varieties(
        total.counts_of(types, total.by_type),
        total.counts_of(BANDS, total.by_band),
        latency_table(types, total.started_by_type),
        latency_table(BANDS, total.started_by_band),
    )


def latency_table(numbers: Mapping[str, int], histograms: Histograms) -> Table:
    """Return p50, p95 and p99 (ms) of each category that has durations."""
    table = {}
    for name, number in numbers.items():
        quantiles = {label: histograms.quantile(number, q) for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
        if known := {label: value * 1000 for label, value in quantiles.items() if value is not None}:
            table[name or "(not set)"] = known
    return table
