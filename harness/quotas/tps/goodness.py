"""Does the fitted bucket explain the record? Replays of the fit on the same calls say what it would have looked like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.quotas.tps.bucket import Record
from harness.quotas.tps.fit import Fit
from harness.quotas.tps.replay import as_decided, replay
from harness.quotas.tps.timing import Calls

_WORST = -4.0
"""Log probability below which a single decision counts no worse, so that one hiccup does not decide."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How a record compares with replays of its fit.

    `contradictions`: decisions that the fit misses by far more than the jitter; `decisions`: how many were judged;
    `worst`: the largest miss, seconds; `p_value`: share of the replays that fit no better; `z`: the distance in sd, both
    NaN where the fit was given up before any replay.
    """

    contradictions: int
    decisions: int
    worst: float
    p_value: float
    z: float

    @property
    def allowed(self) -> int:
        """Contradictions that are put down to hiccups of client or service."""
        return 1 + int(0.001 * self.decisions)

    @property
    def fits(self) -> bool:
        """True if one bucket explains the record."""
        return self.contradictions <= self.allowed and (self.z > -10.0 or self.p_value > 0.05)


def contradictions(record: Record, rate: float, burst: float) -> tuple[int, float]:
    """How many judged decisions the bucket misses by more than six spreads and a millisecond, and the worst miss."""
    early, late = record.residuals(rate, burst)
    look, seen = record.judged_admissions, record.judged_refusals
    early, late = early[look], -late[seen]
    early = early[early > 6 * record.admitted_spread[look] + 1e-3]
    late = late[late > 6 * record.refused_spread[seen] + 1e-3]
    worst = max(float(early.max(initial=0.0)), float(late.max(initial=0.0)))
    return len(early) + len(late), worst


def goodness(calls: Calls, fit: Fit, rate: float, burst: float, seed: int, replays: int = 24) -> Goodness:
    """Compare the record with `replays` of the bucket (rate, burst) on the same calls, jitter drawn from the fit."""
    full = Record.of(calls, fit.shares, fit.jitter, fit.record.deficit)
    count, worst = contradictions(full, rate, burst)
    observed = _clipped(fit.record, rate, burst)
    rng = np.random.default_rng(seed)
    deficit = fit.record.deficit
    admitted = replay(calls, fit.shares, fit.jitter, deficit, rate, burst, rng, replays)
    scores = np.empty(replays)
    for row in range(replays):
        again, shares = as_decided(calls, admitted[row], fit.shares)
        scores[row] = _clipped(Record.of(again, shares, fit.jitter, deficit, 4000), rate, burst)
    spread = max(float(scores.std()), 1.0)
    p_value = (1 + int(np.count_nonzero(scores <= observed))) / (replays + 1)
    judged = int(np.count_nonzero(~calls.clouded))
    return Goodness(count, judged, worst, p_value, (observed - float(scores.mean())) / spread)


def _clipped(record: Record, rate: float, burst: float) -> float:
    yes, no = record.log_likelihood(rate, burst)
    return float(np.maximum(yes, _WORST).sum() + np.maximum(no, _WORST).sum())
