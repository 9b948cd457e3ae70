"""The quota probe's plan for a capacity that holds for any limiter: pressure, volleys, safe rate, check. Pure."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from harness.load.probe.actions import Action, Reconnect
from harness.load.probe.first_rate import first_rate
from harness.load.probe.parts import PlanParts, is_mild, known, known_for_a_while, turns_missing
from harness.quotas.any_limiter.burst import burst_from_rest
from harness.quotas.any_limiter.classes import DECISIONS_OF_PROOF, explained
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import AnyLimiterEstimate, Sustained
from harness.quotas.any_limiter.measure import SoFar, known_so_far, measure_capacity, search_of
from harness.quotas.any_limiter.safe import Batch, least_seconds, next_batch, next_even
from harness.quotas.any_limiter.sustained import sustained_rate
from harness.quotas.cost import (
    EXACT_SAFE_CALLS,
    MILD,
    MOST_PRESSURE,
    PARTS,
    PRESSURE,
    USUAL_VOLLEYS,
    Cost,
    Part,
    again_cost,
    check_time,
    least_pressure,
    part_cost,
    volleys_cost,
)
from harness.quotas.round_trips import RoundTrips
from harness.quotas.stages import Stage, StageKind

_WORTH_A_PRESSURE, _BETTER_THAN_FIRST = 0.035, 0.15
"""Half of the sustained rate's interval, as a share, at which a fill takes the place of a pressure of its own, and at which
it tells the rate better than the first look did."""
_LONGEST_CHECK = 150.0
"""Longest that the last pressure lasts to prove an exact limiter, seconds."""
_LONGEST_TURNS = 200.0
"""Longest that a limiter is pressed to see it admit and refuse in two whole turns: three of a minute, and a part of one."""
_CONTRARY_OF_NONE = 0.02
"""Share of contrary decisions from which no exact bucket is hoped for."""
_CONFIRMS = 0.5
"""Share of its rate from which an exact limiter is offered random calls: they confirm it sooner where some are refused."""
_FULL = 12
"""So many refusals by the quota in a row hide the rate."""
_FEW_ADMITTED = 0.08
"""Share of the first calls, offered fast, below which less is offered too: some limiters count the calls they refuse."""
_NONE_ADMITTED = 0.02
"""The same under a pressure of three times the rate."""
_BELOW = 0.9
"""Share of what a limiter that counts refused calls admits at best which it is offered, to go on admitting."""
_ONE_WAY = 0.7
"""Share of the round trips' spread that one way has, of two alike."""
_TOLD_BY_FEW, _VOLLEYS_FOR_ONE = 0.35, 15.0
"""Tokens within a jitter up to which a few volleys tell the burst, and how many do where one token comes in a jitter: in
replays of n volleys it varies by 0.63 / sqrt(n) of the tokens within a jitter, and 0.16 leave one whole number."""
_VOLLEYS_AT_A_TIME, _MOST_MORE = 8, 20


