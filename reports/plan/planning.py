"""Plans quotas for expected chats: which limit binds first and when, who is refused, and what to request."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.counting import counted
from harness.errors import UsageError
from reports.plan.day import Day
from reports.plan.lengths import Length, with_abandoned
from reports.plan.queueing import (
    bucket_refusal,
    erlang_b,
    open_chats,
    rate_for,
    servers_for,
    window_needed,
    window_refusal,
)
from reports.plan.simulation import simulate
from reports.wording.numbers import number

MOST_RATE, MOST_BURST, MOST_CHATS = 100_000.0, 100_000.0, 10_000_000
"""Quotas and arrivals beyond these are not planned: no account has them, and the formulas would take minutes."""
_MOST_DAYS = 1_000
_STEPS = 8_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """The quotas to plan against: starts a second, burst and chats at once, and where they come from.

    With a `curve`, (arrivals a second, share refused) as measured on a limiter that is not an exact bucket, ordered by rate,
    refusals by TPS are read from it; `tps` is then the sustained rate and `burst` the burst from rest. `invalid` says why
    the run that they come from is not to be relied on. A limiter that is a `window` of so many seconds, `sliding` or fixed,
    admits `burst` calls in it.
    """

    tps: float
    burst: float
    active_chats: int
    source: str
    curve: tuple[tuple[float, float], ...] = ()
    invalid: str | None = None
    window: float | None = None
    sliding: bool = False

    def tps_refusal(self, arrivals: float) -> float:
        """The share of Poisson arrivals (1/s) that the TPS limit refuses."""
        if self.window is not None:
            return window_refusal(arrivals, self.burst, self.window, sliding=self.sliding)
        if not self.curve or arrivals <= 0:
            return bucket_refusal(arrivals, self.tps, self.burst)
        rates, shares = zip(*self.curve, strict=True)
        if arrivals > rates[-1]:  # what is beyond the sustained rate is refused
            return float(max(shares[-1], 1 - (1 - shares[-1]) * rates[-1] / arrivals))
        return float(np.interp(arrivals, rates, shares))

    def tps_needed(self, arrivals: float, refused: float) -> float:
        """The TPS quota (1/s) that refuses at most a share `refused`, its burst growing with it."""
        if self.window is not None:
            return window_needed(arrivals, refused, self.window, sliding=self.sliding) / self.window
        safe = [rate for rate, share in self.curve if share <= refused and rate > 0]
        if not safe:
            return rate_for(arrivals, refused, self.burst / self.tps)
        return arrivals * self.tps / max(safe)


@dataclass(frozen=True)
class Course:
    """A day in steps, each array (n,): `at` (s, the steps' ends), the arrival rate (1/s), the chats open if no limit
    refused any, and the share refused by each limit.
    """

    at: Array
    rates: Array
    open_chats: Array
    tps_refused: Array
    chats_refused: Array


def course(day: Day, length: Length, limits: Limits) -> Course:
    """Follow the day: the bucket by its steady state at each step's rate, the quota by M_t/G/infinity and Erlang B."""
    if day.constant:
        at, rates = np.array([day.length]), day.rates
    else:
        step = day.length / _STEPS
        at = np.arange(1.0, _STEPS + 1) * step
        rates = day.at(at - step / 2)
    cache = {rate: limits.tps_refusal(float(rate)) for rate in np.unique(rates)}
    tps_refused = np.array([cache[rate] for rate in rates])
    passed = rates * (1 - tps_refused)
    if day.constant:
        held, offered = passed * length.mean, rates * length.mean
    else:
        held, offered = (_held(day, length, each, step) for each in (passed, rates))
    chats_refused = (1 - tps_refused) * np.array([erlang_b(float(load), limits.active_chats) for load in held])
    return Course(at, rates, offered, tps_refused, chats_refused)


def _held(day: Day, length: Length, arrivals: Array, step: float) -> Array:
    """The chats open at the end of each step of a day, after as many days like it as its longest chats remember."""
    before = day.before(length.memory)
    if before > _MOST_DAYS:
        raise UsageError(
            f"the arrivals cover {number(day.length)} s, and chats that last {number(length.memory)} s are of over "
            f"{_MOST_DAYS:,} such times before; give the arrivals of a day"
        )
    steps = len(arrivals) * (before + 1)
    ages: Array = (np.arange(steps, dtype=np.float64) + 0.5) * step
    survival = length.survival(ages)
    tiled: Array = np.tile(arrivals, before + 1)
    return open_chats(tiled, step, survival)[-len(arrivals) :]


@dataclass(frozen=True)
class Abandoned:
    """Customers who leave without ending: their `share`, and the seconds after which their chats end by themselves."""

    share: float
    duration: float


SHORTEST_DURATION = 3600.0
"""The least that ChatDurationInMinutes may ask for, in seconds."""


def abandoned_chats(day: Day, length: Length, limits: Limits, abandoned: Abandoned) -> dict[str, float]:
    """What chats that nobody ends hold at the fullest moment, and what the shortest duration would leave of them.

    `length` is that of chats that are ended.
    """

    def most_open(duration: float) -> tuple[float, float]:
        run = course(day, with_abandoned(length, abandoned.share, duration), limits)
        without = course(day, with_abandoned(length, abandoned.share, 1e-9), limits)
        fullest = int(run.open_chats.argmax())
        return float(run.open_chats[fullest]), float((run.open_chats - without.open_chats)[fullest])

    (most, held), (least, left) = most_open(abandoned.duration), most_open(SHORTEST_DURATION)
    return {
        "share": abandoned.share,
        "duration_s": abandoned.duration,
        "open_chats": held,
        "peak_open_chats": most,
        "open_chats_at_60_minutes": left,
        "peak_open_chats_at_60_minutes": least,
    }


def plan(
    day: Day,
    length: Length,
    limits: Limits,
    *,
    refused: float,
    margin: float,
    seed: int = 1,
    abandoned: Abandoned | None = None,
) -> dict[str, Any]:
    """The plan as plain numbers: shares are of all arrivals, times are seconds into the day.

    `refused` is the share of customers that may be refused at the busiest moment; `margin` is added to what that needs.
    `length` is that of chats that are ended; `abandoned` says of those that are not.
    """
    left = abandoned_chats(day, length, limits, abandoned) if abandoned is not None else None
    if abandoned is not None:
        length = with_abandoned(length, abandoned.share, abandoned.duration)
    run = course(day, length, limits)
    _check_open_chats(run)
    weights = run.rates / run.rates.sum()
    fullest = int(run.open_chats.argmax())
    bucket = (limits.tps, limits.burst, limits.active_chats)
    checked = None if limits.curve or limits.window else simulate(day, length, bucket, seed)
    tps_share, chats_share = float(weights @ run.tps_refused), float(weights @ run.chats_refused)
    return {
        "schema": 1,
        "arrivals": _arrivals(day, run),
        "length": {"distribution": length.text, "mean_s": length.mean},
        "abandoned": left,
        "limits": {
            "tps": limits.tps,
            "burst": limits.burst,
            "active_chats": limits.active_chats,
            "source": limits.source,
            "invalid_run": limits.invalid,
            "window_s": limits.window,
            "measured_curve": [list(point) for point in limits.curve],
            "crossover_s": limits.active_chats / limits.tps,
        },
        "load": {
            "tps_share": float(run.rates.max()) / limits.tps,
            "peak_open_chats": float(run.open_chats[fullest]),
            "peak_open_chats_at": day.label(float(run.at[fullest]) - 1e-9),
            "active_chats_share": float(run.open_chats[fullest]) / limits.active_chats,
        },
        "binds_first": binds_first(run, day, refused),
        "refused": {
            "tps": tps_share,
            "active_chats": chats_share,
            "total": tps_share + chats_share,
            "worst_moment": float((run.tps_refused + run.chats_refused).max()),
        },
        "simulated": _simulated(checked, tps_share, chats_share),
        "request": request(run, limits, refused, margin),
    }


def _arrivals(day: Day, run: Course) -> dict[str, Any]:
    busiest = int(run.rates.argmax())
    begins, in_busiest_hour = day.busiest_hour
    return {
        "peak_per_s": float(run.rates[busiest]),
        "peak_at": day.label(float(run.at[busiest]) - 1e-9),
        "a_day": None if day.constant else day.expected,
        "busiest_hour": in_busiest_hour,
        "busiest_hour_at": begins,
    }


def _check_open_chats(run: Course) -> None:
    if (most := float(run.open_chats.max())) > MOST_CHATS:
        raise UsageError(
            f"{counted(number(most), 'chat')} would be open at once, more than can be planned ({number(MOST_CHATS)}); "
            "give fewer arrivals or a shorter length"
        )


def binds_first(run: Course, day: Day, refused: float) -> dict[str, Any]:
    """Which limit refuses more than a share `refused` of the arrivals first, and when; `limit` is None if neither does.

    At a constant rate there is no first: the limit that refuses more is named, and `at` is None.
    """
    over = {"tps": run.tps_refused > refused, "active_chats": run.chats_refused > refused}
    first = {name: float(run.at[int(mask.argmax())]) for name, mask in over.items() if mask.any()}
    if not first:
        return {"limit": None, "at": None, "at_s": None, "over": {}}
    if day.constant:
        shares = {"tps": float(run.tps_refused[0]), "active_chats": float(run.chats_refused[0])}
        return {"limit": max(first, key=lambda name: shares[name]), "at": None, "at_s": None, "over": {}}
    limit = min(first, key=lambda name: first[name])
    when = {name: {"at": day.label(at - 1e-9), "at_s": at} for name, at in first.items()}
    return {"limit": limit, "at": when[limit]["at"], "at_s": first[limit], "over": when}


def request(run: Course, limits: Limits, refused: float, margin: float) -> dict[str, Any]:
    """What to ask Service Quotas for: what keeps the busiest moment's refusals at `refused` or less, plus the margin.

    The burst is taken to grow with the rate, as AWS's documented pairs do (2 and 5, 5 and 8, 10 and 15). Half of the
    refusals are allowed to each limit. A quota that is large enough already is left as it is.
    """
    peak, held = float(run.rates.max()), float(run.open_chats.max())
    rate = limits.tps_needed(peak, refused / 2)
    chats = servers_for(held, refused / 2)
    floor = limits.curve[0][1] if limits.curve else 0.0
    wanted_rate, wanted_chats = _round_up(rate * (1 + margin), 1), _round_up(chats * (1 + margin), 10)
    return {
        "refused_at_most": refused,
        "margin": margin,
        "needed": {"tps": rate, "active_chats": chats},
        "refused_at_any_rate": floor if floor > refused / 2 else None,
        "tps": wanted_rate if wanted_rate > limits.tps else None,
        "active_chats": wanted_chats if wanted_chats > limits.active_chats else None,
    }


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step - 1e-9) * step


