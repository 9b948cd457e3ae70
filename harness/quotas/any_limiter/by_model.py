"""What an exact limiter that is known says: what it would have answered to the same calls, and its safe rate.

What it would show too speaks of the load, not against it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.quotas.any_limiter.blocking import load_refused, window_load_refused
from harness.quotas.any_limiter.classes import explained
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import LimiterClass, Safe, Sustained
from harness.quotas.any_limiter.safe import REFUSED_SHARE
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.replay import admitted_in_turn

_NOT_TAKEN, _BY_CHANCE = 0.03, 0.01
"""Shares of a window's calls that a steady load may leave, as it comes after they are free, and by which it may be more."""
_CLAIMED_OF_EXACT = 0.8
"""Share of 1 % that an exact limiter refuses at the claim: what is counted in some minutes scatters around the share."""
_WINDOWS_SCATTER = 30.0
"""Seconds of a window from which less is claimed, as ten minutes hold so few of them that their refusals scatter more."""
_OF_EXACT = 0.97
"""No safe rate is claimed over this share of an exact limiter's: the closer to it, the longer a full minute is felt."""


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


def in_windows(found: Sustained, tps: TpsEstimate) -> Sustained:
    """Return what is sustained of windows of which too few were seen to count, by the window that explains each decision.

    Less than its calls are admitted where they come later than a place is free.
    """
    rate = tps.rate
    if not found.blocks or not rate.estimate or rate.low is None or rate.high is None:
        return found
    if not found.low <= rate.estimate <= found.high:
        return found
    low, high = max(found.low, (1 - _NOT_TAKEN) * rate.low), min(found.high, (1 + _BY_CHANCE) * rate.high)
    return replace(
        found, estimate=rate.estimate, low=low, high=high, pressure=found.pressure * found.estimate / rate.estimate
    )


def of_model(safe: Safe, kind: LimiterClass, tps: TpsEstimate | None) -> Safe:
    """Return the answer with what is claimed of an exact limiter or a window, where it is one: its model says it."""
    if tps is not None and kind == "exact":
        return of_exact(safe, tps)
    return of_window(safe, tps) if tps is not None and kind == "window" else safe


def of_exact(safe: Safe, tps: TpsEstimate) -> Safe:
    """Return the safe rate of a proved token bucket, which follows from its rate and burst."""
    rate, burst = tps.rate, tps.burst
    if safe.poisson is None or rate.estimate is None or rate.low is None or burst.low is None:
        return safe
    load = float(load_refused(REFUSED_SHARE, np.array([burst.estimate or burst.low]))[0])
    claimed = float(load_refused(_CLAIMED_OF_EXACT * REFUSED_SHARE, np.array([burst.low]))[0])
    low = rate.low * min(claimed, _OF_EXACT)
    estimate = max(low, min(rate.estimate * load, rate.estimate))
    return replace(safe, poisson=replace(safe.poisson, estimate=estimate, low=low))


def of_window(safe: Safe, tps: TpsEstimate) -> Safe:
    """Return the safe rate of a window of time that explains every decision, which follows from its calls and seconds."""
    rate, limit = tps.rate, tps.burst.estimate
    if safe.poisson is None or not rate.estimate or rate.low is None or limit is None:
        return safe
    sliding = tps.limiter == "sliding_window"
    of_few = math.sqrt(1 + float(tps.evidence.get("window_seconds", 0.0)) / _WINDOWS_SCATTER)
    load, claimed = (
        window_load_refused(share, round(limit), sliding=sliding)
        for share in (REFUSED_SHARE, _CLAIMED_OF_EXACT * REFUSED_SHARE / of_few)
    )
    return replace(safe, poisson=replace(safe.poisson, estimate=rate.estimate * load, low=rate.low * claimed))
