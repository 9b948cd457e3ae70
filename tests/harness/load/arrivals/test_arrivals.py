"""Arrivals are a pure function of time and rate: tested with tables and no clock."""

import random
from itertools import pairwise
from math import inf
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.arrivals.arrivals import POISSON, UNIFORM, Arrivals, offset_of

loads = st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 200.0)), min_size=1, max_size=12)
"""Steps of a load: seconds, and the rate that holds for them."""


def uniform(start: float = 0.0, offset: float = 0.0) -> Arrivals:
    return Arrivals(UNIFORM, start, random.Random(1), offset)


def take(arrivals: Arrivals, number: int) -> list[float]:
    times = []
    for _ in range(number):
        times.append(arrivals.next_due())
        arrivals.advance()
    return times


def test_uniform_arrivals_are_evenly_spaced_from_the_start() -> None:
    """At 4/s an arrival comes every quarter of a second, the first one at once."""
    arrivals = uniform(100.0)
    arrivals.set_rate(4.0, 100.0)
    assert take(arrivals, 5) == [100.0, 100.25, 100.5, 100.75, 101.0]


def test_nothing_arrives_at_rate_zero() -> None:
    """Without load there is no next arrival."""
    arrivals = uniform()
    assert arrivals.next_due() == inf
    arrivals.set_rate(1.0, 0.0)
    arrivals.set_rate(0.0, 0.5)
    assert arrivals.next_due() == inf


def test_a_change_of_rate_moves_the_next_arrival() -> None:
    """What had been waited for already counts: half an arrival's worth at the old rate, the rest at the new one."""
    arrivals = uniform()
    arrivals.set_rate(1.0, 0.0)
    take(arrivals, 1)
    arrivals.set_rate(10.0, 0.5)  # half of the way to the arrival at 1.0
    assert take(arrivals, 3) == pytest.approx([0.55, 0.65, 0.75])


def test_a_pause_keeps_the_place() -> None:
    """At rate zero time stands still for the schedule."""
    arrivals = uniform()
    arrivals.set_rate(2.0, 0.0)
    take(arrivals, 1)
    arrivals.set_rate(0.0, 0.25)
    arrivals.set_rate(2.0, 100.0)
    assert arrivals.next_due() == pytest.approx(100.25)


@given(loads)
def test_uniform_arrivals_are_as_many_as_the_rate_adds_up_to(steps: list[tuple[float, float]]) -> None:
    """However often the rate changes, arrivals up to any moment are the integral of the rate, to within one."""
    arrivals, at, expected, seen = uniform(), 0.0, 0.0, 0
    for seconds, rate in steps:
        arrivals.set_rate(rate, at)
        at += seconds
        expected += rate * seconds
        while arrivals.next_due() < at:
            arrivals.advance()
            seen += 1
        assert expected - 1e-6 <= seen <= expected + 1 + 1e-6


@given(
    st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 200.0)), min_size=1, max_size=12),
    st.sampled_from([UNIFORM, POISSON]),
)
def test_arrivals_never_go_back(steps: list[tuple[float, float]], spacing: str) -> None:
    """Each arrival is no earlier than the one before and than the rate that it came at."""
    arrivals, at, last = Arrivals(spacing, 0.0, random.Random(3)), 0.0, 0.0
    for seconds, rate in steps:
        arrivals.set_rate(rate, at)
        begin, at = at, at + seconds
        while (due := arrivals.next_due()) < at:
            assert due >= max(begin, last) - 1e-9
            last = due
            arrivals.advance()


def test_poisson_arrivals_have_the_gaps_of_a_poisson_process() -> None:
    """Gaps have the mean and the spread of 1/rate, and one says nothing of the next."""
    arrivals = Arrivals(POISSON, 0.0, random.Random(7))
    arrivals.set_rate(50.0, 0.0)
    gaps = [b - a for a, b in pairwise(take(arrivals, 40_001))]
    assert fmean(gaps) == pytest.approx(0.02, rel=0.02)
    assert pstdev(gaps) == pytest.approx(0.02, rel=0.03)
    mean = fmean(gaps)
    neighbours = fmean((a - mean) * (b - mean) for a, b in pairwise(gaps)) / pstdev(gaps) ** 2
    assert abs(neighbours) < 0.02


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_uniform_schedules_of_workers_interleave(workers: int) -> None:
    """Workers that share a rate make one even schedule together."""
    times: list[float] = []
    for index in range(workers):
        arrivals = uniform(0.0, offset_of(index, workers))
        arrivals.set_rate(12.0 / workers, 0.0)
        times += take(arrivals, 20)
    gaps = [b - a for a, b in pairwise(sorted(times)[: 20 * workers - workers])]
    assert gaps == pytest.approx([1 / 12] * len(gaps))


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """A run can be repeated."""
    first, second = (Arrivals(POISSON, 5.0, random.Random("seed")) for _ in range(2))
    first.set_rate(3.0, 5.0)
    second.set_rate(3.0, 5.0)
    assert take(first, 50) == take(second, 50)


def test_nonsense_is_refused() -> None:
    """An unknown spacing and a negative rate are refused in words."""
    with pytest.raises(ValueError, match="one of uniform, poisson"):
        Arrivals("bursty", 0.0, random.Random(1))
    with pytest.raises(ValueError, match="negative"):
        uniform().set_rate(-1.0, 0.0)
