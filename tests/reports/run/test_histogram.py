"""The latency histogram against numpy's exact quantiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.run.histogram import BINS, ERROR, Histograms, bins_of

durations = st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=200)


@pytest.mark.slow
@given(durations, st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_the_stated_error(values: list[float], q: float) -> None:
    """Each quantile is numpy's inverted_cdf quantile, off by at most the published error."""
    histograms = Histograms(2)
    histograms.add(np.ones(len(values), dtype=np.int64), bins_of(np.array(values)))
    exact = np.quantile(values, q, method="inverted_cdf")
    assert histograms.quantile(1, q) == pytest.approx(exact, rel=ERROR * 1.0001)
    assert histograms.quantile(0, q) is None


@given(durations, durations)
def test_adding_in_parts_changes_nothing(first: list[float], second: list[float]) -> None:
    """Two additions give the histogram of one."""
    parts, whole = Histograms(1), Histograms(1)
    for values in (first, second):
        parts.add(np.zeros(len(values), dtype=np.int64), bins_of(np.array(values)))
    whole.add(np.zeros(len(first) + len(second), dtype=np.int64), bins_of(np.array(first + second)))
    assert (parts.counts == whole.counts).all()


def test_impossible_durations_are_counted_not_dropped() -> None:
    """Negative, absent and endless durations fall into the outermost bins."""
    bins = bins_of(np.array([-1.0, np.nan, 0.0, np.inf, 1e300]))
    assert bins.tolist() == [0, 0, 0, BINS - 1, BINS - 1]


@given(st.integers(1000, 3000), st.integers(0, 10))
def test_the_interval_holds_the_quantile(count: int, seed: int) -> None:
    """The interval from order statistics lies around its quantile, and is refused to a handful of durations."""
    values = np.random.default_rng(seed).lognormal(-3, 1, count)
    histograms = Histograms(1)
    histograms.add(np.zeros(count, dtype=np.int64), bins_of(values))
    low, high = histograms.quantile_interval(0, 0.95) or (0.0, 0.0)
    middle = histograms.quantile(0, 0.95)
    assert middle is not None
    assert 0 < low <= middle <= high
    few = Histograms(1)
    few.add(np.zeros(5, dtype=np.int64), bins_of(values[:5]))
    assert few.quantile_interval(0, 0.95) is None
