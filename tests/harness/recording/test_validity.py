"""When a run says more about its generator than about the service."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.recording.validity import GeneratorRecord, LatenessHistogram, invalid_reasons


def _lateness(*groups: tuple[int, float]) -> LatenessHistogram:
    histogram = LatenessHistogram()
    for count, ms in groups:
        histogram.add_many(np.full(count, ms / 1000))
    return histogram


@pytest.mark.parametrize(
    "record",
    [
        GeneratorRecord(offered=1200, sent=1200, lateness=_lateness((1140, 1.0), (60, 60.0))),  # a ramp: 56 ms a second
        GeneratorRecord(offered=60, sent=60, lateness=_lateness((58, 2.0), (2, 900.0))),  # the first calls
        GeneratorRecord(offered=5000, sent=4998, busiest_cpu_percent=85.0),
        GeneratorRecord(offered=10, sent=4, withheld=6),  # --max-chats
    ],
)
def test_trifles_leave_a_run_valid(record: GeneratorRecord) -> None:
    """A spawn ramp, cold first calls, a busy machine and a spent budget are no reason to throw a run away."""
    assert invalid_reasons(record) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (GeneratorRecord(offered=100, sent=99, dropped=1), "1 of 100 arrivals was dropped"),
        (GeneratorRecord(offered=1000, sent=900), "the offered rate was missed: 100 of 1,000"),
        (
            GeneratorRecord(lateness=_lateness((900, 1.0), (100, 400.0))),
            "100 of 1,000 calls were sent over 200 ms late",
        ),
        (GeneratorRecord(lateness=_lateness((1000, 50.0))), "half of the calls were sent over 5"),
        (GeneratorRecord(busiest_cpu_percent=97.0), "CPU was at 97 % of a core"),
        (GeneratorRecord(samples_lost=3), "3 samples were lost"),
        (GeneratorRecord(workers_lost=["worker-1"]), "workers were lost: worker-1"),
        (GeneratorRecord(troubles=["the disk is full"]), "the disk is full"),
    ],
)
def test_what_makes_a_run_invalid_is_said(record: GeneratorRecord, reason: str) -> None:
    """Each reason is one sentence with its figure."""
    reasons = invalid_reasons(record)
    assert len(reasons) == 1
    assert reason in reasons[0]


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_within_a_bin_of_the_exact_one(seconds: list[float], share: float) -> None:
    """Read from the histogram it is at most 2 % (and a microsecond or two) over the exact one, however it was filled."""
    one, many = LatenessHistogram(), LatenessHistogram()
    for value in seconds:
        one.add(value)
    many.add_many(np.array(seconds))
    exact = sorted(seconds)[max(int(np.ceil(share * len(seconds))) - 1, 0)] * 1000
    for histogram in (one, many):
        read = histogram.quantile_ms(share)
        assert read is not None
        assert exact - 1e-9 <= read <= exact * 1.021 + 0.003
    assert one.total == many.total == len(seconds)
