"""The truth of a hidden limiter, found by simulating it alone for thousands of calls."""

from __future__ import annotations

import random
from bisect import bisect_right

import numpy as np

from benchmarks.hidden.families import SLOW, Job
from tests.support.virtual.services import Latency, Limiter

_VOLLEYS = 200
"""Nodes that agree late admit from a third to twice the mean in a volley: 40 volleys left 6 % of chance in it."""


def _admitted(limiter: Limiter, rate: float, calls: int, rng: random.Random, form: str) -> tuple[float, float]:
    """The share admitted of `calls` at `rate` a second ("poisson" or "dithered"), and those admitted a second; the first
    fifth is left out.
    """
    now, lead, admitted, begin = 0.0, max(calls // 5, 1), 0, 0.0
    for number in range(calls):
        now += (rng.expovariate(1.0) if form == "poisson" else rng.uniform(0.5, 1.5)) / rate
        got = limiter.admit(now)
        if number < lead:
            begin = now
        else:
            admitted += got
    return admitted / max(calls - lead, 1), admitted / max(now - begin, 1e-9)


def true_rate(job: Job, at: float) -> float:
    """Admitted a second while `at` are offered, in the long run."""
    seconds = 3000.0 if job.family in SLOW or "on and off" in job.family else 600.0
    calls = int(min(max(4000.0, at * seconds), 200_000))
    return _admitted(job.limiter(), at, calls, random.Random(9), "dithered")[1]


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
    return 1 - _admitted(job.limiter(), rate, calls, random.Random(7), "poisson")[0]


def safe_truth(job: Job, rate: float) -> float:
    """The rate at which 1 % of Poisson arrivals is refused, between 0.1 and 1.1 of `rate`."""
    low, high = 0.1 * rate, 1.1 * rate
    for _ in range(7):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if refused_share(job, middle, 12_000) <= 0.01 else (low, middle)
    return 0.5 * (low + high)
