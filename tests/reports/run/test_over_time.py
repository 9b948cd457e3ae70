"""Latency over time: counted in blocks that grow with the run, and how much wider intervals are where calls are alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.run.histogram import Histograms, bins_of
from reports.run.over_time import LatencyOverTime, widening


def counted(seconds: np.ndarray, durations: np.ndarray) -> LatencyOverTime:
    """The durations of one group by the second."""
    found = LatencyOverTime(1)
    for part in np.array_split(np.arange(len(seconds)), 3):
        found.add(np.zeros(len(part), np.int64), seconds[part], bins_of(durations[part]))
    return found


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=60))
def test_every_call_is_counted_once_however_long_the_run(seconds: list[int]) -> None:
    """Blocks are merged when there would be too many, in whatever order the calls come; none is lost."""
    found = counted(np.array(seconds), np.full(len(seconds), 0.1))
    assert found.counts.sum() == len(seconds)
    assert len(found.counts) <= 1024
    expected = np.bincount(np.array(seconds) // found.width - found.first, minlength=len(found.counts))
    assert found.of(0).sum(axis=1).tolist() == expected.tolist()


def test_quantiles_of_each_block_are_within_five_per_cent() -> None:
    """The median and the 95th percentile of each second are those of its calls."""
    rng = np.random.default_rng(1)
    seconds, durations = np.repeat(np.arange(20), 200), rng.gamma(2, 0.05, 4000)
    found = counted(seconds, durations).quantiles(0, (0.5, 0.95))
    for second in range(20):
        exact = np.quantile(durations[seconds == second], (0.5, 0.95), method="inverted_cdf")
        assert found[second] == pytest.approx(exact, rel=0.05)


def test_calls_that_are_alike_for_a_while_make_intervals_wider() -> None:
    """Where a slow change moves all calls, the widened interval of the 95th percentile holds the truth; else it stays."""
    rng = np.random.default_rng(2)
    held, plain, alike, apart = 0, 0, [], []
    truth = float(np.exp(1.6449 * np.hypot(0.3, 0.15)))
    for _ in range(100):
        seconds = np.repeat(np.arange(300), 5)
        drift = np.zeros(300)
        for second in range(1, 300):
            drift[second] = 0.87 * drift[second - 1] + rng.normal(0, 0.15 * np.sqrt(1 - 0.87**2))
        durations = np.exp(rng.normal(0, 0.3, 1500) + drift[seconds])
        over_time, histograms = counted(seconds, durations), Histograms(1)
        histograms.add(np.zeros(1500, np.int64), bins_of(durations))
        factor = over_time.widening(0, histograms.quantile(0, 0.95) or 0.0)
        alike.append(factor)
        independent = np.exp(rng.normal(0, 0.3, 1500))
        apart.append(counted(seconds, independent).widening(0, float(np.quantile(independent, 0.95))))
        low, high = histograms.quantile_interval(0, 0.95, factor) or (0.0, 0.0)
        held += low <= truth <= high
        low, high = histograms.quantile_interval(0, 0.95) or (0.0, 0.0)
        plain += low <= truth <= high
    assert held >= 86
    assert plain < held - 10
    assert np.mean(alike) > 1.5
    assert np.mean(apart) < 1.2


def test_too_little_to_judge_widens_nothing() -> None:
    """A share of none or all, and too few blocks, give no factor."""
    assert widening(np.zeros(9, np.int64), np.full(9, 5)) == 1.0
    assert widening(np.full(9, 5), np.full(9, 5)) == 1.0
    assert widening(np.array([1, 2]), np.array([5, 5])) == 1.0
    assert widening(np.zeros(0, np.int64), np.zeros(0, np.int64)) == 1.0
