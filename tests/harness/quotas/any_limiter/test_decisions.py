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
