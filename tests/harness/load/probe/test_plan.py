"""The quota probe's decisions, in virtual time, against services whose limits it does not know."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.probe.plan import Goal, ProbeOptions
from tests.support.virtual.driver import Probed, probe
from tests.support.virtual.services import (
    FixedWindow,
    Latency,
    Limiter,
    Service,
    Shards,
    Shared,
    SlidingLog,
    TokenBucket,
)


def service(limiter: Limiter, quota: int = 60, *, trip: float = 0.03, up: float = 0.5, first: bool = False) -> Service:
    """A hidden service; `first` checks the chat quota before the TPS limit."""
    latency = Latency(trip, 0.1, up, random.Random(7))
    return Service(limiter, quota, latency, quota_costs_token=not first, quota_first=first)


def check(done: Probed, rate: float, burst: int, quota: int) -> None:
    """Both limits were found, exactly where a number is whole, and nothing is left open."""
    tps, chats = done.known.tps, done.known.active_chats
    assert tps is not None
    assert chats is not None
    assert (tps.verdict, tps.limiter) == ("explained", "token_bucket")
    assert tps.rate.estimate == pytest.approx(rate, rel=0.01)
    assert (tps.burst.estimate, tps.burst.exact) == (burst, True)
    assert (chats.chats.estimate, chats.chats.exact) == (quota, True)
    assert done.left_open == 0
    assert done.why == "done"


@settings(max_examples=5)
@given(
    rate=st.floats(2, 40),
    size=st.floats(0.5, 3),
    quota=st.integers(20, 150),
    trip=st.floats(0.005, 0.06),
    up=st.sampled_from((0.0, 0.5, 1.0)),
)
@pytest.mark.slow
def test_both_limits_are_found_for_the_price_of_the_fill(
    rate: float, size: float, quota: int, trip: float, up: float
) -> None:
    """Whatever the limits, the probe finds them and starts hardly more chats than fill the quota once."""
    burst = max(1, round(rate * size))
    done = probe(service(TokenBucket(rate, burst), quota, trip=trip, up=up), ProbeOptions("both"))
    check(done, rate, burst, quota)
    assert done.started <= quota + 2


@pytest.mark.slow
def test_a_bucket_that_is_empty_at_first_is_found() -> None:
    """The probe lets the bucket fill up before it believes its size."""
    check(probe(service(TokenBucket(5.0, 8.0, level=0.0)), ProbeOptions("both")), 5.0, 8, 60)


@pytest.mark.slow
def test_refusals_that_cost_no_token_are_noticed() -> None:
    """Where the chat quota is checked first, the probe makes room and measures the bucket with chats."""
    check(probe(service(TokenBucket(25.0, 30.0), first=True), ProbeOptions("both")), 25.0, 30, 60)


@pytest.mark.parametrize(
    "limiter",
    [
        FixedWindow(8, 1.6),
        SlidingLog(8, 1.6),
        Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], random.Random(2)),
        Shared(TokenBucket(5, 8), 5 / 3, random.Random(2)),
    ],
    ids=lambda limiter: type(limiter).__name__,
)
@pytest.mark.slow
def test_nothing_else_is_called_a_bucket(limiter: Limiter) -> None:
    """A window, shards or other clients end in another verdict; the chat quota is found all the same."""
    done = probe(service(limiter), ProbeOptions("both"))
    assert done.known.tps is not None
    assert done.known.tps.limiter != "token_bucket"
    assert done.known.active_chats is not None
    assert done.known.active_chats.chats.estimate == 60
    assert done.left_open == 0


@pytest.mark.parametrize("most", [1, 7, 20, 59])
def test_the_budget_of_chats_is_kept(most: int) -> None:
    """No chat is started beyond --max-chats, and what was learned until then is a bound."""
    done = probe(service(TokenBucket(5.0, 8.0)), ProbeOptions("both", max_chats=most))
    assert done.started == most
    assert done.why == "max_chats"
    assert done.known.active_chats is not None
    assert done.known.active_chats.verdict == "lower_bound"
    assert done.known.active_chats.chats.low == most


def test_the_ceiling_of_calls_is_kept() -> None:
    """No second sees more calls than --max-probe-rate."""
    done = probe(service(TokenBucket(20.0, 30.0)), ProbeOptions("both", max_rate=50.0))
    sent = sorted(answer.sent for answer in done.record)
    assert all(later - first >= 0.999 for first, later in zip(sent, sent[50:], strict=False))
    assert done.known.tps is not None
    assert done.known.tps.rate.estimate == pytest.approx(20.0, rel=0.01)


def test_a_limit_beyond_the_ceiling_is_a_lower_bound() -> None:
    """A rate that the probe may not reach is not guessed."""
    done = probe(service(TokenBucket(400.0, 300.0), quota=10**6), ProbeOptions("tps", max_rate=40.0, max_chats=400))
    assert done.known.tps is not None
    assert done.known.tps.verdict == "lower_bound"
    assert (done.known.tps.rate.low, done.known.tps.rate.high) == (None, None)
    assert done.known.tps.rate.estimate is not None
    assert done.known.tps.rate.estimate <= 41.0


@pytest.mark.parametrize("goal", ["tps", "active-chats"])
def test_one_limit_alone_can_be_asked_for(goal: Goal) -> None:
    """Looking for one limit does not spend what the other would need."""
    done = probe(service(TokenBucket(5.0, 8.0), quota=400 if goal == "tps" else 60), ProbeOptions(goal))
    if goal == "tps":
        assert done.known.tps is not None
        assert done.known.tps.burst.estimate == 8
        assert done.started < 200
    else:
        assert done.known.active_chats is not None
        assert done.known.active_chats.chats.estimate == 60


@pytest.mark.slow
def test_the_progress_line_says_what_is_known() -> None:
    """The line names rate, burst and chats."""
    done = probe(service(TokenBucket(5.0, 8.0)), ProbeOptions("both"))
    line = done.known.line(60)
    assert line.startswith("rate ")
    assert "burst 8" in line
    assert "chats 60 (quota met)" in line


@pytest.mark.slow
def test_the_same_seed_probes_alike() -> None:
    """A probe of the same service with the same seed sends the same calls."""
    runs = [probe(service(TokenBucket(5.0, 8.0)), ProbeOptions("both", seed=3)).record for _ in range(2)]
    assert [a.sent for a in runs[0]] == [a.sent for a in runs[1]]
