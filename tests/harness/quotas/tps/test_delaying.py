"""A limiter that lets admitted calls wait for their turn decides about each when it comes, not half-way to its answer."""

import random

import numpy as np
import pytest

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.quotas.any_limiter.contrary import contrary_share
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.attempts import STARTED, Attempts
from harness.quotas.tps.infer import infer_tps
from tests.support.virtual.driver import probe
from tests.support.virtual.records import NO_QUOTA, arrivals
from tests.support.virtual.services import Delaying, Latency, Service, TokenBucket


@pytest.mark.parametrize(
    ("rate", "queue", "pressure", "trip", "up", "seed"),
    [(2, 4, 3.0, 0.02, 1.0, 1), (5, 7, 1.5, 0.003, 0.5, 2), (20, 40, 1.5, 0.003, 0.0, 3), (50, 20, 2.0, 0.02, 1.0, 4)],
)
def test_a_queue_is_found_to_hold_one_more_than_may_wait(
    rate: int, queue: int, pressure: float, trip: float, up: float, seed: int
) -> None:
    """The answer is the rate and 1 + queue, which is what such a limiter lets through after a rest."""
    seconds = max(20.0, 200 / (rate * pressure))
    found = infer_tps(arrivals(Delaying(rate, queue), pressure * rate, seconds, seed=seed, trip=trip, up=up))
    assert (found.verdict, found.limiter) == ("explained", "token_bucket")
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert found.rate.low <= rate <= found.rate.high
    assert (found.burst.low or 0) <= queue + 1 <= (found.burst.high or np.inf)


@pytest.mark.parametrize(("queue", "pressure"), [(10, 1.5), (10, 3.0)])
def test_the_example_of_nginx_is_exact(queue: int, pressure: float) -> None:
    """`rate=20r/s burst=10` is 20 a second and 11 at once, at mild and at strong pressure, and nothing contradicts it."""
    record = arrivals(Delaying(20, queue), pressure * 20, 20, seed=3, trip=0.01)
    found = infer_tps(record)
    assert (found.verdict, found.limiter, found.burst.estimate) == ("explained", "token_bucket", queue + 1)
    contrary = contrary_share(Decisions.of(record), [20.0], [queue + 1.0])
    assert contrary is not None
    assert contrary.refused + contrary.admitted <= 2


@pytest.mark.slow
def test_the_probe_measures_the_burst_from_rest_of_a_queue() -> None:
    """The probe's volleys find 11 of 20/s with 10 that may wait, and call it exact as far as can be seen."""
    options = ProbeOptions("tps", max_rate=2000.0, seed=1, max_seconds=300.0)
    plan = CapacityPlan(options, safe=False)
    probe(Service(Delaying(20, 10), NO_QUOTA, Latency(0.02, 0.1, 0.5, random.Random(3))), options, plan=plan)
    found = plan.estimate
    assert found is not None
    assert found.burst_from_rest is not None
    assert found.sustained is not None
    assert found.burst_from_rest.mean_low <= 11 <= found.burst_from_rest.mean_high
    assert found.sustained.low <= 20 <= found.sustained.high
    assert found.kind in ("exact", "exact_within_jitter")


def test_work_that_only_an_admitted_chat_costs_does_not_blur_the_bucket() -> None:
    """Chats that take 100 to 400 ms to start, where a throttle takes 6, leave the rate and an exact burst."""
    rng = random.Random(4)
    quick = arrivals(TokenBucket(20, 30), 30.0, 20, seed=2, trip=0.006)
    work = np.array([rng.uniform(0.1, 0.4) for _ in range(len(quick))])
    started = quick.outcome == STARTED
    found = infer_tps(Attempts.of(quick.sent, quick.received + work * started, quick.outcome))
    assert (found.verdict, found.burst.estimate) == ("explained", 30)
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert found.rate.low <= 20 <= found.rate.high
