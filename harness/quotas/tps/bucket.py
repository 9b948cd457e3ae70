"""A token bucket against a record: what it would have admitted, and how well that agrees.

For a rate r, the n-th admission at a_n uses the counter X_n = r a_n - n, which grows while the bucket refills. The deficit
just before a call is M - X, M being the highest X so far: the bucket was last full there. So the level is burst - (M - X),
and for one rate the burst is only a threshold on the deficit: a call is admitted if its deficit is at most burst - 1. That
makes one rate cost one pass over the record, for every burst at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from harness.quotas.attempts import Floats
from harness.quotas.tps.timing import Calls

Ints = npt.NDArray[np.intp]

OUTLIER = 1e-4
"""Share of decisions that no limiter is asked to explain."""


@dataclass(frozen=True, slots=True)
class Record:
    """The decisions in fitted order: admissions at `admitted` (n,), refusals at `refused` (m,), seconds from the first.

    The spreads are one sd of each moment. `before` (m,) counts the admissions before each refusal. `deficit` is how many
    tokens the bucket lacked at the first call. Every admission took a token, but only those whose indices are in
    `judged_admissions` (and `judged_refusals`) are asked to agree with a limiter.
    """

    admitted: Floats
    admitted_spread: Floats
    judged_admissions: Ints
    refused: Floats
    refused_spread: Floats
    judged_refusals: Ints
    before: Ints
    deficit: float = 0.0

    @classmethod
    def of(
        cls, calls: Calls, shares: tuple[float, float], jitter: float, deficit: float = 0.0, most: int = 1_000_000
    ) -> Record:
        """Order `calls` by decision time; `shares` of the excess go to the way up, for admitted and refused calls.

        At most `most` decisions are judged, evenly chosen.
        """
        yes = calls.admitted
        spread = calls.spread(jitter)
        at = np.where(yes, calls.decided(shares[0]), calls.decided(shares[1]))
        at = at - (at.min() if len(at) else 0.0)
        a_order, r_order = np.argsort(at[yes], kind="stable"), np.argsort(at[~yes], kind="stable")
        admitted, refused = at[yes][a_order], at[~yes][r_order]
        step = -(-len(at) // most) if len(at) else 1
        return cls(
            admitted,
            spread[yes][a_order],
            np.flatnonzero(~calls.clouded[yes][a_order])[::step],
            refused,
            spread[~yes][r_order],
            np.flatnonzero(~calls.clouded[~yes][r_order])[::step],
            np.searchsorted(admitted, refused),
            deficit,
        )

    def lines(self, rate: float) -> tuple[Floats, Floats]:
        """Return the counter X of each admission, (n,), and the highest X before each admission and at the end, (n+1,)."""
        counter = rate * self.admitted - np.arange(len(self.admitted))
        highest = np.empty(len(counter) + 1)
        highest[0] = self.deficit  # the first call of the record is at 0, where the counter is 0
        np.maximum.accumulate(counter, out=highest[1:])
        np.maximum(highest[1:], self.deficit, out=highest[1:])
        return counter, highest

    def deficits(self, rate: float) -> tuple[Floats, Floats]:
        """Tokens that the bucket lacked just before each admission, (n,), and at each refusal, (m,)."""
        counter, highest = self.lines(rate)
        at_refusal = rate * self.refused - self.before
        return highest[1:] - counter, np.maximum(highest[self.before], at_refusal) - at_refusal

    def log_likelihood(self, rate: float, burst: float) -> tuple[Floats, Floats]:
        """Log probability of each judged admission and of each judged refusal, given the other admissions."""
        token = self._tokens(rate, burst)
        look = self.judged_admissions
        yes = ndtr((self.admitted[look] - token[look]) / self.admitted_spread[look])
        begin, end = _free(token, self.admitted)
        look = self.judged_refusals
        no = 1.0 - _inside(begin, end, self.refused[look], self.refused_spread[look])
        return _log(yes), _log(no)

    def residuals(self, rate: float, burst: float) -> tuple[Floats, Floats]:
        """Seconds by which each admission came too early, (n,) positive, and each refusal too late, (m,) negative."""
        token = self._tokens(rate, burst)
        early = np.maximum(0.0, token[:-1] - self.admitted)
        begin, end = _free(token, self.admitted)
        if not len(begin):
            return early, np.zeros(len(self.refused))
        index = np.searchsorted(begin, self.refused, side="right") - 1
        inside = (index >= 0) & (self.refused < end[index])
        late = np.minimum(self.refused - begin[index], end[index] - self.refused)
        return early, np.where(inside, -late, 0.0)

    def without_a_brim(self, rate: float, burst: float) -> int:
        """Judged refusals that contradict a bucket which never overflows, by far more than the jitter.

        At first it held what the admissions needed, and no more than this one. None: the record does not show how much the
        bucket holds, only what was in it.
        """
        needed = np.arange(1.0, len(self.admitted) + 1.0) - rate * self.admitted
        held = min(burst - self.deficit, float(needed.max(initial=0.0)))
        token = (self.before + 1.0 - held) / rate
        look = self.judged_refusals
        late = (self.refused - token)[look]
        one = 1.0 / rate  # one call more or less may have come before a refusal, where jitter hides the order
        return int(np.count_nonzero(late > 6 * self.refused_spread[look] + one))

    def groups(self, rate: float) -> tuple[Ints, Ints]:
        """For each judged admission and refusal, the number of times the bucket had been full by then."""
        _, highest = self.lines(rate)
        times = np.concatenate(([0], np.cumsum(np.diff(highest) > 0)))
        return times[self.judged_admissions], times[self.before[self.judged_refusals]]

    def seconds_refused(self, rate: float) -> Floats:
        """For each time that the bucket had been full, (k,) seconds from the first refusal after it to the last."""
        _, highest = self.lines(rate)
        times = np.concatenate(([0], np.cumsum(np.diff(highest) > 0)))[self.before]
        last = np.flatnonzero(np.diff(times, append=-1))
        first = np.concatenate(([0], last[:-1] + 1))[: len(last)]
        return self.refused[last] - self.refused[first]

    def _tokens(self, rate: float, burst: float) -> Floats:
        """Return the moment from which each admission was possible after those before it, and the next one's, (n+1,)."""
        _, highest = self.lines(rate)
        return (highest + np.arange(len(highest)) - (burst - 1.0)) / rate


