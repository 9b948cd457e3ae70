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

from harness.quotas.attempts import Floats
from harness.quotas.special import ndtr
from harness.quotas.tps.timing import Calls

Ints = npt.NDArray[np.intp]

OUTLIER = 1e-4
"""Share of decisions that no limiter is asked to explain."""
_REACH, _MOST_SPANS = 7.0, 25
"""Spreads from a moment within which a span may be where it was, and most spans that are looked at on either side."""


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
        spread, clear = calls.spread(jitter), ~calls.clouded
        at = np.where(calls.admitted, calls.decided(shares[0]), calls.decided(shares[1]))
        at = at - (at.min() if len(at) else 0.0)
        yes, no = np.flatnonzero(calls.admitted), np.flatnonzero(~calls.admitted)
        yes, no = yes[np.argsort(at[yes], kind="stable")], no[np.argsort(at[no], kind="stable")]
        step = -(-len(at) // most) if len(at) else 1
        return cls(
            at[yes],
            spread[yes],
            np.flatnonzero(clear[yes])[::step],
            at[no],
            spread[no],
            np.flatnonzero(clear[no])[::step],
            np.searchsorted(at[yes], at[no]),
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

    def lacking(self, rate: float, at: float) -> float:
        """Tokens that the bucket lacked `at` seconds after the first call."""
        _, highest = self.lines(rate)
        before = int(np.searchsorted(self.admitted, at))
        now = rate * at - before
        return max(float(highest[before]), now) - now

    def log_likelihood(self, rate: float, bursts: Floats) -> tuple[Floats, Floats]:
        """Log probability of each judged admission, (k, i), and refusal, (k, j), for each of k bursts, given the others."""
        _, highest = self.lines(rate)
        counter = highest + np.arange(len(highest))
        look = self.judged_admissions
        token = (counter[look] - (bursts[:, None] - 1.0)) / rate
        yes = ndtr((self.admitted[look] - token) / self.admitted_spread[look])
        look = self.judged_refusals
        at, spread = self.refused[look], self.refused_spread[look]
        inside = np.zeros((len(bursts), len(at)))
        if len(at):
            taken = np.append(self.admitted, np.inf)
            for row, burst in enumerate(bursts):
                begin, end = _free((counter - (burst - 1.0)) / rate, taken)
                inside[row] = _inside(begin, end, at, spread)
        return _log(yes), _log(1.0 - inside)

    def residuals(self, rate: float, burst: float) -> tuple[Floats, Floats]:
        """Seconds by which each admission came too early, (n,) positive, and each refusal too late, (m,) negative.

        A refusal is too late by the least that either it or the moment at which the bucket was full has to be moved.
        """
        token = self._tokens(rate, burst)
        early = np.maximum(0.0, token[:-1] - self.admitted)
        begin, end = _free(token, np.append(self.admitted, np.inf))
        if not len(begin):
            return early, np.zeros(len(self.refused))
        index = np.searchsorted(begin, self.refused, side="right") - 1
        inside = (index >= 0) & (self.refused < end[index])
        late = np.minimum(self.refused - begin[index], end[index] - self.refused)
        to_spare = burst - 1.0 - self.deficits(rate)[1]
        return early, np.where(inside, -np.minimum(late, np.maximum(to_spare, 0.0) / rate), 0.0)

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
    inside = np.minimum(np.maximum(probability, 0.0), 1.0)
    return np.asarray(np.log(OUTLIER / 2 + (1 - OUTLIER) * inside))


def _free(token: Floats, taken: Floats) -> tuple[Floats, Floats]:
    """Return the spans during which a call would have been admitted: from a token's coming to its being taken, merged.

    `token` and `taken` are (n+1,); the last token is never taken (infinite).
    """
    begin = token.copy()
    np.maximum(begin[1:], taken[:-1], out=begin[1:])
    there = begin < taken
    joined = there[1:] & there[:-1]
    joined &= begin[1:] <= taken[:-1]
    starts, ends = there.copy(), there
    starts[1:] &= ~joined
    ends[:-1] &= ~joined
    return begin[starts], taken[ends]


def _inside(begin: Floats, end: Floats, at: Floats, spread: Floats) -> Floats:
    """Probability that a moment, known with sd `spread`, lies in one of the spans.

    Only those are looked at that come within some sd of it, and no more than _MOST_SPANS on either side.
    """
    inside = np.zeros(len(at))
    reach = _REACH * spread
    first, last = end.searchsorted(at - reach), begin.searchsorted(at + reach)
    count = last - first
    if count.max(initial=0) > _MOST_SPANS:
        place = begin.searchsorted(at)
        first, last = np.maximum(first, place - _MOST_SPANS), np.minimum(last, place + _MOST_SPANS)
        count = last - first
    look = np.flatnonzero(count > 0)
    if not len(look):
        return inside
    count, at, spread = count[look], at[look], spread[look]
    until = np.cumsum(count)
    span = np.arange(until[-1]) + np.repeat(first[look] - until + count, count)
    at, spread = np.repeat(at, count), np.repeat(spread, count)
    mass = ndtr((end[span] - at) / spread) - ndtr((begin[span] - at) / spread)
    inside[look] = np.add.reduceat(mass, until - count)
    return inside
