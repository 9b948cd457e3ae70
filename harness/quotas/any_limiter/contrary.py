"""How many decisions go against the token bucket that comes nearest: it is replayed on the same calls."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import betaincinv

from harness.quotas.any_limiter.decisions import Decisions, Mask
from harness.quotas.any_limiter.estimates import Contrary
from harness.quotas.attempts import Floats

_RATE_SLACK = 0.006
"""Share by which a candidate's rate may be off: candidates stand closer together than twice that."""
_MOST_DECISIONS = 8000


def contrary_share(decisions: Decisions, rates: Iterable[float], bursts: Iterable[float]) -> Contrary | None:
    """Replay buckets of `rates` and `bursts`; the answer is that of the one with the fewest contrary decisions.

    None where there is nothing to replay.
    """
    if len(decisions) > _MOST_DECISIONS:
        decisions = decisions.between(-np.inf, float(decisions.at[_MOST_DECISIONS]))
    grid = np.array([(r, b) for r in rates for b in bursts if r > 0], float)
    if not len(grid) or not len(decisions):
        return None
    refused, admitted = _replay(decisions, grid[:, 0], np.maximum(grid[:, 1], 1.0))
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


def _replay(decisions: Decisions, rate: Floats, burst: Floats) -> tuple[Mask, Mask]:
    """Which decisions were refused though a token was due, and admitted though none was: two masks (n, candidates).

    Each candidate's level is a range: it widens with time by what its rate may be off, and each decision that it allows
    narrows it, so that a rate which is a little off does not add up. A decision that no level of the range allows is
    contrary; the bucket then does what it would have done by itself. Decisions so close together that they may have come
    in the other order are given the benefit of the doubt.
    """
    n = len(decisions)
    refused, admitted = np.zeros((n, len(rate)), bool), np.zeros((n, len(rate)), bool)
    low, high = np.zeros(len(rate)), burst.copy()
    gaps = np.diff(decisions.at, prepend=decisions.at[0])
    taken = np.concatenate(([0], np.cumsum(decisions.admitted)))
    soon = taken[np.searchsorted(decisions.at, decisions.at + 2 * decisions.reach, side="right")] - taken[1:]
    for index in range(n):
        low = np.minimum(burst, low + rate * gaps[index] * (1 - _RATE_SLACK))
        high = np.minimum(burst, high + rate * gaps[index] * (1 + _RATE_SLACK))
        reach = decisions.reach[index] * rate + 1e-9
        if decisions.admitted[index]:
            admitted[index] = against = high < 1.0 - reach
            low = np.where(against, low, np.maximum(low, 1.0 - reach) - 1.0)
            high = np.where(against, high, high - 1.0)
        else:
            most = 1.0 + reach + soon[index]
            refused[index] = against = low > most
            low = np.where(against, low - 1.0, low)
            high = np.where(against, high - 1.0, np.minimum(high, most))
        high = np.maximum(high, low)
    return refused, admitted
