"""What the plan for any limiter finds of each kind of limiter, in virtual time."""

import random
from collections.abc import Callable

import pytest

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from tests.support.virtual.capacity import claimed, measured
from tests.support.virtual.driver import probe
from tests.support.virtual.records import NO_QUOTA, default_bucket
from tests.support.virtual.services import (
    Delaying,
    FixedWindow,
    Latency,
    Limiter,
    Service,
    Shards,
    Shared,
    SlidingLog,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import (
    ByConnection,
    FixedTier,
    Penalising,
    Tiers,
)


def test_the_documented_bucket_is_proved_exact_within_three_minutes() -> None:
    """5/s with burst 8 gives every number and the class exact, in under three minutes."""
    plan, done = measured(default_bucket())
    found = plan.estimate
    assert found is not None
    assert found.kind == "exact"
    assert done.seconds < 180
    assert found.contrary is not None
    assert found.contrary.high < 0.003  # seen of that many decisions: fewer might hide one contrary in two hundred
    assert found.sustained is not None
    assert found.sustained.low <= 5 <= found.sustained.high
    assert found.sustained_mild is not None
    assert found.burst_from_rest is not None
    assert found.burst_from_rest.median == pytest.approx(8, abs=0.2)
    assert found.safe is not None
    assert found.safe.poisson is not None
    assert 3.6 <= found.safe.poisson.low <= 4.06  # M/D/1 with 8 places refuses 1 % at 4.05/s


@pytest.mark.parametrize(("rate", "burst", "safe"), [(2.13, 6.0, 1.53), (2.0, 2.0, 0.29)])
def test_slow_buckets_are_proved_exact_too(rate: float, burst: float, safe: float) -> None:
    """The last pressure lasts until enough was decided; a small burst takes no hours at a rate of which 1 % is refused."""
    plan, done = measured(TokenBucket(rate, burst))
    assert plan.estimate is not None
    assert plan.estimate.kind == "exact"
    assert done.seconds < 480
    assert 0.85 * safe < claimed(plan) < safe  # M/D/1 with so many places refuses 1 % at the safe rate


def test_a_bucket_that_holds_one_call_is_exact_though_it_sustains_less_of_even_calls() -> None:
    """What falls behind its tokens is the even load's doing: 2.2/s with burst 1 admits 1.5 of 2.3 even calls a second."""
    plan, _ = measured(TokenBucket(2.217, 1.0))
    found = plan.estimate
    assert found is not None
    assert found.kind in ("exact", "exact_within_jitter")
    assert found.findings == ()
    assert found.sustained_mild is not None
    assert found.sustained_mild.high < 2.0


def test_a_mild_pressure_that_saw_one_turn_of_a_minutes_window_is_not_believed() -> None:
    """A window of a minute admits three times its rate until it is used up: neither interval leaves the rate out."""
    minute = Tiers([TokenBucket(9.0, 9.0), FixedTier(180)])
    plan, _ = measured(minute, safe=False, max_seconds=600.0)
    found = plan.estimate
    assert found is not None
    assert found.kind == "blocks"
    for rate in (found.sustained, found.sustained_mild):
        assert rate is not None
        assert rate.low <= 3.0 <= rate.high


def test_a_bucket_that_falls_silent_under_volleys_is_no_limiter_of_blocks() -> None:
    """Where refused calls cost tokens, the silences of a faster pace leave the rate under pressure as it was counted."""
    plan, done = measured(Penalising(TokenBucket(5.0, 8.0), 0.2), safe=False)
    found = plan.estimate
    assert found is not None
    assert found.kind == "depends_on_pressure"
    assert found.sustained is not None
    begin, end = found.sustained.begin, found.sustained.end
    started = sum(a.outcome == "started" and begin <= a.sent <= end for a in done.record)
    assert found.sustained.estimate == pytest.approx(started / (end - begin), rel=0.05)


def test_a_limiter_that_others_call_leaves_room_for_what_they_take_unseen() -> None:
    """Beside neighbours at random the rate is known within a few per cent, and down to four admissions fewer."""
    plan, _ = measured(Shared(TokenBucket(14.0, 16.0), 4.0, random.Random(2)), safe=False)
    found = plan.estimate
    assert found is not None
    assert found.kind == "shared"
    for rate in (found.sustained, found.sustained_mild):
        assert rate is not None
        assert rate.low <= rate.estimate * (1 - 3.99 / rate.admitted)
        assert rate.half_width < 0.08


def test_shards_have_numbers_but_are_not_exact() -> None:
    """Two shards behind a random balancer: sustained rate and burst hold, nothing is called exact."""
    plan, _ = measured(Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], random.Random(2)), safe=False)
    found = plan.estimate
    assert found is not None
    assert not found.exact_numbers_hold
    assert found.findings
    assert found.sustained is not None
    assert found.sustained.low <= 5 <= found.sustained.high


