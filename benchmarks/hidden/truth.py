"""The truth of a hidden limiter, found by simulating it alone for thousands of calls."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import replace

import numpy as np

from benchmarks.hidden.families import KEEPS_STEP, SLOW, Job
from tests.support.virtual.services import Latency, Limiter

_VOLLEYS = 200
"""Nodes that agree late admit from a third to twice the mean in a volley: 40 volleys left 6 % of chance in it."""
_NEARLY_SAFE = 0.009
_STARTS = 48
"""Loads, each on a limiter that has rested, over which a rate is averaged that depends on when the load began."""


def _dithered(rate: float, calls: int, rng: random.Random, latency: Latency, now: float = 0.0) -> list[float]:
    """The moments at which dithered calls arrive that are sent at `rate` a second from `now` on."""
    due = now + np.cumsum([rng.uniform(0.5, 1.5) for _ in range(calls)]) / rate
    return sorted(at + latency.draw()[0] for at in due.tolist())


def _admitted(limiter: Limiter, arriving: list[float]) -> tuple[float, float]:
    """The share admitted of the calls `arriving`, and those admitted a second; the first fifth is left out."""
    lead = max(len(arriving) // 5, 1)
    admitted = [limiter.admit(now) for now in arriving][lead:]
    span = arriving[-1] - arriving[lead - 1]
    return sum(admitted) / max(len(admitted), 1), sum(admitted) / max(span, 1e-9)


def true_rate(job: Job, latency: Latency, at: float) -> float:
    """Admitted a second while `at` are offered, in the long run; the calls come as the probe's do.

    Where others' even calls keep their place between the limiter's tokens until it has rested, one load however long shows
    one such place: there it is the mean of many loads, that begin at any moment.
    """
    rng = random.Random(9)
    alike = replace(latency, rng=random.Random(10))
    if job.family in KEEPS_STEP:
        calls = int(max(600.0, 75.0 * at))
        loads = [_dithered(at, calls, rng, alike, rng.uniform(0.0, 10.0)) for _ in range(_STARTS)]
        return float(np.mean([_admitted(job.limiter(), load)[1] for load in loads]))
    slow = job.family in SLOW or "on and off" in job.family  # which show themselves in an hour
    most = 4_000_000 if slow else 200_000
    return _admitted(job.limiter(), _dithered(at, int(min(max(4000.0, 6000.0 * at), most)), rng, alike))[1]


def true_burst(job: Job, latency: Latency, rest: float, most: float, rate: float) -> float:
    """Mean admissions of volleys after `rest` seconds, less the refill, called as the probe calls.

    As many at once as the largest volley (`most`) admitted, 32 at the most; then calls go on, at the probe's pace, until
    of the last ten answers that are back by then eight are refusals.
    """
    limiter, rng, end, found = job.limiter(), random.Random(8), 0.0, []
    pace = max(60.0, 12 * rate)
    for _ in range(_VOLLEYS):
        sent = end + rest * rng.uniform(1.0, 1.2)
        at = sorted(sent + latency.draw()[0] for _ in range(max(1, min(32, int(most)))))
        admitted = [limiter.admit(now) for now in at]
        for number in range(1, int(6 * most) + 400):
            due = max(at[-1], sent + number / pace + latency.draw()[0])
            back = bisect_right(at, due - latency.mean)
            if admitted[max(0, back - 10) : back].count(False) >= 8:
                break
            at.append(due)
            admitted.append(limiter.admit(due))
        end = at[-1]
        times = [now for now, got in zip(at, admitted, strict=True) if got]
        found.append(len(times) - rate * (times[-1] - at[0]) if times else 0.0)
    return float(np.mean(found[2:]))


def refused_share(job: Job, rate: float, calls: int) -> float:
    """The share of Poisson arrivals at `rate` a second that is refused."""
    rng = random.Random(7)
    now, arriving = 0.0, []
    for _ in range(calls):
        now += rng.expovariate(1.0) / rate
        arriving.append(now)
    return 1 - _admitted(job.limiter(), arriving)[0]


def safe_truth(job: Job, rate: float) -> float:
    """The rate at which 1 % of Poisson arrivals is refused, between 0.15 and 1.1 of `rate`; 0 where there is none.

    There is none, either, where nearly 1 % is refused at any load, as of decisions of which one in a hundred goes the other
    way: by how little it is less no search tells.
    """
    if refused_share(job, 0.1 * rate, 50_000) > _NEARLY_SAFE:
        return 0.0
    low, high = 0.1 * rate, 1.1 * rate
    for _ in range(7):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if refused_share(job, middle, 12_000) <= 0.01 else (low, middle)
    return 0.5 * (low + high) if low + high > 0.3 * rate else 0.0
