"""What is computed for many rates or moments at once is what each gives by itself."""

import numpy as np
import pytest
from scipy.special import ndtr

from harness.quotas.attempts import STARTED, THROTTLED, Attempts
from harness.quotas.tps import rate as rates_of
from harness.quotas.tps.bucket import Record, _inside
from harness.quotas.tps.rate import Judged
from harness.quotas.tps.replay import admitted_in_turn
from harness.quotas.tps.timing import Calls


def _record(deficit: float = 0.0, *, refused: bool = True) -> Record:
    draw = np.random.default_rng(5)
    sent = np.cumsum(draw.exponential(1 / 40, 900))
    admitted = np.array(admitted_in_turn(sent, float(sent[0]), 20.0, 30.0, 30.0 - deficit))
    if not refused:
        sent, admitted = sent[admitted], admitted[admitted]
    attempts = Attempts.of(sent, sent + draw.lognormal(-3.5, 0.5, len(sent)), np.where(admitted, STARTED, THROTTLED))
    calls = Calls.of(attempts, admitted, ~admitted)
    return Record.of(calls, (0.5, 0.5), calls.typical_spread, deficit)


@pytest.mark.parametrize("record", [_record(), _record(7.5), _record(refused=False)])
@pytest.mark.parametrize("at_once", [1, 5_000, 1_000_000])
def test_many_rates_at_once_disagree_as_much_as_each_does(
    record: Record, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates_of, "_AT_ONCE", at_once)
    judged, rates = Judged.of(record), np.append(np.geomspace(0.5, 400, 50), 20.0)
    alone = [judged.disagreement(float(rate))[0] for rate in rates]
    assert judged.disagreements(rates) == pytest.approx(alone, rel=1e-12, abs=1e-15)


def test_a_moment_lies_in_the_spans_near_it_as_surely_as_in_any() -> None:
    draw = np.random.default_rng(3)
    edges = np.sort(draw.uniform(0, 10, 400))
    begin, end = edges[::2], np.append(edges[1:-1:2], np.inf)
    at, spread = np.sort(draw.uniform(-1, 12, 300)), draw.uniform(0.001, 0.05, 300)
    mass = ndtr((end - at[:, None]) / spread[:, None]) - ndtr((begin - at[:, None]) / spread[:, None])
    assert _inside(begin, end, at, spread) == pytest.approx(mass.sum(axis=1), abs=1e-10)


def test_without_spans_no_moment_lies_in_one() -> None:
    assert _inside(np.empty(0), np.empty(0), np.array([1.0, 2.0]), np.ones(2)).tolist() == [0.0, 0.0]