def test_the_last_pressure_meets_shards_that_no_connection_had_met() -> None:
    """Ten connections are all pinned to one of two shards; the new ones of the last pressure meet both: it is not exact."""
    shards = [TokenBucket(10.0, 16.0) for _ in range(2)]
    plan, _ = measured(ByConnection(shards, 10, random.Random(3), [0] * 10))
    assert plan.estimate is not None
    assert plan.estimate.kind == "not_stationary"


@pytest.mark.slow
def test_a_window_of_ten_seconds_ends() -> None:
    """A window of 50 calls in 10 s is measured within the time bound, and its rate is held."""
    plan, done = measured(FixedWindow(50, 10.0, 3.0), safe=False, max_seconds=900.0)
    assert done.why == "done"
    assert plan.estimate is not None
    assert plan.estimate.kind in ("blocks", "window")
    assert plan.estimate.sustained is not None
    assert plan.estimate.sustained.low <= 5 <= plan.estimate.sustained.high


@pytest.mark.slow
def test_what_is_claimed_of_a_window_follows_from_it() -> None:
    """100 calls in 10 seconds refuse 1 % at 9.1 random ones a second, in turns of ten seconds that a search hardly tells."""
    plan, _ = measured(FixedWindow(100, 10.0, 3.0))
    assert plan.estimate is not None
    assert plan.estimate.kind == "window"
    assert 8.6 < claimed(plan) < 9.1


@pytest.mark.slow
def test_two_tiers_are_pressed_for_whole_turns() -> None:
    """30/s and 600 a minute: both pressures see two whole minutes, and the batches meet whole ones too, in 15 minutes."""
    plan, done = measured(Tiers([TokenBucket(30.0, 30.0), FixedTier(600)]), max_seconds=900.0)
    assert done.why == "done"
    assert plan.estimate is not None
    assert plan.estimate.kind == "blocks"
    assert 7.5 < claimed(plan) < 9.6
    for found, load in ((plan.estimate.sustained, 3.0), (plan.estimate.sustained_mild, 1.25)):
        assert found is not None
        assert found.low <= 10 <= found.high
        assert found.half_width < 0.05
        assert found.pressure == pytest.approx(load, rel=0.3)


