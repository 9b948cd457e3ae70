"""What an exact limiter would have answered to the same calls: what it would show too speaks of the load, not against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.quotas.any_limiter.classes import explained
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import Sustained
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.replay import admitted_in_turn


def of_exact_bucket(decisions: Decisions, tps: TpsEstimate | None) -> Decisions | None:
    """Return `decisions` as the token bucket that `tps` names would have made them; None where it names none."""
    if tps is None or explained(tps) != "token_bucket" or not tps.rate.estimate or not tps.burst.estimate:
        return None
    rate, burst = tps.rate.estimate, max(1.0, tps.burst.estimate)
    level = burst - float(tps.evidence.get("deficit_at_start", 0.0))
    if not len(decisions):
        return decisions
    admitted = admitted_in_turn(decisions.at, float(decisions.at[0]), rate, burst, level)
    return replace(decisions, admitted=np.array(admitted, bool))


def beyond(found: Sustained, expected: Sustained | None) -> Sustained:
    """Return `found`, flagged only for what is not `expected`: a load that comes and goes makes a rate seem to move."""
    if expected is None:
        return found
    return replace(found, moved=found.moved and not expected.moved, blocks=found.blocks and not expected.blocks)
