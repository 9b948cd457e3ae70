"""The token bucket that fits a record best, and how probable each (rate, burst) is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from harness.quotas.bucket import Record
from harness.quotas.record import Floats
from harness.quotas.timing import Calls

_SHARES = (0.0, 0.5, 1.0)
_STEEP = 12.0
"""Log likelihood below the best at which a (rate, burst) is out of the picture."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probability over rates, (k,), each with its own bursts, (k, m): `log_p` (k, m), not normalised."""

    rate: Floats
    burst: Floats
    log_p: Floats

    def at_whole_bursts(self) -> tuple[Floats, Floats]:
        """The whole numbers of tokens in reach, (j,), and the log probability of each with each rate, (k, j)."""
        low, high = np.ceil(self.burst.min() - 1e-9), np.floor(self.burst.max() + 1e-9)
        whole = np.arange(max(low, 1.0), min(high, low + 400) + 1.0)
        if not len(whole):
            return whole, np.empty((len(self.rate), 0))
        log_p = np.array(
            [np.interp(whole, b, p, -np.inf, -np.inf) for b, p in zip(self.burst, self.log_p, strict=True)]
        )
        return whole, log_p


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted bucket: its numbers, the record in fitted order, and the posterior."""

    rate: float
    burst: float
    jitter: float
    shares: tuple[float, float]
    record: Record
    log_likelihood: float
    posterior: Posterior | None = None


def disagreement(record: Record, rate: float) -> tuple[float, float]:
    """How much decisions contradict the best bucket of this `rate`, from 0 to about 0.5, and that bucket's burst.

    It is the tokens by which deficits lie on the wrong side of burst - 1, as a share of all their distances from there. The
    burst is where as many admissions lie above it as refusals below: the minimum of those tokens, found in one pass.
    """
    taken, lacked = _judged_deficits(record, rate)
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
    return wrong / max(float(np.abs(both - edge).sum()), 1e-9), edge + 1.0


def _judged_deficits(record: Record, rate: float) -> tuple[Floats, Floats]:
    """Deficits of the judged admissions and refusals; a refusal may have been decided a little later than fitted."""
    counter, highest = record.lines(rate)
    later = record.refused + 3 * record.refused_spread
    after = np.searchsorted(record.admitted, later)
    now = rate * record.refused - record.before
    then = rate * later - after
    lacked = np.maximum(highest[record.before] - now, highest[after] - then)
    taken = highest[1:] - counter
    return taken[record.admitted_weight > 0], np.maximum(lacked, 0.0)[record.refused_weight > 0]


def rough_rate(record: Record, rates: Floats) -> tuple[float, float]:
    """The rate of least disagreement, searched over `rates` and then ever closer; returns (rate, disagreement)."""
    costs = np.array([disagreement(record, rate)[0] for rate in rates])
    best = int(np.argmin(costs))
    for _ in range(9):
        low, high = rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)]
        rates = np.linspace(low, high, 13)
        costs = np.array([disagreement(record, rate)[0] for rate in rates])
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


def _densest(times: Floats) -> float:
    if len(times) < 2:
        return 1.0
    count = min(len(times) - 1, 32)
    return float(count / max(1e-3, np.min(times[count:] - times[:-count])))


def fit_bucket(calls: Calls, deficit: float = 0.0, rates: Floats | None = None) -> Fit:
    """Fit rate, burst, jitter and the shares of the way up; no posterior yet. Needs both kinds of decisions."""
    part = _head(calls, 3000)
    jitter = calls.typical_spread
    record = Record.of(part, (0.5, 0.5), jitter, deficit)
    rate, _ = rough_rate(record, candidates(record) if rates is None else rates)
    near = rate * np.array([0.99, 0.997, 1.0, 1.003, 1.01])
    best = (np.inf, (0.5, 0.5))
    for a_share in _SHARES:
        for r_share in _SHARES:
            record = Record.of(part, (a_share, r_share), jitter, deficit)
            cost = rough_rate(record, near)[1] * (1.0 if a_share == r_share else 1.05)
            best = min(best, (cost, (a_share, r_share)))
    shares = best[1]
    record = Record.of(calls, shares, jitter, deficit)
    if len(calls.sent) > len(part.sent):
        rate, _ = rough_rate(record, rate * np.geomspace(0.9, 1.1, 41))
    else:
        rate, _ = rough_rate(record, near)
    burst = disagreement(record, rate)[1]
    return _settle(calls, shares, rate, burst, deficit)


def _settle(calls: Calls, shares: tuple[float, float], rate: float, burst: float, deficit: float) -> Fit:
    """Choose the jitter by likelihood, within what the round trips allow."""
    most = 1.5 * calls.typical_spread + 5e-4
    best: Fit | None = None
    for jitter in np.geomspace(min(1e-4, most / 4), most, 9):
        record = Record.of(calls, shares, float(jitter), deficit)
        for b in (burst, float(max(1, round(burst)))):
            log_l = _total(record, rate, b)
            if best is None or log_l > best.log_likelihood:
                best = Fit(rate, b, float(jitter), shares, record, log_l)
    assert best is not None
    return best


def _total(record: Record, rate: float, burst: float) -> float:
    yes, no = record.log_likelihood(rate, burst)
    return float(yes.sum() + no.sum())


def _head(calls: Calls, most: int) -> Calls:
    if len(calls.sent) <= most:
        return calls
    return Calls(
        calls.sent[:most], calls.excess[:most], calls.admitted[:most], calls.clouded[:most], calls.typical_spread
    )


def profile(record: Record, rate: float, jitter: float, points: int = 25) -> tuple[Floats, Floats]:
    """For one rate: bursts around the best, (points,), and the log likelihood of each.

    Each time the bucket was full, that moment is known to one sd of `jitter` only, and it shifts all that follows: this
    is integrated out group by group, a group being the decisions since one moment at which the bucket was full.
    """
    taken, lacked = _judged_deficits(record, rate)
    edge = disagreement(record, rate)[1]
    blur = rate * jitter
    most_taken = float(taken.max()) if len(taken) else 0.0
    least_lacked = float(lacked.min()) if len(lacked) else most_taken + 50.0
    low = max(min(most_taken, least_lacked) + 1.0, edge - 1.0 - 6 * blur) - 6 * blur
    high = min(max(most_taken, least_lacked) + 1.0, max(edge + 1.0, most_taken + 51) + 6 * blur) + 6 * blur
    bursts = np.linspace(max(low, 0.5), max(high, 1.0), points)
    by_admission, by_refusal = record.groups(rate)
    count = int(by_admission.max(initial=0)) + 1
    count = max(count, int(by_refusal.max(initial=0)) + 1)
    logs = np.empty((points, count))
    for row, burst in enumerate(bursts):
        yes, no = record.log_likelihood(rate, float(burst))
        logs[row] = np.bincount(by_admission, yes, count) + np.bincount(by_refusal, no, count)
    step = bursts[1] - bursts[0]
    if blur > step / 3:
        distance = (bursts[:, None] - bursts[None, :]) / blur
        kernel = np.exp(-0.5 * distance**2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        peak = logs.max(axis=0)
        logs = peak + np.log(np.maximum(kernel @ np.exp(logs - peak), 1e-300))
    return bursts, logs.sum(axis=1)


def posterior(fit: Fit, points: int = 31) -> Iterator[Posterior]:
    """The posterior of (rate, burst), ever sharper: each is a better one; the last is the one to use.

    It is an iterator so that a live probe may let its calls go out in between.
    """
    record, centre = fit.record, fit.rate
    _, logs = profile(record, centre, fit.jitter)
    peak = float(logs.max())
    edges = []
    for sign in (-1.0, 1.0):
        width = 1e-6 * centre
        while width < 0.9 * centre or sign > 0:
            top = float(profile(record, centre + sign * width, fit.jitter)[1].max())
            peak = max(peak, top)
            if top < peak - _STEEP or width > 20 * centre:
                break
            width *= 3.0
        edges.append(max(centre + sign * width, 0.01 * centre))
    low, high = edges
    for _ in range(5):
        rates = np.linspace(low, high, points)
        rows = [profile(record, float(rate), fit.jitter) for rate in rates]
        found = Posterior(rates, np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))
        yield found
        whole, log_p = found.at_whole_bursts()
        tops = found.log_p.max(axis=1)
        if len(whole) and log_p.max() > tops.max() - 6:
            tops = log_p.max(axis=1)
        alive = np.flatnonzero(tops > tops.max() - _STEEP)
        first, last = max(alive[0] - 1, 0), min(alive[-1] + 1, points - 1)
        if last - first > points // 2:
            return
        low, high = float(rates[first]), float(rates[last])


def normalised(log_p: Floats) -> Floats:
    """Probabilities that sum to 1 from log probabilities of any shape."""
    return np.asarray(np.exp(log_p - logsumexp(log_p)))
