"""`chatquota plan` against a limiter that is a window of time."""

import random
from collections import deque
from pathlib import Path

import msgspec
import pytest

from reports.capacity.load import load_capacity
from reports.capacity.model import Interval, Tps
from reports.capacity.sentences import headline
from reports.plan.queueing import bucket_refusal, window_needed, window_refusal
from tests.reports.plan.test_plan_command import planned


@pytest.mark.parametrize("sliding", [False, True])
def test_a_window_refuses_as_one_that_is_played_through(sliding: bool) -> None:
    """Its formula agrees with a window of 20 s and 100 calls under random arrivals, which refuses more than a bucket."""
    draw, now, admitted, refused = random.Random(7), 0.0, deque[float](), 0
    for _ in range(300_000):
        now += draw.expovariate(4.6)
        begin = now - 20.0 if sliding else 20.0 * (now // 20.0)
        while admitted and admitted[0] <= begin:
            admitted.popleft()
        if len(admitted) < 100:
            admitted.append(now)
        else:
            refused += 1
    found = window_refusal(4.6, 100, 20.0, sliding=sliding)
    assert found == pytest.approx(refused / 300_000, abs=0.004)
    assert found > 10 * bucket_refusal(4.6, 5.0, 100)
    needed = window_needed(4.6, 0.001, 20.0, sliding=sliding)
    assert window_refusal(4.6, needed, 20.0, sliding=sliding) <= 0.001
    assert window_refusal(4.6, needed - 1, 20.0, sliding=sliding) > 0.001


def test_a_window_is_planned_with_as_one(tmp_path: Path) -> None:
    """A run that found a window is not planned with as if it were a bucket of that burst."""
    evidence: dict[str, object] = {"window_calls": 100, "window_seconds": 20.0}
    window = Tps(
        Interval(5, 4.99, 5.01), Interval(100, 100, 100), "fixed_window", "explained", evidence, class_="window"
    )
    told = " ".join(planned(tmp_path, tps=window))
    assert "TPS quota (5/s, 100 in a window of 20 s)" in told
    assert "they are not simulated" in told
    answer = msgspec.structs.replace(load_capacity(tmp_path), outcomes={"started": 9, "tps_throttled": 3})
    assert headline(answer).startswith(
        "This instance starts 100 chats in each window of 20 s (5.00 a second) and holds"
    )