@pytest.mark.slow
def test_what_a_window_of_a_minute_sustains_follows_from_it() -> None:
    """No pressure sees two whole minutes, but the window explains each decision."""
    plan, _ = measured(FixedWindow(300, 60.0, 20.0), max_seconds=900.0)
    assert plan.estimate is not None
    assert plan.estimate.kind == "window"
    for found in (plan.estimate.sustained, plan.estimate.sustained_mild):
        assert found is not None
        assert found.low <= 5 <= found.high
        assert found.half_width < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "burst", "trip", "up", "seed"), [(212.0, 329, 0.058, 0.5, 2), (482.0, 554, 0.054, 1.0, 153)]
)
def test_a_bucket_whose_tokens_come_closer_than_the_jitter_is_found(
    rate: float, burst: int, trip: float, up: float, seed: int
) -> None:
    """Of tens of thousands of calls, and a token or two within a jitter, the burst is exact; these were not explained."""
    options = ProbeOptions("both", max_rate=2000.0, seed=seed)
    service = Service(TokenBucket(rate, float(burst)), 250, Latency(trip, 0.1, up, random.Random(seed + 1)))
    tps = probe(service, options, plan=CapacityPlan(options)).known.tps
    assert tps is not None
    assert tps.verdict == "explained"
    assert tps.rate.estimate == pytest.approx(rate, rel=0.0005)
    assert (tps.burst.estimate, tps.burst.exact) == (burst, True)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_parts_that_explain_a_record_as_well_are_not_ruled_out(parts: int) -> None:
    """Where the network hides no order, two parts in turn look like one bucket whose jitter is larger: each part alone
    explains its calls, so they are not called exact, and the burst is held though the volleys seem to be one call smaller.
    """
    limiters: list[Limiter] = [TokenBucket(84.19834337457424 / parts, 54 / parts) for _ in range(parts)]
    options = ProbeOptions("tps", max_rate=2000.0, seed=2, max_seconds=900.0)
    rng = random.Random(4)
    trip, up = rng.uniform(0.005, 0.06), rng.choice([0.0, 0.5, 1.0])
    assert up == 0.0
    service = Service(Shards(limiters, random.Random(3), in_turn=True), NO_QUOTA, Latency(trip, 0.1, up, rng))
    plan = CapacityPlan(options, safe=True)
    tps = probe(service, options, plan=plan).known.tps
    assert plan.estimate is not None
    assert (plan.estimate.kind == "exact") == (parts == 1)
    assert tps is not None
    assert tps.burst.high is not None
    assert (tps.burst.low or 0) <= 54 <= tps.burst.high


def test_a_service_that_never_throttles_is_not_met() -> None:
    """Without a throttle the plan ends by itself and says so."""
    plan, done = measured(TokenBucket(1e6, 1e6), max_chats=3000)
    assert plan.estimate is not None
    assert plan.estimate.kind == "not_met"
    assert done.started <= 3000


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "width"), [(5, 1.0), (50, 10.0), (20, 1.0)])
def test_a_limiter_that_counts_refused_calls_is_found_by_offering_less(limit: int, width: float) -> None:
    """Under pressure it admits nothing; what it admits of fewer calls, and a safe rate, are told all the same."""
    limiter = SlidingLog(limit, width, counts_refused=True)
    plan, done = measured(limiter, chats=300, goal="safe", max_seconds=900.0)
    found = plan.estimate
    assert found is not None
    assert found.kind == "depends_on_pressure"
    assert found.sustained_mild is not None
    assert 0.6 * limit / width <= found.sustained_mild.estimate <= limit / width
    assert found.safe is not None
    assert found.safe.poisson is not None
    rng, now, calls = random.Random(3), 1e6, 20_000
    refused = 0
    for _ in range(calls):
        now += rng.expovariate(found.safe.poisson.low)
        refused += not limiter.admit(now)
    assert refused <= 0.01 * calls
    assert done.known.active_chats is not None
    assert done.known.active_chats.chats.estimate == 300


