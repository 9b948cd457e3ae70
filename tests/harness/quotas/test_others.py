"""What others hold, told from counts of all chats and the course of our own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.quotas.estimates import Interval
from harness.quotas.others import Count, others_open


def test_steady_counts_at_the_limit_give_the_quota_of_the_instance() -> None:
    """A run that was refused at 57 while CloudWatch counted 80 found a quota of 80, of which others held 23."""
    at = np.arange(57) / 5
    counts = [Count(60 * n, 60 * n + 60, total, total) for n, total in enumerate((60.0, 80.0, 80.0))]
    others = others_open(counts, at, np.arange(1.0, 58.0), met=[70.0, 150.0])
    assert others is not None
    assert (others.low, others.high, others.counts) == (23.0, 23.0, 2)
    assert others.quota(Interval.exactly(57)) == Interval.exactly(80)


def test_others_who_come_and_go_give_a_range() -> None:
    """Where the counts differ the quota is a range, without an estimate in the middle of it."""
    at, ours = np.array([0.0]), np.array([50.0])
    others = others_open([Count(0, 60, 60, 70), Count(60, 120, 75, 80)], at, ours, met=[30.0, 90.0])
    assert others is not None
    assert others.quota(Interval.exactly(50)) == Interval(None, 60, 80)


def test_counts_of_another_time_tell_nothing() -> None:
    """Without a count of the minutes in which the limit was met, what others held is not known."""
    at, ours = np.array([0.0]), np.array([50.0])
    assert others_open([Count(600, 660, 60, 60)], at, ours, met=[30.0]) is None
    assert others_open([], at, ours) is None
    assert others_open([Count(0, 60, 60, 60)], np.array([]), np.array([])) is None


@given(
    st.lists(st.tuples(st.floats(0, 600), st.sampled_from([-1, 1])), min_size=1, max_size=40),
    st.integers(0, 50),
    st.data(),
)
def test_range_holds_what_others_held_whenever_the_counts_were_taken(
    changes: list[tuple[float, int]], held: int, data: st.DataObject
) -> None:
    """Each count is taken at some moment of its minute; others who stay at one number are always within the range."""
    changes.sort()
    at = np.array([moment for moment, _ in changes])
    ours = np.maximum(20 + np.cumsum([step for _, step in changes]), 0).astype(float)
    counts = []
    for minute in range(10):
        taken = data.draw(st.floats(60 * minute, 60 * minute + 59.9))
        place = np.searchsorted(at, taken, side="right")
        total = (ours[place - 1] if place else 0.0) + held
        counts.append(Count(60 * minute, 60 * minute + 60, total, total))
    found = others_open(counts, at, ours)
    if found is not None:
        assert found.low <= held <= found.high