def _log(probability: Floats) -> Floats:
    return np.asarray(np.log(OUTLIER / 2 + (1 - OUTLIER) * np.clip(probability, 0.0, 1.0)))


def _free(token: Floats, admitted: Floats) -> tuple[Floats, Floats]:
    """Return the spans during which a call would have been admitted: from a token's coming to its being taken, merged."""
    begin = token.copy()
    begin[1:] = np.maximum(begin[1:], admitted)
    end = np.append(admitted, np.inf)
    there = begin < end
    joined = np.zeros(len(begin), bool)
    joined[1:] = there[1:] & there[:-1] & (begin[1:] <= end[:-1])
    starts = there & ~joined
    ends = there & ~np.append(joined[1:], False)
    return begin[starts], end[ends]


def _inside(begin: Floats, end: Floats, at: Floats, spread: Floats) -> Floats:
    """Probability that a moment, known as `at` with sd `spread`, lies in one of the spans."""
    total = np.zeros(len(at))
    if not len(begin) or not len(at):
        return total
    place = np.searchsorted(begin, at)
    reach = 5 * float(np.median(spread))
    wide = np.searchsorted(begin, at + reach) - np.searchsorted(begin, at - reach)
    steps = int(min(24, np.max(wide))) + 1
    for step in range(-steps, steps + 1):
        index = place + step
        valid = (index >= 0) & (index < len(begin))
        index = np.clip(index, 0, len(begin) - 1)
        mass = ndtr((end[index] - at) / spread) - ndtr((begin[index] - at) / spread)
        total += np.where(valid, mass, 0.0)
    return total
