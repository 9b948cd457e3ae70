"""What is said of chat quotas that are not plain: late counts, late slots, chats that end by themselves, others' chats."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from tests.support.virtual.driver import probe
from tests.support.virtual.living import Living
from tests.support.virtual.services import Latency, TokenBucket


@dataclass(frozen=True, slots=True)
class Quota:
    """One hidden quota: its family and the seed of its size (50 to 250) and of the limiter (5 to 15/s)."""

    family: str
    seed: int


@dataclass(frozen=True, slots=True)
class Said:
    """What the probe said of it beside the truth."""

    quota: Quota
    truth: int
    exact: bool
    right: bool
    low: float | None
    high: float | None
    seconds: float


FAMILIES = (
    "plain",
    "plain, 2 % faults",
    "counted 0.5 to 2 s late",
    "freed slots 2 to 60 s late",
    "chats end by themselves",
    "others hold some all the time",
    "others come and go",
)


def quotas(each: int) -> list[Quota]:
    """`each` hidden quotas of each family."""
    return [Quota(family, seed) for seed in range(each) for family in FAMILIES]


def _service(quota: Quota, rng: random.Random) -> Living:
    rate = rng.uniform(5, 15)
    service = Living(
        TokenBucket(rate, round(1.6 * rate)),
        rng.choice([50, 100, 250]),
        Latency(0.03, 0.1, 0.5, random.Random(quota.seed)),
    )
    if quota.family == "plain, 2 % faults":
        service.fault_share = 0.02
    elif quota.family == "counted 0.5 to 2 s late":
        service.count_lag = rng.choice([0.5, 1.0, 2.0])
    elif quota.family == "freed slots 2 to 60 s late":
        service.slot_lag = rng.choice([2.0, 10.0, 60.0])
    elif quota.family == "chats end by themselves":
        service.lives = rng.choice([60.0, 300.0])
    elif quota.family == "others hold some all the time":
        service.others_hold = service.active_chats // 5
    elif quota.family == "others come and go":
        service.others = 0.2 * service.active_chats
    return service


def say(quota: Quota) -> Said:
    """Probe one service and compare: what it holds for us is right where others hold some all the time."""
    service = _service(quota, random.Random(quota.seed + 5))
    truth = service.active_chats - service.others_hold
    options = ProbeOptions("both", max_rate=500.0, seed=quota.seed, max_seconds=900.0)
    done = probe(service, options, plan=CapacityPlan(options))
    found = done.known.active_chats
    assert found is not None
    chats = found.chats
    low, high = chats.low or 0.0, chats.high if chats.high is not None else math.inf
    return Said(quota, truth, chats.exact, low <= truth <= high, chats.low, chats.high, done.seconds)


def table(said: Sequence[Said]) -> str:
    """How often each family's quota was called exact, rightly or wrongly, in Markdown."""
    rows = [
        "| chat quota (50 to 250) | runs | exact, right | exact, wrong | a range that holds it | a range that does not |",
        "|" + " --- |" * 6,
    ]
    for family in FAMILIES:
        some = [line for line in said if line.quota.family == family]
        if not some:
            continue
        counts = [
            sum(line.exact == exact and line.right == right for line in some)
            for exact, right in ((True, True), (True, False), (False, True), (False, False))
        ]
        rows.append(f"| {family} | {len(some)} | {' | '.join(map(str, counts))} |")
    return "\n".join(rows)
