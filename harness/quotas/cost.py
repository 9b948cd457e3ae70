"""What measuring the capacity will take, told before the first call: seconds, calls and chats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harness.counting import counted

Goal = Literal["tps", "active-chats", "both", "safe", "journey"]
"""What a probe may look for: `both` is the limit on calls a second and that on open chats, `safe` adds the safe rates;
`journey` is the limits of the participant's operations."""
Part = Literal["look", "strong", "mild", "volleys", "settle", "safe", "even", "check", "done"]
PARTS: tuple[Part, ...] = get_args(Part)

PRESSURE, MILD = 3.0, 1.25
"""How many times the rate is offered."""
MOST_PRESSURE = 60.0
"""Longest that one pressure lasts, seconds."""
USUAL_VOLLEYS = 7
"""Volleys that it usually takes to know the rest and the burst."""
AGAIN_LOADS = 5
"""Short loads under each pressure that tell whether loads differ, of any limiter that is not exact."""
SAFE_SECONDS, MOST_SAFE_SECONDS, ENOUGH_SAFE_CALLS = 120.0, 300.0, 1500
"""How long the safe rate is looked for, seconds; where fewer than 1,500 calls fit into them, or nothing can be claimed by
then, up to the second figure."""

EXACT_SAFE_CALLS = 150
"""Calls at random moments that confirm a limiter which the exact inference explains."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds, calls and chats: estimates, for the progress line and for who has to agree."""

    seconds: float
    calls: int
    chats: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.calls + other.calls, self.chats + other.chats)

    def sentence(self) -> str:
        """Return the cost for a person."""
        chats = f" and {counted(self.chats, 'chat')}" if self.chats else ""
        return f"about {self.seconds / 60:.1f} minutes, {counted(self.calls, 'call')}{chats}"


def part_cost(part: Part, rate: float, burst: float, *, exact: bool = False) -> Cost:
    """Return what one part costs against a limiter of about `rate` a second and `burst` from rest, `exact` if it is known to
    be.
    """
    if part in ("settle", "done"):  # what more volleys cost is known once the jitter is
        return Cost(0.0, 0, 0)
    if part == "look":
        return Cost(3.0 + 5 / rate, round(60 + burst + 15 * rate), round(burst + 5 * rate))
    if part in ("strong", "mild"):
        load, more = (PRESSURE, 1.8) if part == "strong" else (MILD, 1.4)
        seconds = more * least_pressure(rate, load) + 2
        return Cost(seconds, round(load * rate * seconds), round(rate * seconds))
    if part == "volleys":
        return volleys_cost(USUAL_VOLLEYS, rate, burst)
    if part == "safe":
        offered = (
            min(0.8, max(0.4, 0.2 + 0.1 * rate)) * rate
        )  # slow limiters have small bursts, so that less of it is safe
        seconds = min(max(ENOUGH_SAFE_CALLS / offered, SAFE_SECONDS), MOST_SAFE_SECONDS)
        if exact:
            seconds = EXACT_SAFE_CALLS / offered
        return Cost(seconds, round(seconds * offered), round(seconds * offered))
    if part == "even":
        return Cost(330 / (0.9 * rate), 330, 325)
    seconds = check_time(rate)
    return Cost(seconds, round(PRESSURE * rate * seconds), round(rate * seconds))


def volleys_cost(count: int, rate: float, burst: float) -> Cost:
    """Return what `count` volleys from rest cost."""
    return Cost(count * first_rest(rate, burst), round(count * (burst + 15)), round(count * burst))


def expected_cost(
    rate: float = 5.0, burst: float = 8.0, *, safe: bool = True, even: bool = False, exact: bool = False
) -> Cost:
    """Return what the whole measurement costs, less of a limiter that is `exact`; the default is AWS's documented limit for
    StartChatContact.
    """
    left_out = {part for part, wanted in (("safe", safe), ("even", even)) if not wanted}
    total = Cost(0.0, 0, 0)
    for part in PARTS:
        if part not in left_out:
            total += part_cost(part, rate, burst, exact=exact)
    return total if exact else total + again_cost(rate, (PRESSURE * rate, MILD * rate))


def effort(goal: Goal, rate: float = 5.0, burst: float = 8.0) -> str:
    """Return what a probe for `goal` takes, for a person; the default is AWS's documented limit for StartChatContact."""
    fill = f"one chat more than the quota holds (at {rate:g}/s {500 / rate:.0f} s for 500 chats)"
    if goal == "active-chats":
        return f"it opens {fill}"
    if goal == "journey":
        return "it calls the participant's operations one by one for 2 chats, or 20 where only leaving chats drains a bucket"
    told = expected_cost(rate, burst, safe=goal == "safe", even=goal == "safe")
    limit = f"at a limit of {rate:g}/s with burst {burst:g} it takes"
    less = expected_cost(rate, burst, safe=goal == "safe", even=goal == "safe", exact=True).seconds / 60
    if goal == "tps":
        return f"{limit} {told.sentence()} ({less:.1f} minutes if it is exact)"
    calls = Cost(told.seconds, told.calls, 0)
    return f"{limit} {calls.sentence()} ({less:.1f} minutes if it is exact), and before that it opens {fill}"


def least_pressure(rate: float, load: float) -> float:
    """Return the least seconds under `load` times the rate: 60 admissions, but 12 to 20 seconds.

    It takes a limiter that adapts some seconds to do so. Mild pressure lasts 18: others' calls, which come in bouts of
    seconds, take most where least is offered.
    """
    shortest = 18.0 if load <= MILD else 12.0
    return min(max(shortest, 60 / rate), 20.0)


def check_time(rate: float) -> float:
    """Seconds of the last pressure, which has to agree with the first."""
    return min(max(5.0, 40 / rate), 20.0)


def again_time(rate: float) -> float:
    """Seconds of each short pressure after a volley, where others may use the limiter too."""
    return min(max(2.0, 36 / rate), 10.0)


def again_cost(rate: float, offered: tuple[float, ...]) -> Cost:
    """Return what the short pressures after volleys cost, at these calls a second each, at a limit of about `rate`."""
    seconds = AGAIN_LOADS * again_time(rate)
    return Cost(seconds * len(offered), round(seconds * sum(offered)), round(seconds * rate * len(offered)))


def first_rest(rate: float, burst: float) -> float:
    """Return the first rest to try, seconds: what a bucket of `burst` takes to fill, and a quarter more."""
    return 1.25 * burst / rate + 2 / rate + 0.1
