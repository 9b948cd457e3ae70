"""Simulates a service with a token bucket and a chat quota call by call: the check on the planner's formulas."""

import heapq
from dataclasses import dataclass

import numpy as np

from reports.plan.day import Day
from reports.plan.lengths import Length

MOST_ARRIVALS = 2_000_000
"""A day with more arrivals than this is not simulated: at about 1 us a call it would keep the reader waiting."""


@dataclass(frozen=True)
class Simulated:
    """Shares of the arrivals that were refused, each as (mean, half-width of a 95 % interval over the repetitions)."""

    tps: tuple[float, float]
    active_chats: tuple[float, float]
    repetitions: int
    arrivals: int


def simulate(day: Day, length: Length, limits: tuple[float, float, int], seed: int = 1) -> Simulated | None:
    """Simulate `day` against `limits` (rate in 1/s, burst, active chats); None if it has too many arrivals.

    A constant rate is simulated from empty for five mean lengths, and then counted for at least twenty more. A day begins
    empty, or after as many days like it as its longest chats remember.
    """
    if day.constant:
        warm_up = max(5 * length.mean, length.memory)
        total = warm_up + max(20 * length.mean, 20_000 / float(day.rates[0]))
    else:
        warm_up = day.length * day.before(length.memory)
        day = day.repeated(day.before(length.memory) + 1)
        total = day.length
    expected = float(day.rates[0]) * total if day.constant else day.expected
    if expected > MOST_ARRIVALS or float(day.rates.max()) * total > 20 * MOST_ARRIVALS:  # drawn at the highest rate
        return None
    repetitions = int(np.clip(400_000 / max(expected, 1.0), 4, 40))
    shares, arrivals = [], 0
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, repetition])
        seen, refused = _once(day, length, limits, warm_up, total, rng)
        arrivals += seen
        shares.append([refused[0] / max(seen, 1), refused[1] / max(seen, 1)])
    table = np.array(shares)
    mean, spread = table.mean(axis=0), table.std(axis=0, ddof=1)
    half = 2.0 * spread / np.sqrt(repetitions)
    return Simulated((float(mean[0]), float(half[0])), (float(mean[1]), float(half[1])), repetitions, arrivals)


def _once(
    day: Day, length: Length, limits: tuple[float, float, int], warm_up: float, total: float, rng: np.random.Generator
) -> tuple[int, tuple[int, int]]:
    peak = float(day.rates.max())
    count = rng.poisson(peak * total)
    times = np.sort(rng.uniform(0.0, total, count))
    rates = np.full(count, peak) if day.constant else day.at(times)
    times = times[rng.uniform(0.0, peak, count) < rates]
    lengths = length.draw(rng, len(times))
    rate, burst, quota = limits
    tokens, filled = burst, 0.0
    ends: list[float] = []
    seen = throttled = full = 0
    for now, lasts in zip(times.tolist(), lengths.tolist(), strict=True):
        tokens = min(burst, tokens + (now - filled) * rate)
        filled = now
        counts = now >= warm_up
        seen += counts
        if tokens < 1.0:
            throttled += counts
            continue
        tokens -= 1.0
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        if len(ends) >= quota:
            full += counts
        else:
            heapq.heappush(ends, now + lasts)
    return seen, (throttled, full)
