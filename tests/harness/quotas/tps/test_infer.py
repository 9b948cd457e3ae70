"""What is inferred of the limit on calls a second from the record of an ordinary run."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.quotas.attempts import THROTTLED, Attempts
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.estimate import _misfit
from harness.quotas.tps.goodness import Goodness
from harness.quotas.tps.infer import infer_tps
from tests.support.virtual.driver import probe
from tests.support.virtual.records import arrivals, default_bucket
from tests.support.virtual.services import (
    FixedWindow,
    Latency,
    Limiter,
    MovedBucket,
    Service,
    Shards,
    Shared,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
)


def is_bucket(found: TpsEstimate, rate: float, burst: int) -> bool:
    """True if a bucket was found, its rate within 1 % and inside its interval, its burst exact."""
    low, high, estimate = found.rate.low, found.rate.high, found.rate.estimate
    assert low is not None
    assert high is not None
    assert estimate is not None
    numbers = abs(estimate / rate - 1) < 0.01 and low <= rate <= high and found.burst.estimate == burst
    return numbers and (found.limiter, found.verdict) == ("token_bucket", "explained")


@settings(max_examples=8, derandomize=True)
@given(
    rate=st.floats(2, 40),
    size=st.floats(0.5, 3),
    trip=st.floats(0.005, 0.06),
    up=st.sampled_from((0.0, 0.5, 1.0)),
    seed=st.integers(0, 1000),
)
def test_any_bucket_is_found_from_poisson_arrivals(rate: float, size: float, trip: float, up: float, seed: int) -> None:
    """A run whose arrivals hover about the rate yields rate and burst, wherever in the round trip the service decides."""
    burst = max(1, round(rate * size))
    seconds = 10 * size + max(40.0, 300 / rate)  # a tenth more than the rate empties the bucket in ten times its size
    attempts = arrivals(TokenBucket(rate, burst), 1.1 * rate, seconds, seed=seed, trip=trip, up=up)
    # Where chance brought fewer arrivals, bounds alone are right.
    assume(np.count_nonzero(attempts.outcome == THROTTLED) >= 10)
    assert is_bucket(infer_tps(attempts), rate, burst)


def test_calls_whose_order_jitter_hides_do_not_speak_against_a_bucket() -> None:
    """A bucket full at first is found with its burst, though four refusals seem to come before the start that took the
    last token; tokens are not said to be missing instead, which would make the burst a call too large.
    """
    rate, trip, seconds = 36.59151592972723, 0.05859385958677424, 56.7
    attempts = arrivals(TokenBucket(rate, 61), 1.1 * rate, seconds, seed=429, trip=trip, up=0.5)
    found = infer_tps(attempts)
    assert is_bucket(found, rate, 61)
    assert found.burst.low == 61


@pytest.mark.parametrize(("begin", "size"), [(58, 61), (20, 40)])
def test_a_bucket_that_was_never_full_is_not_said_to_have_been(begin: int, size: int) -> None:
    """Where tokens are missing at first and the record never shows it full, the burst is at least what was taken at once."""
    found = infer_tps(arrivals(TokenBucket(36.6, size, level=begin), 1.3 * 36.6, 20, seed=5))
    assert found.burst.high is None
    assert found.burst.low is not None
    assert begin - 2 <= found.burst.low <= size


@pytest.mark.parametrize(("parts", "told"), [(1, True), (2, False)])
def test_a_bucket_is_told_from_parts_that_take_calls_in_turn(parts: int, told: bool) -> None:
    """A fast bucket fits far better than its parts would have, beyond the jitter; two parts do not."""
    rates: list[Limiter] = [TokenBucket(40 / parts, 40 / parts) for _ in range(parts)]
    found = infer_tps(arrivals(Shards(rates, random.Random(1), in_turn=True), 60, 15, trip=0.03))
    assert (found.evidence.get("parts_in_turn_z", 0.0) > 25) == told


@pytest.mark.slow
@pytest.mark.parametrize("up", [0.0, 0.5])
def test_the_burst_is_told_where_tokens_come_closer_than_the_jitter(up: float) -> None:
    """Of twelve waves of load on a fast bucket, whose order jitter hides, the burst is known to a call or two, and held;
    to the call where all that varies comes after the decision.
    """
    attempts = arrivals(TokenBucket(300, 400), 600, 48, rests=(2.0, 2.0), trip=0.05, up=up)
    found = infer_tps(attempts)
    assert found.verdict == "explained"
    assert found.rate.estimate == pytest.approx(300, rel=0.001)
    assert found.burst.low is not None
    assert found.burst.high is not None
    assert found.burst.low <= 400 <= found.burst.high <= found.burst.low + (up > 0)


@pytest.mark.parametrize("load", [4.5, 5.0, 6.0, 10.0, 40.0])
def test_the_load_does_not_change_the_answer(load: float) -> None:
    """The same bucket is found just below its rate and far beyond it."""
    assert is_bucket(infer_tps(arrivals(default_bucket(), load, 120)), 5.0, 8)


@pytest.mark.parametrize(
    "limiter",
    [
        FixedWindow(8, 1.6, 0.3),
        FixedWindow(5, 1.0),
        SlidingLog(8, 1.6),
        SlidingCounter(8, 1.6),
        Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], random.Random(1)),
        Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], random.Random(1), in_turn=True),
        Shared(TokenBucket(5, 8), 5 / 3, random.Random(1)),
        Shared(TokenBucket(5, 8), 5 / 3, random.Random(1), even=True),
        MovedBucket(TokenBucket(5, 8), 60.0, 1.1),
    ],
    ids=lambda limiter: type(limiter).__name__,
)
def test_nothing_else_is_called_a_bucket(limiter: Limiter) -> None:
    """A window, shards, other clients or a limit that moved are not called a token bucket."""
    found = infer_tps(arrivals(limiter, 7.0, 120))
    assert found.limiter != "token_bucket"
    assert found.verdict == "not_explained" or found.limiter in ("fixed_window", "sliding_window")


def test_a_record_that_no_bucket_comes_near_is_given_up_before_it_is_replayed() -> None:
    """Decisions that go against every bucket are told from the first fit: no replay is made of it."""
    halves: list[Limiter] = [TokenBucket(2.5, 4.0), TokenBucket(2.5, 4.0)]
    found = infer_tps(arrivals(Shards(halves, random.Random(3)), 10.0, 60.0))
    assert found.verdict == "not_explained"
    assert "replay_z" not in found.evidence
    assert found.evidence["contradictions"] > 10 * found.evidence["contradictions_allowed"]


def test_a_sliding_window_is_named() -> None:
    """A log of 8 calls in 1.6 s is named as that."""
    found = infer_tps(arrivals(SlidingLog(8, 1.6), 7.0, 120))
    assert (found.limiter, found.burst.estimate) == ("sliding_window", 8)
    assert found.evidence["window_seconds"] == pytest.approx(1.6, abs=0.03)


def test_without_a_throttle_there_is_a_lower_bound_only() -> None:
    """A run that met no limit says what was admitted, and bounds no rate: a burst may have carried it."""
    attempts = arrivals(default_bucket(), 2.0, 60)
    found = infer_tps(attempts)
    assert found.verdict == "lower_bound"
    assert (found.rate.low, found.rate.high) == (None, None)
    pace = (len(attempts) - 1) / (attempts.sent[-1] - attempts.sent[0])
    assert found.rate.estimate == pytest.approx(pace)
    assert f"{len(attempts)} were admitted" in found.sentence()


@pytest.mark.parametrize(
    "outcomes", [[], ["tps_throttled"] * 9, ["started"], ["timeout"] * 5, ["unclassified_429"] * 5]
)
def test_no_number_comes_from_nothing(outcomes: list[str]) -> None:
    """Records without two kinds of decisions give no estimate of a limit."""
    times = np.arange(len(outcomes)) / 10
    found = infer_tps(Attempts.of(times, times + 0.03, outcomes))
    assert found.verdict in ("not_explained", "lower_bound")
    assert found.rate.high is None
    assert found.burst.estimate is None


@pytest.mark.parametrize("most", [10, 14, 18, 24])
def test_a_run_killed_early_gives_no_confident_number(most: int) -> None:
    """The first calls of a run bound the rate at best, and the bounds hold."""
    whole = arrivals(default_bucket(), 10.0, 20)
    found = infer_tps(whole.where(np.arange(len(whole)) < most))
    if found.rate.low is not None and found.rate.high is not None:
        assert found.rate.low <= 5.0 <= found.rate.high
    assert found.burst.low is None or found.burst.low <= 8


@pytest.mark.parametrize("throttles", [1, 2, 5, 9])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_few_throttles_give_bounds_that_hold(throttles: int, seed: int) -> None:
    """Up to five throttles bound the rate and claim no bucket; some more give an interval that is wide enough."""
    whole = arrivals(default_bucket(), 7.0, 60, seed=seed)
    refused = np.flatnonzero(whole.outcome == THROTTLED)
    found = infer_tps(whole.where(np.arange(len(whole)) <= refused[throttles - 1]))
    if throttles < 6:
        assert found.verdict == "not_explained"
    if found.rate.low is not None and found.rate.high is not None:
        assert found.rate.low <= 5.0 <= found.rate.high


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_bucket_that_began_below_its_brim_gives_no_wrong_burst(level: float) -> None:
    """Where the record never shows a full bucket, the burst has no upper bound."""
    found = infer_tps(arrivals(default_bucket(level), 10.0, 60))
    assert found.burst.high is None
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert found.rate.low <= 5.0 <= found.rate.high


@pytest.mark.slow
def test_a_bucket_that_fills_up_later_is_found_all_the_same() -> None:
    """Tokens that were missing at first are inferred from what came after."""
    found = infer_tps(arrivals(default_bucket(3.0), 5.0, 300))
    assert is_bucket(found, 5.0, 8)
    assert found.evidence["deficit_at_start"] == pytest.approx(5.0, abs=0.5)


def test_faults_are_neither_admissions_nor_refusals() -> None:
    """Errors of the service in between leave the answer as it is."""
    assert is_bucket(infer_tps(arrivals(default_bucket(), 6.0, 120, faults=0.05)), 5.0, 8)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_answers_that_were_read_late_do_not_hide_a_bucket(seconds: float) -> None:
    """A client that stood still for a moment saw late answers, not late decisions."""
    whole = arrivals(default_bucket(), 40.0, 40)
    held = (whole.received > 20.0) & (whole.sent < 20.0 + seconds)
    found = infer_tps(replace(whole, received=np.where(held, 20.0 + seconds + 0.03, whole.received)))
    assert found.verdict == "explained"
    assert found.burst.estimate == 8
    assert found.rate.estimate == pytest.approx(5.0, rel=0.005)


@pytest.mark.slow
def test_a_rate_that_moved_before_a_pause_is_not_forgotten() -> None:
    """A record whose second half is one bucket's alone is still contradicted by its first half."""
    first, second = arrivals(TokenBucket(5.0, 8.0), 12.0, 30), arrivals(TokenBucket(6.0, 8.0), 12.0, 60, seed=2)
    record = Attempts.of(
        np.concatenate((first.sent, second.sent + 45.0)),
        np.concatenate((first.received, second.received + 45.0)),
        np.concatenate((first.outcome, second.outcome)),
    )
    assert infer_tps(record).verdict == "not_explained"


