"""The burst from rest: volleys, and how long to rest before the next."""

from hypothesis import given
from hypothesis import strategies as st

from harness.quotas.any_limiter.burst import Volley, burst_from_rest, next_rest


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
