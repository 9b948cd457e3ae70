"""How many decisions go against the token bucket that comes nearest: it is replayed on the same calls."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import betaincinv

from harness.quotas.any_limiter.decisions import Decisions, Mask
from harness.quotas.any_limiter.estimates import Contrary
from harness.quotas.attempts import Floats

_JITTERS = 3.0
"""A decision may come this many jitters before or after the bucket's own, and still be its own."""
_MOST_DECISIONS = 8000


def contrary_share(decisions: Decisions, rates: Iterable[float], bursts: Iterable[float]) -> Contrary | None:
    """Replay buckets of `rates` and `bursts`; the answer is that of the one with the fewest contrary decisions.

    Each replayed bucket follows the observed decision where three jitters explain a difference, and its own elsewhere.
    None where there is nothing to replay.
    """
    if len(decisions) > _MOST_DECISIONS:
        decisions = Decisions(decisions.at[:_MOST_DECISIONS], decisions.admitted[:_MOST_DECISIONS], decisions.jitter)
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
        float(grid[best, 0]),
        float(grid[best, 1]),
        decisions.at[against],
        decisions.admitted[against].astype(float),
    )


def _replay(decisions: Decisions, rate: Floats, burst: Floats) -> tuple[Mask, Mask]:
    """Which decisions were refused though a token was due, and admitted though none was: two masks (n, candidates)."""
    n, slack = len(decisions), _JITTERS * decisions.jitter * rate + 1e-9
    refused, admitted = np.zeros((n, len(rate)), bool), np.zeros((n, len(rate)), bool)
    level = burst.copy() if decisions.admitted[0] else np.zeros(len(rate))
    last = decisions.at[0]
    for index in range(n):
        now = decisions.at[index]
        level = np.minimum(burst, level + rate * (now - last))
        last = now
        own = level >= 1.0
        if decisions.admitted[index]:
            admitted[index] = level < 1.0 - slack
            level = level - ~admitted[index]
        else:
            refused[index] = level > 1.0 + slack
            level = level - (own & refused[index])
    return refused, admitted