@pytest.mark.slow
def test_a_step_of_the_clock_is_not_explained_away() -> None:
    """A record whose second half is 30 s late is not a bucket's."""
    whole = arrivals(default_bucket(), 10.0, 60, even=True)
    late = np.where(whole.sent > np.median(whole.sent), 30.0, 0.0)
    found = infer_tps(replace(whole, sent=whole.sent + late, received=whole.received + late))
    assert found.verdict == "not_explained"


def test_the_same_record_gives_the_same_answer() -> None:
    """Order of the rows, distance from the epoch and repetition change nothing."""
    whole = arrivals(default_bucket(), 6.0, 60)
    order = np.random.default_rng(0).permutation(len(whole))
    shuffled = Attempts.of(whole.sent[order] + 1.75e9, whole.received[order] + 1.75e9, whole.outcome[order])
    first, again = infer_tps(whole).to_json(), infer_tps(whole).to_json()
    later = infer_tps(shuffled).to_json()
    assert first == again
    assert later["burst"] == first["burst"]
    assert later["rate"]["estimate"] == pytest.approx(first["rate"]["estimate"], rel=1e-4)


def test_the_evidence_can_be_drawn() -> None:
    """An explained limit comes with the region of (rate, burst) and each decision against the bucket's level."""
    found = infer_tps(arrivals(default_bucket(), 6.0, 60))
    region, trace = found.region, found.trace
    assert region is not None
    assert trace is not None
    assert region.probability.shape == (len(region.rate), len(region.burst))
    assert region.probability.sum() == pytest.approx(1.0)
    agree = (trace.level >= 0.95) == trace.admitted
    assert agree.mean() > 0.99
    assert len(trace.at) == len(trace.residual) == len(trace.level)
    assert "chats a second" in found.sentence()


