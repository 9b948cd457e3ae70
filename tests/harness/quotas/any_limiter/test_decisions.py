"""When a limiter decided, told from calls whose outcomes take different times."""

import random

import numpy as np

from harness.quotas.any_limiter.contrary import contrary_share
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.attempts import Attempts


def test_the_work_after_a_decision_does_not_move_it() -> None:
    """Started chats that take 20 ms longer than throttles are decided at the same place of the trip: nothing is contrary."""
    rng = random.Random(1)
    tokens, last, now = 8.0, 0.0, 0.0
    sent, received, outcome = [], [], []
    for _ in range(400):
        now += rng.expovariate(8.0)
        tokens, last = min(8.0, tokens + 5.0 * (now - last)), now
        admitted = tokens >= 1.0
        tokens -= admitted
        sent.append(now - 0.003)
        received.append(now + 0.003 + rng.gauss(0, 0.0005) + (0.02 if admitted else 0.0))
        outcome.append("started" if admitted else "tps_throttled")
    decisions = Decisions.of(Attempts.of(sent, received, outcome))
    found = contrary_share(decisions, [5.0], [8.0])
    assert found is not None
    assert found.refused + found.admitted == 0
    assert np.max(np.abs(decisions.at - np.array(sent) - 0.003)) < 0.002


def test_a_candidate_among_many_is_replayed_as_one_alone() -> None:
    """Of a thousand decisions, some of them contrary: the best candidate's answer is the one that it gives by itself."""
    draw = np.random.default_rng(2)
    sent = np.cumsum(draw.exponential(0.1, 1000))
    outcome = np.where(draw.random(1000) < 0.5, "started", "tps_throttled").tolist()
    decisions = Decisions.of(Attempts.of(sent, sent + draw.gamma(2.0, 0.01, 1000), outcome))
    rates, bursts = np.linspace(3.0, 8.0, 9), [2.0, 5.0, 12.0]
    best = contrary_share(decisions, rates, bursts)
    assert best is not None
    alone = contrary_share(decisions, [best.rate], [best.burst])
    others = [found for rate in rates if (found := contrary_share(decisions, [rate], bursts)) is not None]
    assert alone is not None
    assert (alone.refused, alone.admitted) == (best.refused, best.admitted)
    assert np.array_equal(alone.at, best.at)
    assert best.share == min(one.share for one in others) > 0.1