@dataclass
class CapacityPlan(PlanParts):
    """Measures sustained rate, burst from rest and class; with `safe` the safe rate too, with `even` that of even arrivals.

    Both are left out unless the goal is `safe`, or they are asked for. Where the quota of active chats is a goal too, the
    instance is filled under mild pressure first, and what follows is measured while it is full: then a call that the
    limiter admits is refused by the quota, and costs no chat.

    Driven as `ProbePlan` is. `stages` says afterwards, and while it runs, which part of the record is which; `estimate` is
    the answer; `outlook` what the rest will cost.
    """

    safe: bool | None = None
    even: bool | None = None
    estimate: AnyLimiterEstimate | None = None
    doing_part: Part = "look"
    _jitter: float = 0.0
    _filled_under_pressure: bool = False
    _check_lasts: float = 0.0
    _turns_until: float = 0.0
    """When a pressure ends at the latest that waits for whole turns of the limiter; 0 where none does."""
    _pressed: float = 0.0
    """Calls a second of the strong pressure; 0 before it, and where a climb found that less has to be offered."""

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = self.options.goal == "safe"
        self.safe = asked if self.safe is None else self.safe
        self.even = asked if self.even is None else self.even

    def outlook(self) -> Cost:
        """Return what is still to come, from the part that is being done on, by what is known of the limiter, within
        the time.
        """
        total = self._cost_from(self.doing_part, self._rate or 5.0)
        left = max(0.0, self._within_time(math.inf) - self._now)
        chats = total.chats if self.options.goal == "tps" or self._costless else 0
        return Cost(min(total.seconds, left), total.calls, chats)

    def line(self) -> str:
        """Return what is known and what is still to come, in one line."""
        told = self.known.line(self.open_chats)
        if self.options.goal == "active-chats" or self.doing_part == "done":
            return told
        return f"{told}; to come: {self.outlook().sentence()}"

    def findings(self) -> list[str]:
        """Return what was found, in sentences."""
        told = super().findings()
        if self.estimate is not None and self.options.goal != "active-chats":
            told.insert(min(len(told), 1), self.estimate.sentence())
        return told

    # -- the script -------------------------------------------------------------------------------------------------------

    def _run(self) -> Iterator[Action]:
        if self.options.goal == "active-chats":
            yield from super()._run()
            return
        yield from self._look()
        if self.options.goal != "tps":
            yield from self._fill()
        if self.known.throttled:
            yield from self._measure()
        self.doing_part = "done"
        if self.options.goal != "tps":
            yield from self._confirm_chats()
        self.known.doing = "computing the limits"
        yield from self._quiet()
        yield from self._infer()
        self._conclude()

    def _measure(self) -> Iterator[Action]:
        self.doing_part = "strong"
        attempts = self.attempts()
        self._jitter = _ONE_WAY * RoundTrips.of(attempts.received - attempts.sent, attempts.outcome).steadiest
        first, begin = self._rate, self._now
        yield from self._sustain(PRESSURE, "pressure", least_pressure(self._rate, PRESSURE), MOST_PRESSURE)
        pressed = self._decisions(begin, self._now)
        if not self._best and len(pressed.admissions) < _NONE_ADMITTED * len(pressed) and not self._over():
            yield from self._climb(0.5 * first)
        if not self._best and self.stages:
            self._pressed = self.stages[-1].offered
        self.doing_part = "mild"
        if not (self._filled_under_pressure or self._best):
            found = yield from self._sustain(MILD, "pressure", least_pressure(self._rate, MILD), MOST_PRESSURE)
            if found is not None and found.blocks and not is_mild(found.pressure):
                yield from self._sustain(MILD, "pressure", least_pressure(self._rate, MILD), MOST_PRESSURE)
        self.doing_part = "volleys"
        yield from self._volleys()
        self.doing_part = "settle"
        yield from self._settle_burst()
        if self.safe and not self._over():
            self.doing_part = "safe"
            yield from self._quiet()
            if self._may_be_exact():
                yield from self._infer()
            yield from self._find_safe()
        if self.even and not self._over():
            self.doing_part = "even"
            yield from self._find_even()
        self.doing_part = "check"
        if (
            self.stages and self.stages[-1].kind == "volley"
        ):  # which some limiters have to pay for: wait until that is done
            yield from self._until_admitted(PRESSURE * self._rate)
        yield from self._quiet()
        yield Reconnect()  # a service in parts may pin connections: all of them may have met the same part
        self._check_lasts = self._check_seconds()
        yield from self._sustain(PRESSURE, "check", self._check_lasts, self._check_lasts, self._pressed)

    def _fill(self) -> Iterator[Action]:
        """Start chats under mild pressure until the quota refuses some: what was admitted until then tells the rate too."""
        if self._costless:  # it was met, and more chats would be stopped again to keep places free
            return
        if not self.known.throttled:
            yield from super()._fill()
            return
        self.known.doing = "filling to the chat quota"
        self.doing_part = "mild"
        pressed = yield from self._fill_pressing((_BELOW if self._best else MILD) * self._rate, self._has_to_go_on)
        found = sustained_rate(self._decisions(pressed.begin, pressed.end), emptied=True)
        if found is None or not is_mild(found.pressure):
            return
        if found.half_width < _BETTER_THAN_FIRST:
            self._rate = max(found.estimate, self._best)
        lasted = pressed.end - pressed.begin >= least_pressure(self._rate, MILD)
        self._filled_under_pressure = lasted and known(found, _WORTH_A_PRESSURE)
        if self._filled_under_pressure:
            self.stages.append(pressed)

    def _has_to_go_on(self) -> bool:
        """Return whether the time that is left is needed for what is measured after the fill; half of all is at most."""
        needed = self._cost_from("strong", self._rate).seconds
        left = self._within_time(math.inf) - self._now
        return left < min(1.2 * needed + 10.0, 0.5 * self.options.max_seconds)

    def _cost_from(self, first: Part, rate: float) -> Cost:
        """Return what the parts from `first` on cost against a limiter of about `rate` a second."""
        total, exact = Cost(0.0, 0, 0), explained(self.known.tps) == "token_bucket"
        for part in PARTS[PARTS.index(first) :]:
            if (part != "safe" or self.safe) and (part != "even" or self.even):
                total += part_cost(part, rate, self._first_burst, exact=exact)
        if PARTS.index(first) <= PARTS.index("settle"):
            total += volleys_cost(self._more_volleys(), rate, self._first_burst)
        if PARTS.index(first) <= PARTS.index("volleys"):
            total += again_cost(rate, self._again)
        longer = max(0.0, self._check_lasts - check_time(rate)) + max(0.0, self._turns_until - self._now)
        return total + Cost(longer, round(PRESSURE * rate * longer), round(rate * longer))

    def _look(self) -> Iterator[Action]:
        """Return a first burst and a first rate."""
        yield from self._drain(32)
        if not self.known.throttled and self._costless:
            yield from self._make_room(self._quota)
            yield from self._drain(32)
        yield from self._quiet()
        first = Decisions.of(self.attempts())
        self._first_burst = max(1.0, float(first.admitted.sum()))
        self.known.burst = (1.0, self._first_burst)
        if self.known.throttled:
            yield from self._coarse()

    def _coarse(self) -> Iterator[Action]:
        """Make calls among which refusals are the most part, until the rate shows: a first idea of it.

        A dozen admissions are enough where they come steadily; where they come in turns, two whole turns have to be seen.
        """
        self.known.doing = "looking for the rate"
        top = 0.95 * self.options.max_rate
        pace = slow = min(30.0, 0.5 * self.options.max_rate)
        costless = self._costless
        begin, until = self._now, self._now + MOST_PRESSURE
        first = first_rate(self._decisions(begin, self._now))
        while not self._over() and self._now < until:
            yield from self._offer(pace, self._reached(self._now + max(0.5, min(15 / pace, 2.0))))
            yield from self._quiet(0.5)
            seen = self._decisions(begin, self._settled)
            first = first_rate(seen)
            full = self._full_streak > _FULL  # which says nothing of the rate, unless calls are throttled now and then
            enough = len(seen.refusals) >= 0.35 * len(seen) and not full
            if self._costless and not costless:
                costless, pace, begin = True, slow, self._now
            elif not enough and len(seen) > 12 and pace < top:
                pace, begin = min(pace * 1.6, top), self._now
            elif first.known and not full and (enough or pace >= top):
                break
            elif first.silence > 3.0:
                pace = max(PRESSURE * first.rate, min(pace, 12.0))
        self._rate = first.rate or 1.0
        yield from self._quiet()
        seen = self._decisions(begin, self._now)
        if len(seen) and len(seen.admissions) < _FEW_ADMITTED * len(seen):
            yield from self._climb(max(2 * self._rate, 0.5))
        self.known.rate = (0.7 * self._rate, 1.4 * self._rate)

    def _sustain(
        self, pressure: float, kind: StageKind, least: float, most: float, offered: float = 0.0
    ) -> Generator[Action, None, Sustained | None]:
        """Press for `least` seconds, and on until the rate is known closely enough or `most` seconds are over.

        A limiter that admits in turns is pressed until two whole ones were seen, while there is time for what comes after.
        What is `offered` is `pressure` times the rate, unless it is given. Returns what was sustained.
        """
        if self._over():
            return None
        self.known.doing = f"measuring the sustained rate at {pressure:g} times the load"
        begin, looked = self._now, self._now
        offered = offered or min(pressure * self._rate, 0.95 * self.options.max_rate)

        def enough() -> bool:
            nonlocal looked
            lasted = self._now - begin
            due = self._now - looked >= max(1.0, 0.08 * lasted) or looked < begin + most <= self._now
            if lasted < least or not due:
                return False
            looked = self._now
            seen = self._decisions(begin, self._settled)
            if lasted < most:
                return known_for_a_while(seen, lasted)
            if kind == "check" or not turns_missing(seen) or not self._time_for_turns(lasted):
                return True
            self.known.doing = (
                f"pressing on at {pressure:g} times the load, until two whole turns of the limiter were seen"
            )
            self._turns_until = begin + _LONGEST_TURNS
            return False

        yield from self._offer(offered, enough)
        self._turns_until = 0.0
        yield from self._quiet()
        self.stages.append(Stage(kind, begin, self._now, offered))
        found = sustained_rate(self._decisions(begin, self._now), emptied=True)
        if found is not None and kind == "pressure":
            self._rate = max(found.estimate, self._best)
            self.known.rate = (found.low, found.high)
        return found

    def _time_for_turns(self, lasted: float) -> bool:
        """Return whether a pressure may go on after so many seconds, to see whole turns, and leave time for the volleys."""
        later = self._cost_from("volleys", self._rate).seconds
        return lasted < _LONGEST_TURNS and self._within_time(math.inf) - self._now > later

    def _settle_burst(self) -> Iterator[Action]:
        """Make more volleys where tokens come closer than the jitter: only many of them tell the burst."""
        rested = burst_from_rest(self._volleys_made)
        while rested is not None and rested.enough and self._time_for_volleys():
            self.known.doing = "computing the burst"
            yield from self._quiet()
            yield from self._infer()
            tps = self.known.tps
            if tps is None or explained(tps) != "token_bucket" or tps.burst.high is None:
                return
            self._jitter = tps.evidence["jitter_ms"] / 1e3
            if tps.burst.exact and 2 * len(self._volleys_made) >= self._volleys_wanted():
                return
            for _ in range(min(self._more_volleys(), _VOLLEYS_AT_A_TIME)):
                if self._over() or not (yield from self._volley_after(rested.rest_s)):
                    return

    def _time_for_volleys(self) -> bool:
        """Return whether more volleys are wanted, and leave time for what comes after them."""
        later = self._cost_from("safe", self._rate) + volleys_cost(self._more_volleys(), self._rate, self._first_burst)
        return bool(self._more_volleys()) and self._within_time(math.inf) - self._now > 1.2 * later.seconds

    def _volleys_wanted(self) -> int:
        return math.ceil(_VOLLEYS_FOR_ONE * (self._rate * self._jitter) ** 2)

    def _more_volleys(self) -> int:
        """Return how many more volleys tell the burst, for all that is known of the jitter; 0 where they cost too much."""
        made, wanted = len(self._volleys_made), self._volleys_wanted()
        most = USUAL_VOLLEYS + _MOST_MORE
        if self.options.goal == "tps" or self._costless:  # each one starts as many chats as the burst holds
            most = min(most, USUAL_VOLLEYS + int(self.known.started / self._first_burst))
        if self._rate * self._jitter < _TOLD_BY_FEW or wanted > 2 * most or made >= most:
            return 0
        return min(max(wanted, USUAL_VOLLEYS + 4), most) - max(made, USUAL_VOLLEYS)

    def _find_safe(self) -> Iterator[Action]:
        """Poisson batches, each at what the ones before suggest."""
        self.known.doing = "looking for the safe rate"
        search = search_of(self.attempts(), self.stages)
        if search is None:
            return
        known = self._known_so_far()
        exact = known.to_be_proved  # otherwise batches have to find the safe rate themselves
        search = replace(search, least_seconds=least_seconds(known.kind))
        if known.kind == "blocks":
            yield from self._next_turn(PRESSURE * search.sustained)
        lead = 12.0  # calls after which the empty bucket is forgotten
        yield from self._batch(Batch(0.85 * search.sustained, round(lead)), "poisson", staged=False)
        while not self._over():
            search, batch = next_batch(search)
            if batch is None or (exact and search.calls >= EXACT_SAFE_CALLS):
                return
            if exact:
                batch = replace(batch, rate=max(batch.rate, _CONFIRMS * search.sustained))
            self.known.doing = f"offering {batch.rate:.3g} a second at random moments"
            refused = yield from self._batch(batch, "poisson")
            search = search.seen(refused)
            if exact:
                exact = self._known_so_far().to_be_proved

    def _may_be_exact(self) -> bool:
        """Return False where a replayed bucket already contradicts the record: the exact inference can wait for the end."""
        return known_so_far(self.attempts(), None, self.stages).contrary < _CONTRARY_OF_NONE

    def _known_so_far(self) -> SoFar:
        return known_so_far(self.attempts(), self.known.tps, self.stages)

    def _check_seconds(self) -> float:
        """Return how long the last pressure lasts: longer where too few calls were decided to prove an exact limiter."""
        usual = check_time(self._rate)
        if not self.safe or not self._known_so_far().to_be_proved:
            return usual
        missing = 1.02 * DECISIONS_OF_PROOF - len(Decisions.of(self.attempts()))
        return max(usual, min(missing / (self._pressed or PRESSURE * self._rate), _LONGEST_CHECK))

    def _find_even(self) -> Iterator[Action]:
        """Evenly spaced batches, until one rate passes."""
        search = search_of(self.attempts(), self.stages)
        if search is None:
            return
        batches: list[Batch] = []
        while not self._over():
            batch = next_even(batches, search.sustained_low)
            if batch is None:
                return
            self.known.doing = f"offering {batch.rate:.3g} a second evenly"
            batches.append((yield from self._batch(batch, "even")))

    def _conclude(self) -> None:
        self.estimate = measure_capacity(self.attempts(), self.known.tps, self.stages)
