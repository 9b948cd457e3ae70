"""When was each call decided? Between its sending and its answer; this module says where, and how surely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.quotas.attempts import Attempts, Bytes, Floats
from harness.quotas.round_trips import RoundTrips

Mask = npt.NDArray[np.bool_]

_AS_TELLING, _PAUSE = 0.3, 10.0
"""Share of the most changes that a part of a record has to have, to be read, and how many usual gaps make a pause."""
_SHARE_OF_EXCESS_UNKNOWN = 0.35
"""One sd of a decision's place in a round trip that took unusually long, as a share of what it took longer."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that one hypothesis lets count: who was admitted, and what the round trips tell about the moment.

    The way up of a typical call is a constant that shifts all decisions alike, so it is left at 0: only differences
    matter to a limiter. `excess` is the round trip beyond the typical one of calls with the same outcome, (n,) seconds, as
    far as it is ordinary; `stall` what goes beyond that, and `stalled_before` the share of the stall that came before
    the decision. `typical_spread` is the robust standard deviation of the excess, a bound on the jitter of one way.
    """

    sent: Floats
    excess: Floats
    admitted: Mask
    clouded: Mask
    """Calls near an admitted one that took so long that nobody can say which came first: they are not judged."""
    typical_spread: float
    stall: Floats
    stalled_before: Floats

    @classmethod
    def of(cls, attempts: Attempts, admitted: Mask, refused: Mask) -> Calls:
        """Return the calls of `attempts` that were admitted or refused, under masks of shape (n,)."""
        kept = admitted | refused
        trips = (attempts.received - attempts.sent)[kept]
        outcome = attempts.outcome[kept]
        excess, spread = _excess(trips, outcome)
        sent = attempts.sent[kept]
        is_admitted = admitted[kept]
        clouded = _clouded(sent, excess, is_admitted, spread)
        most = 4 * spread + 0.002
        stall = np.maximum(excess - most, 0.0)
        return cls(sent, np.minimum(excess, most), is_admitted, clouded, spread, stall, np.full(len(sent), 0.5))

    def part(self, most: int) -> Calls:
        """At most `most` calls in a row: the first ones, unless others tell much more."""
        return self.of_index(telling(self.sent, self.admitted, most))

    def of_index(self, index: slice | npt.NDArray[np.intp]) -> Calls:
        """Return the calls at `index`, in its order."""
        return replace(
            self,
            sent=self.sent[index],
            excess=self.excess[index],
            admitted=self.admitted[index],
            clouded=self.clouded[index],
            stall=self.stall[index],
            stalled_before=self.stalled_before[index],
        )

    def decided(self, share: float) -> Floats:
        """Return the moment of each decision, (n,), if `share` of a round trip's excess belongs to the way up."""
        return self.sent + share * self.excess + self.stalled_before * self.stall

    def spread(self, jitter: float) -> Floats:
        """One sd of each decision's moment, (n,) seconds, if `jitter` is that of an ordinary call."""
        return np.hypot(jitter, _SHARE_OF_EXCESS_UNKNOWN * self.stall)


def _excess(trips: Floats, outcome: Bytes) -> tuple[Floats, float]:
    """Return the excess of each round trip, (n,) seconds, as far as it may have come before the decision, and its spread."""
    excess = trips - (np.median(trips) if len(trips) else 0.0)
    seen = RoundTrips.of(trips, outcome)
    if not seen.usual:
        return excess, max(float(np.std(excess)) if len(excess) else 0.0, 1e-4)
    spreads = dict(seen.spread)
    for code, usual in seen.usual.items():
        of_code = outcome == code
        excess[of_code] = trips[of_code] - usual
        if seen.decided_on_arrival(code):
            excess[of_code], spreads[code] = 0.0, seen.steadiest
    spread = max(float(np.average(list(spreads.values()), weights=list(seen.count.values()))), 1e-4)
    return np.maximum(excess, -(4 * seen.steadiest + 0.002)), spread  # no call is decided before it has come


def telling(sent: Floats, admitted: Mask, most: int) -> slice:
    """At most `most` calls in a row: the first ones, unless others change more often between admitted and refused.

    Those begin after a pause where they can, so that the bucket was full, or nearly.
    """
    if len(admitted) <= most:
        return slice(0, len(admitted))
    changes = np.concatenate(([0], np.cumsum(admitted[1:] != admitted[:-1])))
    within = changes[most - 1 :] - changes[: len(changes) - most + 1]
    best = int(np.argmax(within))
    gaps = np.diff(sent)
    after_pauses = np.flatnonzero(gaps > max(0.4 * gaps.max(), _PAUSE * float(np.median(gaps)))) + 1
    after_pauses = after_pauses[after_pauses < len(within)]
    worth = within >= _AS_TELLING * within[best]
    begins = (0, *after_pauses[np.argsort(-within[after_pauses], kind="stable")], best)
    begin = next(int(index) for index in begins if worth[index])
    return slice(begin, begin + most)


def _clouded(sent: Floats, excess: Floats, admitted: Mask, spread: float) -> Mask:
    late = admitted & (excess > max(8 * spread, 0.01))
    clouded = np.zeros(len(sent), bool)
    if not late.any() or np.count_nonzero(late) > 0.05 * len(sent):
        return clouded
    order = np.argsort(sent, kind="stable")
    first = np.searchsorted(sent[order], sent[late] - 4 * spread)
    last = np.searchsorted(sent[order], sent[late] + excess[late] + 4 * spread)
    edges = np.zeros(len(sent) + 1)
    np.add.at(edges, first, 1)
    np.add.at(edges, last, -1)
    clouded[order] = np.cumsum(edges[:-1]) > 0
    return clouded
