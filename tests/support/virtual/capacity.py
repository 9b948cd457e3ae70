"""Runs the plan for any limiter against a hidden one, in virtual time."""

import random

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from tests.support.virtual.driver import Probed, probe
from tests.support.virtual.records import NO_QUOTA
from tests.support.virtual.services import (
    Latency,
    Limiter,
    Service,
)


def measured(
    limiter: Limiter,
    *,
    chats: int = NO_QUOTA,
    goal: str = "tps",
    safe: bool = True,
    even: bool = False,
    **options: float,
) -> tuple[CapacityPlan, Probed]:
    """Run the whole plan against a limiter with round trips of 30 ms."""
    rng = random.Random(5)
    told = ProbeOptions(goal, max_rate=500.0, seed=1, **options)  # type: ignore[arg-type]
    plan = CapacityPlan(told, safe=safe, even=even)
    done = probe(Service(limiter, chats, Latency(0.03, 0.1, 0.5, rng)), told, plan=plan)
    return plan, done


def claimed(plan: CapacityPlan) -> float:
    """Return the safe rate of calls at random moments that the plan claims: there has to be one."""
    assert plan.estimate is not None
    assert plan.estimate.safe is not None
    assert plan.estimate.safe.poisson is not None
    return plan.estimate.safe.poisson.low
