"""Parts of a probe: offering a pace, volleys from rest, and the climb that finds a limiter which counts refused calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.load.probe.actions import Action, Send, StopChats
from harness.load.probe.plan import ProbePlan
from harness.quotas.any_limiter.burst import Volley, burst_from_rest, next_rest, volley_of
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import Sustained
from harness.quotas.any_limiter.measure import known_so_far
from harness.quotas.any_limiter.safe import Batch
from harness.quotas.any_limiter.sustained import sustained_rate
from harness.quotas.cost import AGAIN_LOADS, MILD, MOST_PRESSURE, again_time, first_rest
from harness.quotas.stages import Stage, StageKind
from harness.vocabulary import TPS_THROTTLED

_CLIMB, _STEP_SECONDS = 1.4, 12.0
_SATURATED = 0.3
"""Each step of the climb offers so many times the one before, for so long; more than this refused share ends it."""
_COLLAPSES = 1.5
"""How many times more is admitted where less is offered, so that the limiter is taken for one that counts refused calls."""
_TRIES, _PACES = 40, 8
"""Refusals by the quota, at the most, that end a fill, and paces that it is tried at."""
_LOOK_SECONDS, _LOOK_CALLS, _LOOK_ADMITTED = 5.0, 30, 12
"""A pace of a fill is looked at after so many seconds, calls and admissions."""
_MILDLY = (1.08, 1.7)
"""Calls for each that is admitted under what counts as mild pressure."""
_LONG_RUN = 20
"""So many refusals in a row are a turn of them."""
_REST_OF_SHARED = 1.4
"""How many times longer the first rest is where others may take tokens meanwhile: the next load is to find a full bucket."""
_CLOSE_ENOUGH = 0.025
"""Half of the sustained rate's interval, as a share, at which the pressure may end."""
_A_WHILE = 0.25
"""Share of a pressure for which its rate has been known closely when it ends: it is not to end at a moment of luck."""
_CYCLES, _TURNS = 3, 2
"""Whole cycles to see of a limiter that admits in blocks, and how many when the time of a pressure is over."""
_LONG_SILENCE = 6.0
"""Seconds without an admission that are a part of a long turn: of short ones a pressure has seen many."""
_LOADS_MAY_DIFFER = ("shared", "depends_on_pressure", "not_stationary", "nearly_bucket", "approximate")
"""Classes of limiters that another load may find otherwise."""
_MOST_STOPPING = 3
"""Chats that wait for their StopContact while calls are offered: it has a pace of its own."""
_IN_VAIN = 2
"""So many volleys in a row that tell no burst end the volleys: one may have met a generator that was held up."""


def is_mild(pressure: float) -> bool:
    """Whether `pressure`, calls for each that is admitted, tells what is sustained under mild pressure."""
    return _MILDLY[0] <= pressure <= _MILDLY[1]


