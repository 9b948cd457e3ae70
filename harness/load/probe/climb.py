"""Parts of a probe: offering a pace, and the climb that finds the rate of a limiter which counts refused calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from harness.load.probe.actions import Action, Send, StopChats
from harness.load.probe.plan import ProbePlan
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.stages import Stage

_CLIMB, _STEP_SECONDS = 1.4, 12.0
_SATURATED = 0.3
"""Each step of the climb offers so many times the one before, for so long; more than this refused share ends it."""
_COLLAPSES = 1.5
"""How many times more is admitted where less is offered, so that the limiter is taken for one that counts refused calls."""


@dataclass
class ClimbingPlan(ProbePlan):
    """A plan that offers a pace for a while, or more from step to step. `stages` tells which part of the record is which."""

    stages: list[Stage] = field(default_factory=list)
    _best: float = 0.0
    """Most calls a second that a limiter which counts refused calls has admitted; 0 for any other."""

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
