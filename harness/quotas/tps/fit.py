"""The token bucket that fits a record best, and how probable each (rate, burst) is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.special import logsumexp
from harness.quotas.tps.bucket import Ints, Record
from harness.quotas.tps.replay import as_decided, replay
from harness.quotas.tps.timing import Calls

_SHARES = (0.0, 0.5, 1.0)
_STAGES = (100, 300, 1000, 3000)
"""Numbers of calls on which the rate is looked for, one after the other."""
_FITS = 0.03
"""Disagreement below which no other rate is looked for; the right one has next to none."""
_STRETCHES, _AROUND, _FEWEST_COUNTED = 3, 31, 6
"""Stretches of pressure that are counted, rates that are tried around each count, and the least that is counted."""
_FEW = 300
"""Decisions below which the shares of the way up are not looked for either."""
_JUDGED = 4000
"""Most decisions that the likelihood looks at; all of them count in the bucket's level."""
_DENSE = 0.02
"""Tokens within a jitter from which on the decisions are too dense to be read one by one."""
_SPARSE = 0.15
"""Tokens within a round trip's spread up to which the shares of the way up cannot be told, and need not be: half of the
excess each way is wrong by half of the spread at most."""
_STEEP = 12.0
"""Log likelihood below the best at which a (rate, burst) is out of the picture."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Log probability over rates, (k,), each with bursts of its own, k arrays (j,); not normalised."""

    rate: Floats
    burst: list[Floats]
    log_p: list[Floats]

    @property
    def burst_span(self) -> tuple[float, float]:
        """The least and the greatest burst."""
        return min(float(b[0]) for b in self.burst), max(float(b[-1]) for b in self.burst)

    @property
    def peak(self) -> float:
        """The highest log probability."""
        return max(float(p.max()) for p in self.log_p)

    def on(self, bursts: Floats) -> Floats:
        """Log probability of each rate with each of `bursts`, (k, len(bursts)); -inf out of reach."""
        rows = zip(self.burst, self.log_p, strict=True)
        return np.array([np.interp(bursts, b, p, -np.inf, -np.inf) for b, p in rows])

    def at_whole_bursts(self) -> tuple[Floats, Floats]:
        """Return the whole numbers of tokens in reach, (j,), and the log probability of each with each rate, (k, j)."""
        least, greatest = self.burst_span
        low, high = np.ceil(least - 1e-9), np.floor(greatest + 1e-9)
        whole = np.arange(max(low, 1.0), min(high, low + 400) + 1.0)
        return whole, self.on(whole)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted bucket: its numbers, the jitter of one way, the shares of the way up, and the record in fitted order."""

    rate: float
    burst: float
    jitter: float
    shares: tuple[float, float]
    record: Record


@dataclass(frozen=True, slots=True)
class _Judged:
    """What of a record its judged deficits are made of at any rate, gathered once: a search tries thousands of rates.

    `later` is each judged refusal's moment if it was decided a little later than fitted, `after` the admissions before that.
    """

    record: Record
    at: Floats
    before: Ints
    later: Floats
    after: Ints

    @classmethod
    def of(cls, record: Record) -> _Judged:
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
        return _disagreement(*self.deficits(rate))


def disagreement(record: Record, rate: float) -> tuple[float, float]:
    """How much decisions contradict the best bucket of this `rate`, from 0 to about 1, and that bucket's burst.

    It is the tokens by which deficits lie on the wrong side of burst - 1, as a share of all their distances from there. The
    burst is where as many admissions lie above it as refusals below: the minimum of those tokens, found in one pass.
    """
    return _Judged.of(record).disagreement(rate)


def _disagreement(taken: Floats, lacked: Floats) -> tuple[float, float]:
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


def rough_rate(record: Record, rates: Floats) -> tuple[float, float]:
    """Return the rate of least disagreement, searched over `rates` and then ever closer; returns (rate, disagreement)."""
    judged = _Judged.of(record)
    costs = np.array([judged.disagreement(rate)[0] for rate in rates])
    best = int(np.argmin(costs))
    for _ in range(9):
        low, high = rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)]
        rates = np.linspace(low, high, 13)
        costs = np.array([judged.disagreement(rate)[0] for rate in rates])
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
    found = [candidates(record)]
    for most in (1, 3):  # admissions between two refusals of such a stretch
        cuts = np.flatnonzero(np.diff(record.before) > most) + 1
        first, last = np.concatenate(([0], cuts)), np.concatenate((cuts, [len(record.refused)])) - 1
        count, lasted = record.before[last] - record.before[first], record.refused[last] - record.refused[first]
        for index in np.argsort(-count, kind="stable")[:_STRETCHES]:
            if count[index] >= _FEWEST_COUNTED and lasted[index] > 0:
                one = 1.5 / count[index]
                found.append(count[index] / lasted[index] * np.linspace(1 - one, 1 + one, _AROUND))
    return np.unique(np.concatenate(found))


def _densest(times: Floats) -> float:
    if len(times) < 2:
        return 1.0
    count = min(len(times) - 1, 32)
    return float(count / max(1e-3, np.min(times[count:] - times[:-count])))


def fit_bucket(calls: Calls, deficit: float = 0.0, likely: float | None = None) -> Fit:
    """Fit rate, burst, jitter and the shares of the way up; no posterior yet. Needs both kinds of decisions.

    `likely` is their likely rate, where it is known.
    """
    part = calls.part(_STAGES[-1])
    jitter = calls.typical_spread
    rate = likely_rate(calls, deficit)[1] if likely is None else likely
    near = rate * np.array([0.99, 0.997, 1.0, 1.003, 1.01])
    shares = (
        (0.5, 0.5) if rate * jitter < _SPARSE or len(part.sent) < _FEW else _best_shares(part, near, jitter, deficit)
    )
    record = Record.of(calls, shares, jitter, deficit, _JUDGED)
    around = near if len(calls.sent) == len(part.sent) else rate * np.geomspace(0.9, 1.1, 41)
    rate, _ = rough_rate(record, around)
    burst = disagreement(record, rate)[1]
    return settle(calls, Fit(rate, burst, jitter, shares, record))


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
            records.append(Record.of(part, (0.5, 0.5), calls.typical_spread, deficit, _JUDGED))
        if stage >= len(calls.sent):
            break
    return records


def _rates_found(records: Sequence[Record], worth: Callable[[Record], Floats]) -> Iterator[tuple[float, float]]:
    """(disagreement, rate) for the rates that are `worth` trying on each record, looked at closer on the longer ones."""
    for number, record in enumerate(records):
        rate, cost = rough_rate(record, worth(record))
        for longer in records[number + 1 :]:
            rate, cost = rough_rate(longer, rate * np.geomspace(0.97, 1.03, 41))
        yield cost, rate


def _best_shares(calls: Calls, rates: Floats, jitter: float, deficit: float) -> tuple[float, float]:
    """Return the shares of the way up, of admitted and of refused calls, with the least disagreement."""
    best = (np.inf, (0.5, 0.5))
    for a_share in _SHARES:
        for r_share in _SHARES:
            record = Record.of(calls, (a_share, r_share), jitter, deficit, _JUDGED)
            cost = rough_rate(record, rates)[1] * (1.0 if a_share == r_share else 1.05)
            best = min(best, (cost, (a_share, r_share)))
    return best[1]


def settle(calls: Calls, fit: Fit) -> Fit:
    """Return the same rate with the jitter that the decisions show, within what the round trips allow, and the burst
    for it.
    """
    # Of a round trip's excess, half is each way's at a guess; whatever the truth, independent ways leave half of the spread.
    most = 0.7 * calls.typical_spread + 4e-4
    sparse = fit.rate * calls.typical_spread < _SPARSE or len(calls.sent) < _FEW
    least = min(max((0.6 if sparse else 0.2) * calls.typical_spread, 1.5e-4), most)
    if fit.rate * least > _DENSE:
        return _settle_by_replay(calls, fit, least, most)
    best, best_log = fit, -np.inf
    for jitter in np.geomspace(least, most, 8):
        record = Record.of(calls, fit.shares, float(jitter), fit.record.deficit, _JUDGED)
        bursts, logs = profile(record, fit.rate, float(jitter))
        log_l = float(logs.max())
        if log_l > best_log + 0.5:
            burst = float(bursts[np.argmax(logs)])
            best, best_log = Fit(fit.rate, burst, float(jitter), fit.shares, record), log_l
    return best


def _settle_by_replay(calls: Calls, fit: Fit, least: float, most: float) -> Fit:
    """Where tokens come closer than the jitter, each decision says little and the likelihood knows no order among
    admissions: there the jitter is the one with which replays show as much too-early admission as was observed.
    """
    part = calls.part(5000)
    rng = np.random.default_rng(len(calls.sent))
    jitter = fit.jitter
    for _ in range(2):
        record = Record.of(part, fit.shares, jitter, fit.record.deficit, _JUDGED)
        bursts, logs = profile(record, fit.rate, jitter)
        burst = float(bursts[np.argmax(logs)])
        seen = float(record.residuals(fit.rate, burst)[0].sum())
        low, high = least, most
        for _ in range(5):
            jitter = float(np.sqrt(low * high))
            early = []
            for admitted in replay(part, fit.shares, jitter, fit.record.deficit, fit.rate, burst, rng, 3):
                again, shares = as_decided(part, admitted, fit.shares)
                other = Record.of(again, shares, jitter, fit.record.deficit)
                early.append(float(other.residuals(fit.rate, burst)[0].sum()))
            low, high = (jitter, high) if np.mean(early) < seen else (low, jitter)
    record = Record.of(calls, fit.shares, jitter, fit.record.deficit, _JUDGED)
    return Fit(fit.rate, burst, jitter, fit.shares, record)


def profile(record: Record, rate: float, jitter: float, most: int = 41) -> tuple[Floats, Floats]:
    """For one rate: bursts around the best, (j,), at most `most`, and the log likelihood of each.

    Each time the bucket was full, that moment is known to one sd of `jitter` only, and it shifts all that follows: this
    is integrated out group by group, a group being the decisions since one moment at which the bucket was full.
    """
    taken, lacked = _Judged.of(record).deficits(rate)
    edge = _disagreement(taken, lacked)[1]
    blur = rate * jitter
    most_taken = float(taken.max()) if len(taken) else 0.0
    least_lacked = float(lacked.min()) if len(lacked) else most_taken + 50.0
    low = max(min(most_taken, least_lacked) + 1.0, edge - 1.0 - 4 * blur) - 4 * blur
    high = min(max(most_taken, least_lacked) + 1.0, max(edge + 1.0 + 4 * blur, most_taken + 51)) + 4 * blur
    low, high = max(low, 0.5), max(high, 1.0)
    bursts = np.linspace(low, high, int(min(max(11, (high - low) / (0.7 * blur)), most)))
    by_admission, by_refusal = record.groups(rate)
    count = int(max(by_admission.max(initial=0), by_refusal.max(initial=0))) + 1
    yes, no = record.log_likelihood(rate, bursts)
    logs = _by_group(yes, by_admission, count) + _by_group(no, by_refusal, count)
    if blur > (bursts[1] - bursts[0]) / 3:
        kernel = np.exp(-0.5 * ((bursts[:, None] - bursts[None, :]) / blur) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        peak = logs.max(axis=0)
        logs = peak + np.log(np.maximum(kernel @ np.exp(logs - peak), 1e-300))
    return bursts, logs.sum(axis=1)


def _by_group(values: Floats, groups: Ints, count: int) -> Floats:
    """Return the sums of `values` (k, n) over each of `count` groups, (k, count); `groups` (n,) has each column's."""
    index = groups + count * np.arange(len(values))[:, None]
    sums = np.bincount(index.ravel(), values.ravel(), len(values) * count)
    return np.asarray(sums.reshape(len(values), count), np.float64)


