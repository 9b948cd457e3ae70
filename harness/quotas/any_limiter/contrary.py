"""How many decisions go against the token bucket that comes nearest: it is replayed on the same calls."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.quotas.any_limiter.decisions import Decisions, Mask
from harness.quotas.any_limiter.estimates import MOST_SINGLE, Contrary, Penalty, Sustained
from harness.quotas.attempts import Floats
from harness.quotas.special import betaincinv, gammaincinv

_RATE_SLACK = 0.006
"""Share by which a candidate's rate may be off: candidates stand closer together than twice that."""
_MOST_DECISIONS = 8000
_AT_ONCE = 256
"""What does not depend on the decision before is worked out for so many at a time."""
_PENALTY_EXPLAINS = 0.005
"""Share of contrary decisions up to which a penalising bucket explains a record."""


def contrary_share(decisions: Decisions, rates: Iterable[float], bursts: Iterable[float]) -> Contrary | None:
    """Replay buckets of `rates` and `bursts`; the answer is that of the one with the fewest contrary decisions.

    None where there is nothing to replay.
    """
    if len(decisions) > _MOST_DECISIONS:
        decisions = decisions.between(-np.inf, float(decisions.at[_MOST_DECISIONS]))
    grid = np.array([(r, b) for r in rates for b in bursts if r > 0], float)
    if not len(grid) or not len(decisions):
        return None
    refused, admitted = _replay(decisions, grid[:, 0], np.maximum(grid[:, 1], 1.0), None)
    total = refused.sum(axis=0) + admitted.sum(axis=0)
    best = int(np.argmin(total))
    n, k = len(decisions), int(total[best])
    against = refused[:, best] | admitted[:, best]
    return Contrary(
        k / n,
        float(betaincinv(k, n - k + 1, 0.025)) if k else 0.0,
        float(betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0,
        int(refused[:, best].sum()),
        int(admitted[:, best].sum()),
        n,
        int(np.count_nonzero(decisions.admitted & ~admitted[:, best])) + int(refused[:, best].sum()),
        float(grid[best, 0]),
        float(grid[best, 1]),
        decisions.at[against],
        decisions.admitted[against].astype(float),
    )


_PRIOR_EVENTS = 2.0
"""How many contrary decisions that come independently are taken as seen."""
_BLOCKS = 8
_KEPT = 0.01
"""How seldom the balance of contrary decisions that come independently is so even that they are taken for kept."""


def wandering(contrary: Contrary | None, decisions: Decisions, pressed: Iterable[Sustained]) -> float:
    """Return the variance, admissions squared a decision, that contrary decisions give to what is admitted under pressure.

    It is their share where they come independently of each other, more where they come in bouts, and 0 where one is made
    good by the next (the count is kept, as shards and ticks do), or where there are too many to be told from a limiter of
    another kind. Read in the stretches that were `pressed`, where the balance of eight parts each tells which it is.
    """
    if contrary is None or not contrary.share or contrary.share > MOST_SINGLE:
        return 0.0
    way = np.where(contrary.was_admitted > 0, 1.0, -1.0)
    squares = expected = 0.0
    freedom = seen = 0
    for found in pressed:
        part = decisions.between(found.begin, found.end + 1e-9)
        if len(part) < 2 * _BLOCKS or found.blocks:
            continue
        edges = part.at[(np.arange(_BLOCKS + 1) * (len(part) - 1)) // _BLOCKS]
        within = (contrary.at >= edges[0]) & (contrary.at <= edges[-1])
        balance = np.histogram(contrary.at[within], edges, weights=way[within])[0]
        squares += float(np.sum((balance - balance.mean()) ** 2))
        expected += float(np.count_nonzero(within)) * (1 - 1 / _BLOCKS)
        freedom += _BLOCKS - 1
        seen += len(part)
    kept = (squares + _PRIOR_EVENTS) / (expected + _PRIOR_EVENTS)
    if not seen or kept < float(gammaincinv(freedom / 2, _KEPT)) / (freedom / 2):
        return 0.0
    share = min(contrary.share, (expected / (1 - 1 / _BLOCKS) + 1) / seen)
    return share * max(1.0, kept)


_LEAST_PENALTY = 0.05
"""What a refused call costs at the least where that is to explain anything: less is within what a rate may be off."""
_PENALTIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
_PENALTY_SLACK = 0.02
_READ_FOR_PENALTY = 1500


def penalty_of(decisions: Decisions, sustained: Sustained, bursts: Iterable[float]) -> Penalty | None:
    """Return the bucket of which a refused call takes something too; None where that does not explain nearly all.

    At `sustained` calls a second and an offered load l it has a rate between that and sustained + penalty (l - sustained).
    """
    if len(decisions) > _READ_FOR_PENALTY:
        decisions = decisions.between(-np.inf, float(decisions.at[_READ_FOR_PENALTY]))
    least, most = sustained.low, sustained.high
    refused_rate = (sustained.pressure - 1) * sustained.estimate
    grid = np.array(
        [
            (rate, burst, penalty, floor * burst)
            for penalty in _PENALTIES
            for rate in np.linspace(least, most + penalty * refused_rate, 16)
            for burst in bursts
            for floor in (0.0, -1.0)
        ]
    )
    for _ in range(2):
        best, against = _fewest(decisions, grid)
        near = best[0] * np.linspace(0.93, 1.07, 15)
        grid = np.array(
            [(rate, best[1], p, best[3]) for p in best[2] + np.linspace(-0.06, 0.06, 7) if p > 0 for rate in near]
        )
    share = against / len(decisions)
    told = share < _PENALTY_EXPLAINS and best[2] >= _LEAST_PENALTY
    return Penalty(float(best[2]), float(best[0]), float(best[1]), share) if told else None


def _fewest(decisions: Decisions, grid: Floats) -> tuple[Floats, int]:
    """Return the candidate of `grid` (k, 4: rate, burst, penalty, floor) with fewest contrary decisions, and how many."""
    rate, burst, penalty, floor = np.maximum(grid.T, [[1e-6], [1.0], [0.0], [-np.inf]])
    refused, admitted = _replay(decisions, rate, burst, (penalty, floor))
    total = refused.sum(axis=0) + admitted.sum(axis=0)
    alike = grid[total == total.min()]
    alike = alike[alike[:, 1] == alike[:, 1].min()]
    away = np.abs(alike - np.median(alike, axis=0)) / np.maximum(np.abs(alike).max(axis=0), 1e-9)
    return alike[int(np.argmin(away.sum(axis=1)))], int(total.min())


def _replay(
    decisions: Decisions, rate: Floats, burst: Floats, penalty: tuple[Floats, Floats] | None
) -> tuple[Mask, Mask]:
    """Which decisions were refused though a token was due, and admitted though none was: two masks (n, candidates).

    Each candidate's level is a range: it widens with time by what its rate may be off, and each decision that it allows
    narrows it, so that a rate which is a little off does not add up. A decision that no level of the range allows is
    contrary; the bucket then does what it would have done by itself. Decisions so close together that they may have come
    in the other order are given the benefit of the doubt. `penalty` holds what a refused call costs, and the level (at most
    0) below which that takes nothing, (candidates,) each.
    """
    n = len(decisions)
    refused, admitted = np.zeros((n, len(rate)), bool), np.zeros((n, len(rate)), bool)
    low, high = np.zeros(len(rate)), burst.copy()
    gaps = np.diff(decisions.at, prepend=decisions.at[0])
    taken = np.concatenate(([0], np.cumsum(decisions.admitted)))
    soon = taken[np.searchsorted(decisions.at, decisions.at + 2 * decisions.reach, side="right")] - taken[1:]
    for begin in range(0, n, _AT_ONCE):
        part = np.s_[begin : begin + _AT_ONCE, np.newaxis]
        gained, reach = rate * gaps[part], decisions.reach[part] * rate + 1e-9
        slow, fast = gained * (1 - _RATE_SLACK), gained * (1 + _RATE_SLACK)
        least, most = 1.0 - reach, 1.0 + reach + soon[part]
        for row, index in enumerate(range(begin, min(n, begin + _AT_ONCE))):
            np.minimum(burst, np.add(low, slow[row], out=low), out=low)
            np.minimum(burst, np.add(high, fast[row], out=high), out=high)
            if decisions.admitted[index]:
                against = np.less(high, least[row], out=admitted[index])
                low = np.where(against, low, np.maximum(low, least[row]) - 1.0)
                high -= ~against
            else:
                against = np.greater(low, most[row], out=refused[index])
                high = np.where(against, high - 1.0, np.minimum(high, most[row]))
                low -= against
                if penalty is not None:
                    cost, floor = penalty
                    low = np.where(against, low, np.maximum(np.minimum(low, floor), low - cost - _PENALTY_SLACK))
                    high = np.where(against, high, np.maximum(floor, high - cost + _PENALTY_SLACK))
            np.maximum(high, low, out=high)
    return refused, admitted
