"""The tables that figures and pages show: outcomes and latency by category."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from reports.run.fold import counts_of
from reports.run.histogram import Histograms
from reports.wording.vocabulary import SIZE_BANDS

BANDS = {name: number for number, (_, name) in enumerate(SIZE_BANDS)}
"""The numbers of the bands of attribute sizes, by their names."""


def table_of(numbers: Mapping[str, int], counts: NDArray[Any]) -> pd.DataFrame:
    """A row for each category that occurred, a column for each outcome that occurred."""
    return pd.DataFrame.from_dict(counts_of(numbers, counts), orient="index")


def latency_table(numbers: Mapping[str, int], histograms: Histograms) -> pd.DataFrame:
    """p50, p95 and p99 (ms) of each category that has durations."""
    rows = {}
    for name, number in numbers.items():
        if histograms.total(number):
            values = [histograms.quantile(number, q) for q in (0.5, 0.95, 0.99)]
            rows[name or "(not set)"] = [value * 1000 for value in values if value is not None]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p50", "p95", "p99"])
