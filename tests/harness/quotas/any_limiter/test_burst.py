"""The burst from rest: volleys, and how long to rest before the next."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.quotas.any_limiter.burst import Volley, burst_from_rest, next_rest, volley_of, widened
from harness.quotas.any_limiter.decisions import Decisions
from tests.support.virtual.services import FixedWindow


def decided(at: float, admitted: list[bool]) -> Decisions:
    """Return decisions a millisecond apart."""
    moments = np.array([at + 0.001 * call for call in range(len(admitted))])
    return Decisions(moments, np.array(admitted), 0.001, np.zeros(len(admitted)))


def test_rests_double_until_a_longer_one_admits_no_more() -> None:
    """A bucket that needs 4 s to fill: 2 s, 4 s, 8 s, then 4 s until five had that or more."""
    volleys: list[Volley] = []
    rests = []
    while (rest := next_rest(volleys, 2.0)) is not None:
        rests.append(rest)
        volleys.append(Volley(rest, int(min(5 * rest, 20)), 0.01))
    assert rests == [2.0, 4.0, 8.0, 4.0, 4.0, 4.0]
    found = burst_from_rest(volleys)
    assert found is not None
    assert (found.median, found.volleys, found.rest_s, found.enough) == (20.0, 5, 4.0, True)


def test_what_was_refilled_during_the_volley_does_not_count() -> None:
    """25 admitted in a second at 5 a second are a burst of 20."""
    assert Volley(4.0, 25, 1.0, 5.0).burst == 20.0


def test_a_volley_of_which_nothing_was_admitted_counts() -> None:
    """It tells that its rest was too short; one without a refusal tells nothing."""
    assert volley_of(decided(9.0, [False] * 12), 4.0, 5.0) == Volley(4.0, 0, 0.0)
    assert volley_of(decided(9.0, [True] * 12), 4.0, 5.0) is None


def test_the_rest_that_is_enough_for_a_window_is_as_long_as_the_window() -> None:
    """Two volleys in one window of ten seconds: the second admits nothing, and half of the window is not called enough."""
    for seed in range(10):
        rng, window, now = random.Random(seed), FixedWindow(40, 10.0, 3.0), 100.0
        volleys: list[Volley] = []
        while (rest := next_rest(volleys, 5.0)) is not None and len(volleys) < 12:
            rested = rest * rng.uniform(1.0, 1.2)
            now += rested
            told = volley_of(decided(now, [window.admit(now + 0.001 * call) for call in range(60)]), rested, 4.0)
            assert told is not None
            volleys.append(told)
        found = burst_from_rest(volleys)
        assert found is not None
        assert found.rest_s > 8.0
        assert found.mean_low <= 40 <= found.mean_high + 0.3


def test_volleys_that_lie_far_apart_leave_the_mean_open() -> None:
    """Nodes that agree late: one of six volleys after a shorter rest admitted two thirds, and the mean may lie there too."""
    volleys = [
        Volley(12.0, 89, 0.4),
        *(Volley(28.0, count, 0.5) for count in (132, 127, 120, 108, 130)),
        Volley(13.0, 0, 0.0),
    ]
    found = burst_from_rest(volleys)
    assert found is not None
    open_ = widened(found, volleys, first=100)
    assert open_.mean_high - open_.mean_low == pytest.approx(2 * 0.6 * (132 - 89))
    assert open_.mean_low <= 100 <= open_.mean_high


def test_volleys_in_vain_leave_what_a_longer_rest_admits_open() -> None:
    """A window of a minute that is used up admits nothing after rests of some seconds; the run began with six at once."""
    volleys = [Volley(5.0, 0, 0.0) for _ in range(5)]
    found = burst_from_rest(volleys)
    assert found is not None
    told = widened(found, volleys, first=6)
    assert (told.low, told.high) == (0, 6)
    assert told.mean_low <= 6.6 <= told.mean_high


def test_the_first_rest_is_two_minutes_at_the_most() -> None:
    """However much a slow limiter admitted at first, the probe's time is not spent on waiting."""
    assert next_rest([], 280.0) == 120.0


@given(st.lists(st.integers(1, 60), min_size=1, max_size=10))
def test_the_interval_of_the_mean_holds_the_mean_and_the_search_ends(counts: list[int]) -> None:
    """Whatever volleys admit, numbers are in order, and the rest asked for is bounded."""
    volleys = [Volley(3.0, count, 0.1) for count in counts]
    found = burst_from_rest(volleys)
    assert found is not None
    assert found.low <= found.median <= found.high
    assert found.mean_low <= sum(counts) / len(counts) <= found.mean_high
    rest = next_rest(volleys, 3.0)
    assert rest is None or rest <= 120.0
