"""The pace of StopContact, in virtual time."""

import pytest

from harness.load.stopping.pace import Pace


def times(pace: Pace, calls: int, waiting: int = 0) -> list[float]:
    """When each of `calls` calls goes out, one after the other from time 0 on."""
    at, sent = 0.0, []
    for _ in range(calls):
        at += pace.reserve(at, waiting)
        sent.append(at)
    return sent


def test_calls_are_spaced_evenly() -> None:
    """Ten calls at 5/s take 1.8 s."""
    assert times(Pace(5.0), 10)[-1] == pytest.approx(1.8, abs=0.05)


def test_a_throttle_slows_the_pace_once_for_all_calls_on_the_wire() -> None:
    """Throttles within a second are one sign, not many."""
    pace = Pace(10.0)
    for at in (0.0, 0.2, 0.9):
        pace.throttled(at)
    assert pace.rate == pytest.approx(7.0)
    pace.throttled(1.1)
    assert pace.rate == pytest.approx(4.9)


def test_a_pace_never_stands_still() -> None:
    """However many throttles come, a call goes out every five seconds."""
    pace = Pace(10.0)
    for second in range(100):
        pace.throttled(2.0 * second)
    assert pace.rate == pytest.approx(0.2)


def test_only_a_pace_that_may_grow_grows_with_its_backlog() -> None:
    """An account that others use too is never called faster than was said."""
    assert times(Pace(10.0), 100, waiting=10_000)[-1] == pytest.approx(9.9, abs=0.06)
    assert times(Pace(10.0, may_grow=True), 100, waiting=10_000)[-1] < 6.0
