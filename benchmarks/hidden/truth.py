"""The truth of a hidden limiter, found by simulating it alone for thousands of calls."""

from __future__ import annotations

import random

import numpy as np

from benchmarks.hidden.families import SLOW, Job
from tests.support.virtual.services import Latency, Limiter


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

    Calls go on, at the probe's pace, until the answers that are back by then hold eight refusals in ten.
    """
    limiter, rng, now, found = job.limiter(), random.Random(8), 0.0, []
    pace = max(60.0, 12 * rate)
    delay = max(1, round(pace * latency.mean))  # calls that are on their way when an answer comes back
    for _ in range(40):
        now += rest * rng.uniform(1.0, 1.2)
        arriving = sorted(now + latency.draw()[0] for _ in range(max(1, min(32, int(most)))))
        begin = last = now = arriving[0]
        recent: list[bool] = []
        count = 0
        while len(recent) < 6 * most + 400:
            got = limiter.admit(now)
            recent.append(got)
            if got:
                count, last = count + 1, now
            back = recent[:-delay]
            if back.count(False) >= 8 and back[-10:].count(False) >= 8:
                break
            now = arriving[len(recent)] if len(recent) < len(arriving) else now + 1 / pace
        found.append(count - rate * (last - begin))
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