def test_attempts_refuse_what_they_cannot_mean() -> None:
    """Columns of unequal length and unknown outcomes are refused with a reason."""
    with pytest.raises(ValueError, match="columns differ in length"):
        Attempts.of([0.0], [0.1, 0.2], ["started"])
    with pytest.raises(ValueError, match="unknown outcome"):
        Attempts.of([0.0], [0.1], ["begun"])


@pytest.mark.parametrize(("seed", "rate", "burst"), [(94, 17.0, 20.5), (134, 13.0, 38.5), (104, 85.504, 199.5)])
def test_the_interval_of_a_burst_that_is_no_whole_number_holds_it(seed: int, rate: float, burst: float) -> None:
    """Latency that lies before the decision shifts each moment at which the bucket was full alike: the interval has room."""
    rng = random.Random(seed + 2)
    latency = Latency(rng.uniform(0.005, 0.06), 0.1, rng.choice([0.0, 0.5, 1.0]), rng)
    options = ProbeOptions("tps", max_rate=2000.0, seed=seed, max_seconds=900.0)
    found = probe(Service(TokenBucket(rate, burst), 10**9, latency), options, plan=CapacityPlan(options)).known.tps
    assert found is not None
    assert found.burst.low is not None
    assert found.burst.high is not None
    assert found.burst.low <= burst <= found.burst.high


def test_an_hour_without_a_throttle_is_told_without_exponents() -> None:
    """What a reader sees of a long quiet run is 3,600 s, and not 3.6e+03."""
    at = np.arange(0.0, 3601.0, 2.0)
    told = str(infer_tps(Attempts.of(at, at + 0.1, ["started"] * len(at))).evidence["sentence"])
    assert "1,801 were admitted in 3,600 s (0.5 a second)" in told
    assert "rate x 3,600 s + burst" in told


def test_a_misfit_without_a_contradiction_is_not_said_to_contradict() -> None:
    """Where no decision alone speaks against the bucket it is said that all of them together do."""
    many, none = Goodness(124, 618, 0.1, 0.0, 9.0), Goodness(0, 3780, 0.01, 0.0, 9.0)
    assert _misfit(many) == "124 of 618 decisions contradict the best token bucket"
    assert _misfit(none) == "the moments of 3,780 decisions fit the best token bucket far worse than its own would"