@dataclass
class PlanParts(ProbePlan):
    """What a plan is put together from. `stages` tells which part of the record is which."""

    stages: list[Stage] = field(default_factory=list)
    _best: float = 0.0
    """Most calls a second that a limiter which counts refused calls has admitted; 0 for any other."""
    _first_burst: float = 8.0
    _volleys_made: list[Volley] = field(default_factory=list)
    _again: tuple[float, ...] = ()
    """Calls a second that are offered for a short while after each volley, one after the other."""

    def _volleys(self) -> Iterator[Action]:
        """Volleys after rests, until a longer rest admits no more and five had that rest."""
        decided = not (self._best or self._costless)  # where refusals cost no token, they look like contrary decisions
        if decided and known_so_far(self.attempts(), None, self.stages).kind in _LOADS_MAY_DIFFER:
            self._again = tuple(stage.offered for stage in self.stages if stage.kind == "pressure")
        volleys, in_vain = self._volleys_made, 0
        while not self._over() and len(volleys) < 12 and in_vain < _IN_VAIN:
            longer = _REST_OF_SHARED if self._again else 1.0
            rest = next_rest(volleys, longer * first_rest(self._rate, self._first_burst))
            if rest is None:
                break
            told = yield from self._volley_after(rest)
            in_vain = 0 if told else in_vain + 1
        found = burst_from_rest(volleys)
        if found is not None:
            self.known.burst = (found.low, found.high)

    def _volley_after(self, rest: float) -> Generator[Action, None, bool]:
        """Rest, then make a volley; returns whether it told a burst."""
        self.known.doing = f"resting {rest:.2g} s for a volley"
        yield from self._quiet()
        last = self._recent[-1] if self._recent else self._now
        # volleys at even intervals would meet the same phase of a window, or of nodes that agree, each time
        yield from self._sleep(last + rest * self._rng.uniform(1.0, 1.2) - self._now)
        if self._costless:
            yield from self._make_room(2 * self._first_burst + 3)
        rested, begin = self._now - last, self._now
        yield from self._volley()
        yield from self._quiet()
        self.stages.append(Stage("volley", begin, self._now, rest=rested))
        volley = volley_of(self._decisions(begin, self._now), rested, self._rate)
        if volley is None:
            return False
        self._volleys_made.append(volley)
        self._first_burst = max(self._first_burst, volley.burst)
        yield from self._press_again()
        return True

    def _press_again(self) -> Iterator[Action]:
        """Press for a short while: from one load to the next, others who call too may take more or less."""
        if sum(stage.kind == "again" for stage in self.stages) >= AGAIN_LOADS * len(self._again):
            return
        for offered in self._again:
            begin = self._now
            yield from self._offer(offered, self._reached(begin + again_time(self._rate)))
            self.stages.append(Stage("again", begin, self._now, offered))

    def _volley(self) -> Iterator[Action]:
        """As many calls at once as were admitted before, then a quick pace until most of the last ten are refused."""
        first, begin, calls = len(self._outcome), self._now, 0
        at_once = min(self._first_burst, 32.0, 0.2 * self.options.max_rate)
        pace = min(max(60.0, 12 * self._rate), 0.95 * self.options.max_rate)
        longest = 3.0 + 3 * self._first_burst / pace
        while not self._over() and self._now - begin < longest:
            refused = self._outcome[first:].count(TPS_THROTTLED)
            if refused >= 8 and self._outcome[-10:].count(TPS_THROTTLED) >= 8:
                return
            if calls >= at_once:
                yield from self._pace(1.0 / pace)
            calls += 1
            yield Send()

    def _fill_pressing(self, offered: float, has_to_end: Callable[[], bool]) -> Generator[Action, None, Stage]:
        """Start chats until the quota has refused two in a row, or until `has_to_end()`; `offered` a second at first.

        Where that turns out to be no mild pressure, for want of a good idea of the rate, another pace is taken. Returns the
        stage at the last one.
        """
        top, paces = 0.95 * self.options.max_rate, 1
        begin, tries, offered = self._now, 0, min(offered, top)
        while not self._over() and tries < _TRIES and self._full_streak < 2 and not has_to_end():
            look = self._reached(self._now + max(_LOOK_SECONDS, _LOOK_CALLS / offered))
            yield from self._offer(offered, lambda: self._full_streak > 0 or has_to_end() or look())  # noqa: B023
            yield from self._quiet()
            tries += self._full_streak > 0
            seen = self._decisions(begin, self._now)
            if self._full_streak or paces >= _PACES or len(seen) < _LOOK_CALLS:
                continue
            admitted = len(seen.admissions)
            if admitted >= _LOOK_ADMITTED and not is_mild(len(seen) / admitted):
                offered = min(MILD * admitted / (self._now - begin), top)
                begin, paces = self._now, paces + 1
        return Stage("pressure", begin, self._now, offered)

    def _until_admitted(self, pace: float) -> Iterator[Action]:
        passed, begin = self.known.started + self.known.full_refusals, self._now
        yield from self._offer(
            pace, lambda: self.known.started + self.known.full_refusals > passed or self._now - begin > MOST_PRESSURE
        )

    def _next_turn(self, pace: float) -> Iterator[Action]:
        """Call until a long turn of refusals begins, and until it is over: what is offered next meets a whole turn."""
        self.known.doing = "waiting for the limiter's next turn"
        begin = self._now
        yield from self._offer(
            pace,
            lambda: self._outcome[-_LONG_RUN:].count(TPS_THROTTLED) == _LONG_RUN or self._now - begin > MOST_PRESSURE,
        )
        yield from self._until_admitted(pace)

    def _climb(self, first: float) -> Iterator[Action]:
        """Offer more from step to step, beginning at `first` a second: of those that came fast hardly any were admitted.

        Where more is admitted that way, `_best` is the most, and its step takes the place of the mild pressure.
        """
        self.known.doing = "looking for the rate with fewer calls"
        yield from self._almost_rest()
        steps: list[tuple[float, Stage]] = []
        pace, saturated = first, False
        while not (saturated or self._over()) and pace < 0.95 * self.options.max_rate:
            saturated = (yield from self._step(pace, steps)) > _SATURATED
            pace *= _CLIMB
        if saturated:  # once more between the last two
            yield from self._almost_rest()
            yield from self._step(pace / _CLIMB**1.5, steps)
        best, stage = max(steps, key=lambda step: step[0], default=(0.0, None))
        if stage is not None and best > _COLLAPSES * self._rate:
            self.stages.append(stage)
            self._rate = self._best = best

    def _almost_rest(self) -> Iterator[Action]:
        """Offer so little for a while that counts of refused calls are forgotten, and no bucket fills."""
        yield from self._offer(max(self._rate, 1 / _STEP_SECONDS), self._reached(self._now + _STEP_SECONDS))

    def _step(self, pace: float, steps: list[tuple[float, Stage]]) -> Generator[Action, None, float]:
        """Offer `pace` a second; returns the share refused. `steps` gets what was admitted a second."""
        begin = self._now
        yield from self._offer(pace, self._reached(begin + _STEP_SECONDS))
        yield from self._quiet()
        seen = self._decisions(begin, self._now)
        steps.append((len(seen.admissions) / max(self._now - begin, 1e-9), Stage("climb", begin, self._now, pace)))
        return len(seen.refusals) / max(len(seen), 1)

    def _reached(self, until: float) -> Callable[[], bool]:
        return lambda: self._now >= until

    def _offer(self, pace: float, enough: Callable[[], bool]) -> Iterator[Action]:
        """Make calls at `pace` a second, at dithered moments, until `enough()`."""
        while not self._over() and not enough():
            yield from self._keep_room()
            yield from self._pace(1.0 / pace, dither=True)
            yield Send()

    def _batch(self, batch: Batch, kind: StageKind, *, staged: bool = True) -> Generator[Action, None, Batch]:
        """Offer a batch; returns it with what was refused."""
        begin = due = self._now
        for _ in range(batch.calls):
            if self._over():
                break
            due += self._rng.expovariate(batch.rate) if kind == "poisson" else 1 / batch.rate
            yield from self._keep_room()
            yield from self._sleep(due - self._now)
            yield Send()
            yield from self._let_one_end()
        yield from self._quiet()
        seen = self._decisions(begin, self._now)
        if staged and len(seen):
            self.stages.append(Stage(kind, begin, self._now, batch.rate))
        return Batch(batch.rate, len(seen), len(seen.refusals))

    def _let_one_end(self) -> Iterator[Action]:
        """Stop a chat after about every other start, as the load of a run does, while the quota was not met.

        Where a balancer deals out the requests in turn, starts alone would meet its nodes in turn, each always rested.
        """
        may = self._stopping < min(self._open, _MOST_STOPPING) and not self.known.full_refusals
        if may and self._chances.random() < 0.5:
            self._stopping += 1
            yield StopChats(1)

    def _keep_room(self) -> Iterator[Action]:
        """Where refusals by the chat quota cost no token, keep places free, or nothing more is learned."""
        if self._idle_at_quota() and self._open:
            self._costless = True
        room = 3.0 * self._rate + 3
        if self._costless and not self._stopping and self._quota - self._open - self._in_flight < room and self._open:
            count = int(min(self._open, 2 * room))
            self._stopping += count
            yield StopChats(count)

    def _decisions(self, begin: float, end: float) -> Decisions:
        return Decisions.of(self.attempts(), False if self._costless else None).between(begin, end)


def known(found: Sustained, close: float = _CLOSE_ENOUGH) -> bool:
    """Return whether a rate is known as closely as to `close`, a share, or in turns of which enough were seen."""
    if found.blocks:
        return len(found.batch_rate) >= _CYCLES
    return found.half_width <= close


def known_for_a_while(decisions: Decisions, lasted: float) -> bool:
    """Return whether the rate of a pressure that `lasted` so many seconds is known, and was before: not by luck."""
    found = sustained_rate(decisions, emptied=True)
    if found is None or not known(found):
        return False
    until = float(decisions.at[0]) + (1 - _A_WHILE) * lasted
    before = sustained_rate(decisions.between(-math.inf, until), emptied=True)
    return found.blocks or (before is not None and known(before, _CLOSE_ENOUGH / (1 - _A_WHILE)))


def turns_missing(decisions: Decisions) -> bool:
    """Return whether a pressure met a limiter that admits in long turns, and has not seen two whole ones."""
    found = sustained_rate(decisions, emptied=True)
    if found is None or not found.blocks or len(found.batch_rate) >= _TURNS:
        return False
    return float(np.diff(decisions.admissions, prepend=decisions.at[0], append=decisions.at[-1]).max()) > _LONG_SILENCE
