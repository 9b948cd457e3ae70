"""The sustained rate of a plain record, whatever the limiter behind it is."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.quotas.any_limiter.contrary import contrary_share, wandering
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import Sustained
from harness.quotas.any_limiter.measure import measure_capacity
from harness.quotas.any_limiter.stretches import Load, over_several_loads
from harness.quotas.any_limiter.sustained import sustained_rate, wider
from harness.quotas.attempts import STARTED, THROTTLED, Attempts
from harness.quotas.tps.infer import infer_tps
from tests.support.virtual.records import arrivals, default_bucket
from tests.support.virtual.services import (
    BatchedBucket,
    FixedWindow,
    Limiter,
    MovedBucket,
    Shards,
    SlidingLog,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import Adaptive, Contrary, FixedTier, Tiers

LIMITERS: dict[str, Callable[[random.Random], Limiter]] = {
    "bucket": lambda rng: default_bucket(),
    "shards": lambda rng: Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], rng),
    "ticks": lambda rng: BatchedBucket(5, 8, 0.5),
    "window": lambda rng: FixedWindow(5, 1.0),
}


@pytest.mark.parametrize("kind", LIMITERS)
@pytest.mark.parametrize("seed", range(4))
def test_the_rate_lies_in_a_narrow_interval(kind: str, seed: int) -> None:
    """A minute at three times the rate gives 5/s within a few per cent, for every kind of limiter."""
    attempts = arrivals(LIMITERS[kind](random.Random(seed)), 15, 60, seed=seed)
    found = measure_capacity(attempts).sustained
    assert found is not None
    assert found.low <= 5.0 <= found.high
    assert found.half_width < 0.06
    assert found.pressure == pytest.approx(3.0, rel=0.15)


def test_a_record_without_a_throttle_has_no_capacity() -> None:
    """Without a throttle the class is not_met and there is no number."""
    found = measure_capacity(arrivals(default_bucket(), 2, 30))
    assert found.kind == "not_met"
    assert found.sustained is None
    assert found.to_json()["sustained"] is None


def test_an_empty_record_is_not_met() -> None:
    """No attempts at all raise nothing."""
    assert measure_capacity(Attempts.of([], [], [])).kind == "not_met"


def test_calls_below_the_rate_are_left_out() -> None:
    """Only the part under pressure counts: idle minutes before and after do not lower the rate."""
    bucket = default_bucket()
    clock_parts = [arrivals(bucket, 2, 60, seed=1)]
    hot = arrivals(default_bucket(), 12, 60, seed=2)
    sent = [*clock_parts[0].sent, *(hot.sent + 80)]
    received = [*clock_parts[0].received, *(hot.received + 80)]
    outcome = [int(o) for part in (clock_parts[0], hot) for o in part.outcome]
    found = measure_capacity(Attempts.of(sent, received, outcome)).sustained
    assert found is not None
    assert found.low <= 5.0 <= found.high
    assert found.begin > 80


def test_a_rate_that_moves_is_flagged_and_both_rates_are_held() -> None:
    """A limit that doubles in mid-run is not stationary, and the interval holds the rate before and after."""
    attempts = arrivals(MovedBucket(TokenBucket(5, 8), 31.0, 2.0), 30, 60)
    found = measure_capacity(attempts, infer_tps(attempts))
    assert found.kind == "not_stationary"
    assert found.sustained is not None
    assert found.sustained.low <= 5.2
    assert found.sustained.high >= 9.8


def test_a_token_that_is_taken_now_and_then_may_not_have_been_seen() -> None:
    """A bucket's interval leaves room for two admissions fewer, which neighbours take so seldom that none was missed yet."""
    found = measure_capacity(arrivals(default_bucket(), 15, 30)).sustained
    assert found is not None
    assert found.low <= found.estimate * (1 - 1.99 / found.admitted)


def test_a_limiter_that_adapts_is_counted_once_it_has() -> None:
    """The seconds in which a rate falls under pressure are left out of what it sustains."""
    attempts = arrivals(Adaptive(24.0, 63.0), 76, 12.0, even=True)
    found = measure_capacity(attempts).sustained
    truth = arrivals(Adaptive(24.0, 63.0), 76, 300.0, even=True)
    late = truth.outcome[truth.sent > 100.0]
    assert found is not None
    assert found.estimate == pytest.approx(float((late == STARTED).sum()) / 200.0, rel=0.015)


def test_long_silences_are_blocks() -> None:
    """A window of ten seconds is counted by whole cycles and flagged; the interval holds its rate."""
    found = measure_capacity(arrivals(SlidingLog(50, 10.0), 15, 80))
    assert found.kind == "blocks"
    assert found.sustained is not None
    assert found.sustained.low <= 5.0 <= found.sustained.high


@pytest.mark.parametrize(
    ("limiter", "load", "truth"),
    [
        (lambda: FixedWindow(240, 60.0, 5.0), 12.0, 4.0),
        (lambda: FixedWindow(780, 60.0, 15.0), 39.0, 13.0),
        (lambda: Tiers([TokenBucket(12, 12), FixedTier(240)]), 4.6, 4.0),
    ],
)
def test_a_silence_from_the_first_refusal_on_belongs_to_what_was_admitted_before(
    limiter: Callable[[], Limiter], load: float, truth: float
) -> None:
    """Of a window of a minute that is full, which refuses all further calls, a run told that it sustains next to nothing."""
    found = measure_capacity(arrivals(limiter(), load, 60))
    assert found.kind == "blocks"
    assert found.sustained is not None
    assert found.sustained.low <= truth <= found.sustained.high


