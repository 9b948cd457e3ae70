"""The rate that a record contradicts least, whatever the burst: a search among thousands, on ever longer parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Ints, Record
from harness.quotas.tps.timing import Calls

_STAGES = (100, 300, 1000, 3000)
"""Numbers of calls on which the rate is looked for, one after the other."""
_FITS = 0.03
"""Disagreement below which no other rate is looked for; the right one has next to none."""
_STRETCHES, _AROUND, _FEWEST_COUNTED = 3, 31, 6
"""Stretches of pressure that are counted, rates that are tried around each count, and the least that is counted."""
_FEWEST_OF_GROUP = 30
"""Fewest admissions, and refusals, that tell something without the moment at which the bucket had been full before."""
_AT_ONCE = 64_000
"""Calls times rates that are worked through at once: what they take stays in the processor's cache."""
JUDGED = 4000
"""Most decisions that the likelihood looks at; all of them count in the bucket's level."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What of a record its judged deficits are made of at any rate, gathered once: a search tries thousands of rates.

    `later` is each judged refusal's moment if it was decided a little later than fitted, `after` the admissions before that.
    """

    record: Record
    at: Floats
    before: Ints
    later: Floats
    after: Ints

    @classmethod
    def of(cls, record: Record) -> Judged:
        look = record.judged_refusals
        at = record.refused[look]
        later = at + 3 * record.refused_spread[look]
        return cls(record, at, record.before[look], later, np.searchsorted(record.admitted, later))

    def deficits(self, rate: float) -> tuple[Floats, Floats]:
        """Deficits of the judged admissions and refusals; a refusal may have been decided a little later than fitted."""
        counter, highest = self.record.lines(rate)
        now = rate * self.at - self.before
        then = rate * self.later - self.after
        lacked = np.maximum(highest[self.before] - now, highest[self.after] - then)
        look = self.record.judged_admissions
        return highest[1:][look] - counter[look], np.maximum(lacked, 0.0)

    def disagreement(self, rate: float) -> tuple[float, float]:
        """Return what `disagreement` of this module does."""
        return disagreement_of(*self.deficits(rate))

    def disagreements(self, rates: Floats) -> Floats:
        """Return the disagreement of each of `rates`, (k,), some of them at a time: of short records the calls of numpy cost
        more than what they do.
        """
        some = max(1, _AT_ONCE // max(1, len(self.record.admitted) + len(self.at)))
        return np.concatenate([self._disagreements(rates[k : k + some]) for k in range(0, len(rates), some)])

    def _disagreements(self, rates: Floats) -> Floats:
        record, look = self.record, self.record.judged_admissions
        highest = np.empty((len(record.admitted) + 1, len(rates)))
        highest[0] = record.deficit
        counter = np.multiply.outer(record.admitted, rates)
        counter -= np.arange(len(counter))[:, None]
        np.maximum.accumulate(counter, axis=0, out=highest[1:])
        np.maximum(highest, record.deficit, out=highest)
        lacked = highest[self.before] - (np.multiply.outer(self.at, rates) - self.before[:, None])
        later = highest[self.after] - (np.multiply.outer(self.later, rates) - self.after[:, None])
        both = np.empty((len(rates), len(look) + len(lacked)))
        both[:, : len(look)] = (highest[1:] - counter)[look].T
        both[:, len(look) :] = np.maximum(np.maximum(lacked, later, out=lacked), 0.0, out=lacked).T
        return _disagreements_of(both, len(look))

    def disagreement_by_group(self, rate: float) -> float:
        """Disagreement if each moment at which the bucket was full is forgiven what it is off: all that follows shifts."""
        groups = self._groups(rate)
        weights = [len(taken) + len(lacked) for taken, lacked in groups]
        return float(np.average([disagreement_of(*group)[0] for group in groups], weights=weights))

    def early(self, rate: float) -> float:
        """Tokens that were not there yet when calls were admitted, in all, forgiven as in `disagreement_by_group`."""
        total = 0.0
        for taken, lacked in self._groups(rate):
            edge = disagreement_of(taken, lacked)[1] - 1.0
            total += float(np.maximum(taken - edge, 0.0).sum())
        return total

    def _groups(self, rate: float) -> list[tuple[Floats, Floats]]:
        """Return deficits of admissions and refusals since each moment at which the bucket was full, if many enough."""
        taken, lacked = self.deficits(rate)
        by_admission, by_refusal = self.record.groups(rate)
        groups = []
        for group in np.flatnonzero(np.bincount(by_admission) >= _FEWEST_OF_GROUP):
            refused = lacked[by_refusal == group]
            if len(refused) >= _FEWEST_OF_GROUP:
                groups.append((taken[by_admission == group], refused))
        return groups or [(taken, lacked)]


def disagreement(record: Record, rate: float) -> tuple[float, float]:
    """How much decisions contradict the best bucket of this `rate`, from 0 to about 1, and that bucket's burst.

    It is the tokens by which deficits lie on the wrong side of burst - 1, as a share of all their distances from there. The
    burst is where as many admissions lie above it as refusals below: the minimum of those tokens, found in one pass.
    """
    return Judged.of(record).disagreement(rate)


def disagreement_of(taken: Floats, lacked: Floats) -> tuple[float, float]:
    """Return what `disagreement` does, from the deficits of admissions (n,) and of refusals (m,)."""
    both = np.concatenate((taken, lacked))
    if not len(taken):
        return 0.0, 1.0
    edge = float(np.partition(both, len(taken) - 1)[len(taken) - 1])
    above = taken[taken > edge] - edge
    below = edge - lacked[lacked < edge]
    if len(lacked):
        inside = lacked[lacked > edge]
        edge = 0.5 * (edge + float(inside.min())) if len(inside) and not len(above) and not len(below) else edge
    wrong = float(above.sum() + below.sum())
    refused_when_full = np.count_nonzero(lacked <= 1e-9) / len(lacked) if len(lacked) else 0.0  # which no bucket does
    return wrong / max(float(np.abs(both - edge).sum()), 1e-9) + refused_when_full, edge + 1.0


def _disagreements_of(both: Floats, takers: int) -> Floats:
    """Return what `disagreement_of` does of each row: deficits of `takers` admissions, then of refusals."""
    if not takers:
        return np.zeros(len(both))
    edge = np.partition(both, takers - 1, axis=1)[:, takers - 1 : takers]
    full = np.count_nonzero(both[:, takers:] <= 1e-9, axis=1) / max(both.shape[1] - takers, 1)
    both -= edge
    distances = np.abs(both).sum(axis=1)
    wrong = np.maximum(both[:, :takers], 0.0).sum(axis=1) - np.minimum(both[:, takers:], 0.0).sum(axis=1)
    return np.asarray(wrong / np.maximum(distances, 1e-9) + full)


def rough_rate(record: Record, rates: Floats) -> tuple[float, float]:
    """Return the rate of least disagreement, searched over `rates` and then ever closer; returns (rate, disagreement)."""
    judged = Judged.of(record)
    costs = judged.disagreements(rates)
    best = int(np.argmin(costs))
    for _ in range(9):
        low, high = rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)]
        rates = np.linspace(low, high, 13)
        costs = judged.disagreements(rates)
        flat = np.flatnonzero(costs <= costs.min() * (1 + 1e-9) + 1e-12)
        best = int(flat[len(flat) // 2])
        if len(flat) > 4 or high - low < 1e-7 * high:
            break
    return float(rates[best]), float(costs[best])


def candidates(record: Record) -> Floats:
    """Rates worth trying: from a token in the whole record to the closest admissions, 4 % apart, (k,)."""
    span = max(float(record.admitted[-1]) if len(record.admitted) else 1.0, 1e-3)
    low = 0.3 / (span + 1.0)
    high = max(20.0, 3.0 * _densest(record.admitted))
    return np.geomspace(low, high, int(np.log(high / low) / 0.04) + 2)


def candidates_by_count(record: Record) -> Floats:
    """Rates worth trying where those misfit, (k,): around what was admitted while calls were refused again and again.

    Of a small bucket behind hardly any jitter the true rate's minimum is narrower than the steps of `candidates`.
    """
    found = []
    for most in (1, 3):  # admissions between two refusals of such a stretch
        cuts = np.flatnonzero(np.diff(record.before) > most) + 1
        first, last = np.concatenate(([0], cuts)), np.concatenate((cuts, [len(record.refused)])) - 1
        count, lasted = record.before[last] - record.before[first], record.refused[last] - record.refused[first]
        for index in np.argsort(-count, kind="stable")[:_STRETCHES]:
            if count[index] >= _FEWEST_COUNTED and lasted[index] > 0:
                one = 1.5 / count[index]
                found.append(count[index] / lasted[index] * np.linspace(1 - one, 1 + one, _AROUND))
    return np.unique(np.concatenate(found)) if found else np.empty(0)


def _densest(times: Floats) -> float:
    if len(times) < 2:
        return 1.0
    count = min(len(times) - 1, 32)
    return float(count / max(1e-3, np.min(times[count:] - times[:-count])))


def on_more_calls(calls: Calls, rate: float, deficit: float) -> tuple[float, Floats]:
    """Look closer at a `rate` that was found on a part, on ever longer ones; returns it and the rates to try near it, (k,).

    The minimum is as narrow as a few tokens of all that came, and what lies around it has minima too.
    """
    most = _STAGES[-1]
    while most < len(calls.sent):
        most *= 3
        part = calls.part(most)
        record = Record.of(part, (0.5, 0.5), calls.typical_spread, deficit, JUDGED)
        around = np.concatenate((np.geomspace(0.9, 1.1, 41), _tokens(20, part)))
        rate, _ = rough_rate(record, rate * np.unique(around))
    return rate, rate * _tokens(5, calls)


def _tokens(count: int, calls: Calls) -> Floats:
    """Return factors of a rate, (2 count + 1,), each of which brings half a token more by the end, but 0.2 % at most."""
    return 1 + np.arange(-count, count + 1) / max(2.0 * np.count_nonzero(calls.admitted), 500.0)


def likely_rate(calls: Calls, deficit: float = 0.0) -> tuple[float, float]:
    """Return the least disagreement found, and its rate."""
    records = _longer_and_longer(calls, deficit)
    found = min(_rates_found(records, candidates), default=(np.inf, 1.0))
    if found[0] < _FITS:
        return found
    closer = min(_rates_found(records, candidates_by_count), default=found)
    return closer if closer[0] < 0.5 * found[0] else found


def _longer_and_longer(calls: Calls, deficit: float) -> list[Record]:
    """Return ever longer parts of the calls: the longer, the sharper is the minimum to be hit."""
    records = []
    for stage in _STAGES:
        part = calls.part(stage)
        if part.admitted.any() and not part.admitted.all():
            records.append(Record.of(part, (0.5, 0.5), calls.typical_spread, deficit, JUDGED))
        if stage >= len(calls.sent):
            break
    return records


def _rates_found(records: Sequence[Record], worth: Callable[[Record], Floats]) -> Iterator[tuple[float, float]]:
    """(disagreement, rate) for the rates that are `worth` trying on each record, looked at closer on the longer ones."""
    for number, record in enumerate(records):
        rates = worth(record)
        if not len(rates):
            continue
        rate, cost = rough_rate(record, rates)
        for longer in records[number + 1 :]:
            rate, cost = rough_rate(longer, rate * np.geomspace(0.97, 1.03, 41))
        yield cost, rate
