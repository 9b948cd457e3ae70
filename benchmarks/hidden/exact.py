"""How far the exact inference's intervals hold: latency families, two workers' clocks, and records with few throttles."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.hidden.latencies import LATENCIES, Watched
from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.quotas.attempts import THROTTLED, Attempts
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.infer import infer_tps
from tests.support.virtual.driver import probe
from tests.support.virtual.records import arrivals
from tests.support.virtual.services import Service, TokenBucket

NO_CHATS = 10**9
CLOCKS = {"two workers, clocks alike": 0.0, "two workers, 50 ms apart": 0.05, "two workers, 500 ms apart": 0.5}
THROTTLES = {"plain run, 2 throttles": 2, "plain run, 5 throttles": 5, "plain run, 20 throttles": 20}


@dataclass(frozen=True, slots=True)
class Trial:
    """One record of a true token bucket: which conditions, and the seed of its rate (2 to 50/s) and burst."""

    conditions: str
    seed: int

    def drawn(self) -> tuple[float, int]:
        """Return the rate, calls a second, and the burst."""
        rng = random.Random(self.seed)
        rate = math.exp(rng.uniform(math.log(2), math.log(50)))
        return rate, max(1, round(rate * rng.uniform(0.5, 3)))


@dataclass(frozen=True, slots=True)
class Held:
    """What was said of it: explained, the rate inside its interval (None without one), its error, the burst inside."""

    trial: Trial
    explained: bool
    inside: bool | None
    error: float | None
    burst_inside: bool | None


def trials(each: int) -> list[Trial]:
    """`each` trials under each condition."""
    return [Trial(name, seed) for seed in range(each) for name in (*LATENCIES, *CLOCKS, *THROTTLES)]


def hold(trial: Trial) -> Held:
    """Infer the limit from one record and compare."""
    rate, burst = trial.drawn()
    rng = random.Random(trial.seed + 1)
    if trial.conditions in LATENCIES:
        watched = Watched(TokenBucket(rate, burst))
        service = Service(watched, NO_CHATS, LATENCIES[trial.conditions](rng, watched))
        options = ProbeOptions("tps", max_rate=1000.0, seed=trial.seed, max_seconds=900.0)
        found = probe(service, options, plan=CapacityPlan(options)).known.tps
        assert found is not None
    elif trial.conditions in CLOCKS:
        record = arrivals(TokenBucket(rate, burst), 2 * rate, min(60.0, 1500 / rate), seed=trial.seed + 2)
        found = infer_tps(_by_two_clocks(record, CLOCKS[trial.conditions]))
    else:
        record = arrivals(TokenBucket(rate, burst), 1.1 * rate, min(300.0, 3000 / rate), seed=trial.seed + 3)
        found = infer_tps(_until(record, THROTTLES[trial.conditions]))
    return _compare(trial, found, rate, burst)


def _compare(trial: Trial, found: TpsEstimate, rate: float, burst: int) -> Held:
    told = found.rate
    inside = None
    if told.low is not None or told.high is not None:
        inside = (told.low or 0.0) <= rate <= (told.high if told.high is not None else math.inf)
    size = found.burst
    burst_inside = None
    if size.low is not None or size.high is not None:
        burst_inside = (size.low or 0.0) <= burst <= (size.high if size.high is not None else math.inf)
    error = None if told.estimate is None else abs(told.estimate / rate - 1)
    return Held(trial, found.verdict == "explained", inside, error, burst_inside)


def _by_two_clocks(record: Attempts, apart: float) -> Attempts:
    """Every other call as a second worker recorded it, whose clock is `apart` seconds ahead."""
    second = np.arange(len(record)) % 2 * apart
    return Attempts.of(record.sent + second, record.received + second, record.outcome)


def _until(record: Attempts, throttles: int) -> Attempts:
    """The record up to a few calls after so many throttles."""
    met = np.flatnonzero(record.outcome == THROTTLED)
    last = int(met[min(throttles, len(met)) - 1]) if len(met) else len(record) - 1
    return replace(record.where(np.arange(len(record)) <= last))


def table(held: Sequence[Held]) -> str:
    """Coverage of the exact inference's intervals by condition, in Markdown."""
    rows = [
        "| buckets of 2 to 50/s | runs | explained | rate inside (99 %) | burst inside | rate error: median, most |",
        "|" + " --- |" * 6,
    ]
    for name in (*LATENCIES, *CLOCKS, *THROTTLES):
        some = [line for line in held if line.trial.conditions == name]
        if not some:
            continue
        errors = [100 * line.error for line in some if line.error is not None and line.explained]
        shown = f"{np.median(errors):.2f} %, {max(errors):.2f} %" if errors else "-"
        rows.append(
            f"| {name} | {len(some)} | {sum(line.explained for line in some)} "
            f"| {_of([line.inside for line in some])} | {_of([line.burst_inside for line in some])} | {shown} |"
        )
    return "\n".join(rows)


def _of(flags: Sequence[bool | None]) -> str:
    known = [flag for flag in flags if flag is not None]
    return f"{sum(known)} of {len(known)}"