def _simulated(checked: Any, tps: float, chats: float) -> dict[str, Any] | None:
    """The check by simulation; it agrees within its own uncertainty, a tenth of a point, or 1 % of the share."""
    if checked is None:
        return None
    gaps = [
        abs(found[0] - formula) - max(found[1], 0.001, 0.01 * formula)
        for found, formula in ((checked.tps, tps), (checked.active_chats, chats))
    ]
    return {
        "tps": checked.tps[0],
        "tps_half_width": checked.tps[1],
        "active_chats": checked.active_chats[0],
        "active_chats_half_width": checked.active_chats[1],
        "arrivals": checked.arrivals,
        "repetitions": checked.repetitions,
        "agrees": max(gaps) <= 0,
    }


def frontier(limits: Limits, refused: float, lengths: Array) -> Array:
    """For each mean length (s), the highest constant rate (1/s) at which at most a share `refused` is refused by either."""
    return np.array([_highest_rate(limits, refused, float(mean)) for mean in lengths])


def _highest_rate(limits: Limits, refused: float, mean: float) -> float:
    low, high = 0.0, min(limits.tps, limits.active_chats / mean) * 1.5
    for _ in range(36):
        rate = (low + high) / 2
        throttled = limits.tps_refusal(rate)
        full = (1 - throttled) * erlang_b(rate * (1 - throttled) * mean, limits.active_chats)
        if throttled + full > refused:
            high = rate
        else:
            low = rate
    return low