def posterior(fit: Fit, points: int = 25) -> Iterator[Posterior | None]:
    """Return the posterior of (rate, burst), ever sharper, None while it is not ready; the last one is the one to use.

    It is an iterator so that a live probe may do other things in between.
    """
    record, centre = fit.record, fit.rate
    peak = float(profile(record, centre, fit.jitter)[1].max())
    span = max(float(record.admitted[-1]), 1e-3) if len(record.admitted) else 1.0
    edges = []
    for sign in (-1.0, 1.0):
        width = 0.3 * fit.jitter / span * centre
        for _ in range(40):
            yield None
            if sign < 0 and width > 0.97 * centre:
                width = 0.97 * centre
                break
            top = float(profile(record, centre + sign * width, fit.jitter)[1].max())
            peak = max(peak, top)
            if top < peak - _STEEP or width > 20 * centre:
                break
            width *= 2.5
        edges.append(centre + sign * width)
    low, high = edges
    for _ in range(5):
        rates = np.linspace(low, high, points)
        rows = []
        for rate in rates:
            rows.append(profile(record, float(rate), fit.jitter))
            yield None
        found = Posterior(rates, [row[0] for row in rows], [row[1] for row in rows])
        yield found
        tops = np.array([row.max() for row in found.log_p])
        whole, log_p = found.at_whole_bursts()
        if len(whole) and log_p.max() > tops.max() - 40:  # look closer at where a whole burst may fit
            tops = np.maximum(tops - 6, log_p.max(axis=1))
        alive = np.flatnonzero(tops > tops.max() - _STEEP)
        first, last = max(alive[0] - 1, 0), min(alive[-1] + 1, points - 1)
        if last - first > points // 3:
            return
        low, high = float(rates[first]), float(rates[last])


def normalised(log_p: Floats) -> Floats:
    """Probabilities that sum to 1 from log probabilities of any shape."""
    return np.asarray(np.exp(log_p - logsumexp(log_p)))