def test_one_token_in_ten_seconds_is_no_silence() -> None:
    """After its burst a slow bucket admits hardly anything, and that is what it sustains."""
    found = measure_capacity(arrivals(TokenBucket(0.1, 20), 3.0, 300))
    assert found.kind != "blocks"
    assert found.sustained is not None
    assert found.sustained.low <= 0.1 <= found.sustained.high < 0.2


def test_a_rest_between_refusals_is_no_silence() -> None:
    """Refused calls before and after a rest, in which nobody called, are no long turn of the limiter."""
    pressed = arrivals(default_bucket(), 15, 60)
    refused = [pressed.sent[-1] + 0.02 * number for number in range(1, 15)]
    rested = [refused[-1] + 25.0, *(refused[-1] + 25.01 + 0.02 * number for number in range(6))]
    sent = [*pressed.sent, *refused, *rested]
    outcome = [*pressed.outcome, *[THROTTLED] * len(refused), THROTTLED, *[STARTED] * 6]
    found = measure_capacity(Attempts.of(sent, [at + 0.03 for at in sent], [int(o) for o in outcome]))
    assert found.kind != "blocks"
    assert found.sustained is not None
    assert found.sustained.low <= 5 <= found.sustained.high


def test_errors_from_before_the_limiter_are_no_admissions() -> None:
    """Where the exact limiter shows that errors cost no token, they are none for any limiter either."""
    attempts = arrivals(default_bucket(), 16, 60, faults=0.12)
    tps = infer_tps(attempts)
    assert "service_error" in tps.evidence["costs_no_token"]
    found = measure_capacity(attempts, tps).sustained
    assert found is not None
    assert found.low <= 5.0 <= found.high


def test_a_plain_run_never_proves_an_exact_limiter() -> None:
    """Volleys and Poisson batches belong to the proof, so a plain run of a bucket is exact only within jitter."""
    attempts = arrivals(default_bucket(), 7.5, 60)
    found = measure_capacity(attempts, infer_tps(attempts))
    assert found.kind == "exact_within_jitter"
    assert found.exact_numbers_hold
    assert measure_capacity(attempts).kind != "exact"


def _admissions_lost(limiter: Limiter) -> tuple[float, float]:
    """Return the variance that contrary decisions give to what is admitted of a minute, a decision, and their share."""
    decisions = Decisions.of(arrivals(limiter, 45, 60, even=True))
    found = sustained_rate(decisions)
    contrary = contrary_share(decisions, np.linspace(14.0, 16.0, 41), [8.0, 15.0, 20.0])
    assert found is not None
    assert contrary is not None
    return wandering(contrary, decisions, [found]), contrary.share


def test_contrary_decisions_that_come_by_themselves_keep_an_interval_wide() -> None:
    """One decision in fifty that goes the other way changes what is admitted, however even it looks; shards in turn, whose
    contrary decisions make each other good, do not.
    """
    told = [_admissions_lost(Contrary(TokenBucket(15, 20), 0.02, random.Random(seed))) for seed in range(8)]
    assert sum(lost > 0.5 * share > 0 for lost, share in told) >= 6
    in_turn = Shards([TokenBucket(7.5, 10), TokenBucket(7.5, 10)], random.Random(1), in_turn=True)
    lost, share = _admissions_lost(in_turn)
    assert lost == 0 < share


def test_an_interval_is_no_closer_than_contrary_decisions_let_it_be() -> None:
    """Few of them may be met in a short pressure, but all of the record tells how many there are."""
    found = replace(default_found(), low=4.99, high=5.01)
    assert wider(found, 0.0) == found
    assert wider(found, 0.02).half_width == pytest.approx(1.96 * (0.02 * found.pressure / found.admitted) ** 0.5)


def default_found() -> Sustained:
    """Return what a minute at three times the rate tells of the default bucket."""
    found = measure_capacity(arrivals(default_bucket(), 15, 60)).sustained
    assert found is not None
    return found


def _short(found: Sustained, shares: Sequence[float]) -> list[Load]:
    """Return short loads of 10 seconds that sustain these shares of what was found."""
    return [Load(round(10 * share * found.estimate), 10.0) for share in shares]


@pytest.mark.parametrize(
    ("strong", "mild", "taken"),
    [
        ((0.92, 1.08, 0.95, 1.1, 1.0), (0.95, 1.05, 0.96, 1.06, 1.0), True),
        ((1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0), False),
        ((0.0, 0.4, 1.0, 0.0, 0.2), (0.9, 0.8, 0.9, 1.0, 0.0), False),  # it has to be paid for its burst
    ],
)
def test_loads_that_differ_stand_in_place_of_one(strong: Sequence[float], mild: Sequence[float], taken: bool) -> None:
    """The mean of loads that others change is told; not that of loads of which the limiter has to be paid for its burst."""
    attempts = arrivals(TokenBucket(25, 8), 75, 60, even=True)
    found = measure_capacity(attempts).sustained
    assert found is not None
    told, _ = over_several_loads(found, found, Decisions.of(attempts), _short(found, strong), _short(found, mild))
    assert (told.half_width > 0.03) == taken
    assert (told == found) == (not taken)


def test_short_loads_that_are_all_off_are_held_beside_the_long_one() -> None:
    """A limiter that adapts sustains more of short loads than of a long one; others' even calls may leave more."""
    attempts = arrivals(TokenBucket(25, 8), 75, 60, even=True)
    found = measure_capacity(attempts).sustained
    assert found is not None
    strong, mild = (_short(found, shares) for shares in ((1.1, 1.1, 1.1, 1.12, 1.1), (0.94, 0.94, 0.94, 0.92, 0.94)))
    told, told_mild = over_several_loads(found, found, Decisions.of(attempts), strong, mild)
    assert told_mild is not None
    assert told.low <= found.estimate < 1.1 * found.estimate <= told.high
    assert told_mild.low <= 0.94 * found.estimate < found.estimate <= told_mild.high