@pytest.mark.slow
def test_a_limiter_that_lets_ninety_calls_wait_is_found() -> None:
    """Calls that wait nine seconds for their turn come with the rate, the burst and a safe rate, and nothing has moved."""
    plan, done = measured(Delaying(10.0, 90.0), goal="safe", chats=300, max_seconds=900.0)
    found, exact = plan.estimate, done.known.tps
    assert exact is not None
    assert exact.verdict == "explained"
    assert exact.rate.estimate == pytest.approx(10, rel=0.005)
    assert (exact.burst.low or 0) <= 91 <= (exact.burst.high or 91)
    assert found is not None
    assert found.kind == "exact_within_jitter"
    assert found.safe is not None
    assert found.safe.poisson is not None
    assert 8 <= found.safe.poisson.low <= 9.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("burst", "quota", "trip", "up"), [(3, 50, 0.0062, 0.0), (4, 100, 0.0323, 1.0), (3, 500, 0.0212, 1.0)]
)
def test_a_small_slow_bucket_is_explained_where_there_is_hardly_any_jitter(
    burst: int, quota: int, trip: float, up: float
) -> None:
    """Of a minute's record the rate is so sharp that a search in steps passes over it."""
    options = ProbeOptions("both", max_rate=2000.0, seed=149)
    service = Service(TokenBucket(3.0, float(burst)), quota, Latency(trip, 0.1, up, random.Random(150)))
    done = probe(service, options, plan=CapacityPlan(options))
    tps = done.known.tps
    assert tps is not None
    assert tps.verdict == "explained"
    assert tps.rate.estimate == pytest.approx(3.0, rel=0.002)
    assert tps.burst.estimate == burst


def admitted_in_loads(make: Callable[[], Limiter], offered: float) -> float:
    """Return what is admitted a second of `offered`, in the middle of 40 loads that each begin at rest."""
    rng, rates = random.Random(3), []
    for _ in range(40):
        limiter, now, begin, admitted = make(), rng.uniform(0, 10), 0.0, 0
        for call in range(round(40 * offered)):
            now += rng.uniform(0.5, 1.5) / offered
            if call == round(10 * offered):
                begin, admitted = now, 0
            admitted += limiter.admit(now)
        rates.append(admitted / (now - begin))
    return sum(rates) / len(rates)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "burst", "least_loads", "widest"),
    [
        (20.0, 30.0, 8, 1 / 6),
        (10.0, 8.0, 8, 1 / 6),
        (19.0, 39.0, 8, 1 / 6),
        # these look like nearly a bucket at first
        (4.0, 11.0, 4, 1.0),
        (2.0, 5.0, 4, 1.0),
        (64.0, 168.0, 4, 1.0),
    ],
)
def test_what_even_neighbours_leave_is_told_of_several_loads(
    rate: float, burst: float, least_loads: int, widest: float
) -> None:
    """Others' even calls keep their place between the tokens for a whole load: the intervals hold the mean of many loads."""

    def make() -> Limiter:
        return Shared(TokenBucket(1.4 * rate, burst), 0.4 * rate, random.Random(1), even=True)

    plan, _ = measured(make(), safe=False)
    assert sum(stage.kind == "again" for stage in plan.stages) >= least_loads
    assert plan.estimate is not None
    for found in (plan.estimate.sustained, plan.estimate.sustained_mild):
        assert found is not None
        assert found.low <= admitted_in_loads(make, found.pressure * found.estimate) <= found.high
        assert found.half_width < widest


@pytest.mark.slow
def test_one_fixed_window_that_opens_again_is_not_taken_for_a_sliding_one() -> None:
    """540 a minute: the probe met 54.8 s of one, and a few after long rests; 540 in any 54.8 s would be 9.9 a second."""
    rng = random.Random(600030)
    latency = Latency(rng.uniform(0.005, 0.06), 0.1, rng.choice([0.0, 0.5, 1.0]), rng)
    options = ProbeOptions("tps", max_rate=2000.0, seed=600028, max_seconds=900.0)
    plan = CapacityPlan(options, safe=True)
    done = probe(Service(FixedWindow(540, 60.0, 54.76468319153191), NO_QUOTA, latency), options, plan=plan)
    assert done.known.tps is not None
    assert done.known.tps.verdict == "not_explained"
    assert plan.estimate is not None
    assert plan.estimate.sustained is not None
    assert plan.estimate.sustained.low <= 9.0 <= plan.estimate.sustained.high
