"""The token bucket that fits a record best, and how probable each (rate, burst) is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Ints, Record
from harness.quotas.tps.rate import (
    JUDGED,
    Judged,
    disagreement,
    disagreement_of,
    likely_rate,
    on_more_calls,
    rough_rate,
)
from harness.quotas.tps.replay import as_decided, replay
from harness.quotas.tps.timing import Calls

_SHARES = (0.0, 0.5, 1.0)
_FEW = 300
"""Decisions below which the shares of the way up are not looked for either."""
_DENSE = 0.02
"""Tokens within a jitter from which on the decisions are too dense to be read one by one."""
_REPLAYED = 10_000
"""Most calls that are replayed to find the jitter."""
_STEADY = 0.05
"""Share of the round trips' spread that the jitter is at the least where replays tell it: all of the rest may come after the
decision, and is then left out."""
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


def fit_bucket(calls: Calls, deficit: float = 0.0, likely: float | None = None) -> Fit:
    """Fit rate, burst, jitter and the shares of the way up; no posterior yet. Needs both kinds of decisions.

    `likely` is their likely rate, where it is known.
    """
    jitter = calls.typical_spread
    rate = likely_rate(calls, deficit)[1] if likely is None else likely
    rate, near = on_more_calls(calls, rate, deficit)
    few = rate * jitter < _SPARSE or len(calls.sent) < _FEW
    shares = (0.5, 0.5) if few else _best_shares(calls, near, jitter, deficit)
    record = Record.of(calls, shares, jitter, deficit, JUDGED)
    rate, _ = rough_rate(record, near)
    burst = disagreement(record, rate)[1]
    return settle(calls, Fit(rate, burst, jitter, shares, record))


def _best_shares(calls: Calls, rates: Floats, jitter: float, deficit: float) -> tuple[float, float]:
    """Return the shares of the way up, of admitted and of refused calls, with the least disagreement."""
    best = (np.inf, (0.5, 0.5))
    for a_share in _SHARES:
        for r_share in _SHARES:
            record = Record.of(calls, (a_share, r_share), jitter, deficit, JUDGED)
            judged = Judged.of(record)
            cost = min(map(judged.disagreement_by_group, rates)) * (1.0 if a_share == r_share else 1.05)
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
        return _settle_by_replay(calls, fit, max(_STEADY * calls.typical_spread, 1.5e-4), most)
    best, best_log = fit, -np.inf
    for jitter in np.geomspace(least, most, 8):
        record = Record.of(calls, fit.shares, float(jitter), fit.record.deficit, JUDGED)
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
    part = calls.part(_REPLAYED)
    begin = float(part.sent[0] - calls.sent[0])
    deficit = fit.record.lacking(fit.rate, begin) if begin > 0 else fit.record.deficit
    rng = np.random.default_rng(len(calls.sent))
    burst = disagreement(Record.of(part, fit.shares, fit.jitter, deficit, JUDGED), fit.rate)[1]
    low, high = least, most
    for _ in range(7):
        jitter = float(np.sqrt(low * high))
        seen = Judged.of(Record.of(part, fit.shares, jitter, deficit, JUDGED)).early(fit.rate)
        early = []
        for admitted in replay(part, fit.shares, jitter, deficit, fit.rate, burst, rng, 3):
            again, shares = as_decided(part, admitted, fit.shares)
            early.append(Judged.of(Record.of(again, shares, jitter, deficit, JUDGED)).early(fit.rate))
        low, high = (jitter, high) if np.mean(early) < seen else (low, jitter)
    record = Record.of(calls, fit.shares, jitter, fit.record.deficit, JUDGED)
    bursts, logs = profile(record, fit.rate, jitter)
    return Fit(fit.rate, float(bursts[np.argmax(logs)]), jitter, fit.shares, record)


def profile(record: Record, rate: float, jitter: float, most: int = 41) -> tuple[Floats, Floats]:
    """For one rate: bursts around the best, (j,), at most `most`, and the log likelihood of each.

    Each time the bucket was full, that moment is known to one sd of `jitter` only, and it shifts all that follows: this
    is integrated out group by group, a group being the decisions since one moment at which the bucket was full.
    """
    taken, lacked = Judged.of(record).deficits(rate)
    edge = disagreement_of(taken, lacked)[1]
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
    likely = np.exp(log_p - log_p.max())
    return np.asarray(likely / likely.sum())
