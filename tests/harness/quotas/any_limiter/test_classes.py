"""The class of a limiter, and the stages of a probe as plain data."""

import json
import random

import pytest

from harness.quotas.any_limiter.measure import measure_capacity
from harness.quotas.stages import Stage
from harness.quotas.tps.infer import infer_tps
from tests.support.virtual.records import arrivals, default_bucket
from tests.support.virtual.services import Limiter, MovedBucket, Shared, SlidingCounter, SlidingLog, TokenBucket
from tests.support.virtual.shared_limiters import Contrary, FixedTier, Penalising, Tiers


@pytest.mark.parametrize(
    ("limiter", "kinds"),
    [
        (Contrary(TokenBucket(5, 8), 0.02, random.Random(1)), {"nearly_bucket"}),
        (Shared(TokenBucket(10, 16), 4.0, random.Random(2)), {"shared", "approximate", "nearly_bucket"}),
        (SlidingLog(5, 1.0), {"window"}),
        (Penalising(TokenBucket(5, 8), 0.5), {"depends_on_pressure"}),
    ],
    ids=["contrary", "shared", "window", "penalising"],
)
def test_what_is_no_exact_bucket_is_never_called_one(limiter: Limiter, kinds: set[str]) -> None:
    """Each limiter gets a class of its kind, and not an exact one."""
    attempts = arrivals(limiter, 15, 60, seed=3)
    found = measure_capacity(attempts, infer_tps(attempts))
    assert found.kind in kinds
    assert found.sustained is not None
    assert found.sustained.low < found.sustained.estimate < found.sustained.high


@pytest.mark.parametrize("seed", [0, 2, 10])
def test_a_load_that_comes_and_goes_does_not_move_an_exact_bucket(seed: int) -> None:
    """What the same bucket would show of the same calls is the load's doing: the rate has not moved."""
    attempts = arrivals(default_bucket(), 12, 45, seed=seed, rests=(6.0, 3.0))
    found = measure_capacity(attempts, infer_tps(attempts))
    assert (found.kind, found.findings) == ("exact_within_jitter", ())


@pytest.mark.parametrize("factor", [1.06, 1.4])
def test_a_bucket_that_moves_is_not_called_exact_for_a_load_that_comes_and_goes(factor: float) -> None:
    """A rate that rises in the middle is no load's doing."""
    attempts = arrivals(MovedBucket(default_bucket(), 25.0, factor), 15, 60, seed=4, rests=(6.0, 3.0))
    assert measure_capacity(attempts, infer_tps(attempts)).kind not in {"exact", "exact_within_jitter"}


@pytest.mark.parametrize(
    ("limiter", "either_way"),
    [
        (Contrary(TokenBucket(40, 60), 0.02, random.Random(1)), True),
        (Shared(TokenBucket(40, 60), 16.0, random.Random(1)), False),
        (SlidingCounter(40, 1.0), False),
        (TokenBucket(40, 60), False),
    ],
    ids=["contrary", "shared", "sliding counter", "exact"],
)
def test_a_limiter_that_errs_either_way_is_told_from_one_that_others_use(limiter: Limiter, either_way: bool) -> None:
    """Tokens that others take are missing, and none comes too early."""
    contrary = measure_capacity(arrivals(limiter, 100, 30, seed=3)).contrary
    assert contrary is not None
    assert contrary.either_way == either_way


def test_contrary_decisions_are_counted_and_placed() -> None:
    """With 2 % contrary, the share lies in its interval, and each decision has its moment."""
    found = measure_capacity(arrivals(Contrary(default_bucket(), 0.02, random.Random(5)), 12, 120, seed=4))
    assert found.contrary is not None
    assert 0.005 < found.contrary.share < 0.06
    assert len(found.contrary.at) == found.contrary.refused + found.contrary.admitted


def test_a_plain_bucket_has_hardly_a_contrary_decision() -> None:
    """Jitter explains what there is."""
    found = measure_capacity(arrivals(default_bucket(), 12, 60, trip=0.01))
    assert found.contrary is not None
    assert found.contrary.share < 0.01


def test_a_refused_call_that_costs_a_part_of_a_token_is_named_with_its_numbers() -> None:
    """At two loads, half a token for each refusal and the bucket behind it are told in a sentence."""
    for load in (7, 12):
        found = measure_capacity(arrivals(Penalising(TokenBucket(5, 8), 0.5), load, 90, seed=4))
        assert found.kind == "depends_on_pressure"
        assert found.findings[-1].startswith("A refused call costs about 0.")
        assert "burst 8" in found.findings[-1]
    assert "0.5 of a token" in found.findings[-1]


def test_a_second_tier_that_shows_after_the_pressure_is_counted_in_whole_turns() -> None:
    """30 a second until a minute's 600 are used up: nine seconds of pressure see the first tier only, the rest of the record
    says 10 a second, in long turns, and no refused call is said to cost anything.
    """
    limiter = Tiers([TokenBucket(30, 30), FixedTier(600)])
    found = measure_capacity(arrivals(limiter, 40, 70, seed=6), None, [Stage("pressure", 1.0, 10.0, offered=40.0)])
    assert found.kind == "blocks"
    assert found.sustained is not None
    assert found.sustained.low < 10.0 < found.sustained.high
    assert found.sustained.estimate == pytest.approx(10.0, rel=0.15)
    assert not any("refused call costs" in finding for finding in found.findings)


def test_what_depends_on_the_pressure_is_held_wide() -> None:
    """A rate that is another at another pressure is left open by six per cent to each side."""
    found = measure_capacity(arrivals(Penalising(TokenBucket(5, 8), 0.5), 12, 90, seed=4))
    assert found.kind == "depends_on_pressure"
    assert found.sustained is not None
    assert found.sustained.low <= 0.94 * found.sustained.estimate
    assert found.sustained.high >= 1.06 * found.sustained.estimate


def test_stages_survive_json() -> None:
    """What a probe writes down is read back the same."""
    stage = Stage("volley", 1.5, 2.25, rest=4.0)
    assert Stage.of_json(json.loads(json.dumps(stage.to_json()))) == stage


@pytest.mark.parametrize("told", [{"kind": "nap"}, {"kind": "volley", "begin": "soon"}, {"begin": 1.0}])
def test_what_is_no_stage_is_named(told: dict[str, object]) -> None:
    """A stage that does not read says what is wrong."""
    with pytest.raises(ValueError, match="stage"):
        Stage.of_json(told)


def test_the_answer_is_plain_json() -> None:
    """Everything that goes to capacity.json is plain data, with the keys of the schema."""
    attempts = arrivals(default_bucket(), 15, 30)
    told = json.loads(json.dumps(measure_capacity(attempts, infer_tps(attempts)).to_json()))
    assert {"class", "sustained", "sustained_mild", "burst_from_rest", "safe", "contrary_share"} <= set(told)
    assert set(told["sustained"]) == {"estimate", "low", "high", "pressure", "seconds", "admitted"}
