"""What round trips tell about the moment of a decision: how much of them can have come before it.

All calls go the same way up to the decision, so no outcome can vary more before it than the steadiest outcome varies in
all. Where one does (a limiter that lets an admitted call wait for its turn, work that only an admitted call costs), the rest
came after the decision: such a call was decided when it arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.quotas.attempts import Bytes, Floats

FEWEST = 8
"""Fewer round trips of an outcome say nothing of it."""
_MORE_VARIED = 2.0
"""How many times the spread of the steadiest outcome another one's must be, if many of both were seen."""
_FINEST = 1e-4
"""Seconds: the least spread that is believed."""


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """The usual round trip of each outcome, its spread (a robust sd) and how many there were; seconds, by outcome code.

    Outcomes with fewer than `FEWEST` calls are left out.
    """

    usual: dict[int, float]
    spread: dict[int, float]
    count: dict[int, int]

    @classmethod
    def of(cls, trips: Floats, outcome: Bytes) -> RoundTrips:
        """Measure `trips` (n,) seconds, each with its `outcome` code (n,)."""
        usual, spread, count = {}, {}, {}
        for code in map(int, np.unique(outcome)):
            some = trips[outcome == code]
            if len(some) >= FEWEST:
                low, usual[code], high = map(float, np.quantile(some, (0.25, 0.5, 0.75)))
                spread[code], count[code] = (high - low) / 1.349, len(some)
        return cls(usual, spread, count)

    @property
    def steadiest(self) -> float:
        """The least spread of an outcome, seconds."""
        return max(min(self.spread.values(), default=0.0), _FINEST)

    def decided_on_arrival(self, code: int) -> bool:
        """Return whether calls with this outcome vary so much more than the steadiest ones that it came afterwards."""
        if code not in self.spread:
            return False
        sure = 1.0 + 3.0 / np.sqrt(min(self.count.values()))  # the spread of few round trips may be small by chance
        return bool(self.spread[code] > _MORE_VARIED * sure * self.steadiest + 5e-4)
