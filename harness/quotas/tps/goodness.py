"""Does the fitted bucket explain the record? Replays of the fit on the same calls say what it would have looked like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Record
from harness.quotas.tps.fit import Fit
from harness.quotas.tps.replay import as_decided, replay
from harness.quotas.tps.timing import Calls

_PARTS = (2, 4)
"""Numbers of parts that are tried: tokens of parts that were emptied together come so many at a time."""
_REPLAYS_IN_PARTS = 6
_WORST = -4.0
"""Log probability below which a single decision counts no worse, so that one hiccup does not decide."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How a record compares with replays of its fit.

    `contradictions`: decisions that the fit misses by far more than the jitter; `decisions`: how many were judged;
    `worst`: the largest miss, seconds; `p_value`: share of the replays that fit no better; `z`: the distance in sd, both
    NaN where the fit was given up before any replay. `by_jitter`: the most contradictions of a replay. `parts_z`: how much
    better the record fits than replays of a bucket in parts that take calls in turn, in sd of those, the least over some
    numbers of parts; NaN where the record does not fit.
    """

    contradictions: int
    decisions: int
    worst: float
    p_value: float
    z: float
    by_jitter: int = 0
    parts_z: float = math.nan

    @property
    def allowed(self) -> int:
        """Contradictions that are put down to hiccups of client or service, and to calls whose order jitter hides."""
        return 1 + int(0.001 * self.decisions) + self.by_jitter

    @property
    def fits(self) -> bool:
        """True if one bucket explains the record."""
        return self.contradictions <= self.allowed and (self.z > -10.0 or self.p_value > 0.05)

    def replayed(self) -> dict[str, float]:
        """Return what replays said, as evidence; empty where none was made."""
        told = {"replay_p_value": round(self.p_value, 3), "replay_z": round(self.z, 2)}
        return {
            name: value
            for name, value in (told | {"parts_in_turn_z": round(self.parts_z, 2)}).items()
            if not math.isnan(value)
        }


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
    judged = int(np.count_nonzero(~calls.clouded))
    scores, missed = _replayed(calls, fit, rate, burst, rng, replays)
    p_value = (1 + int(np.count_nonzero(scores <= observed))) / (replays + 1)
    z = (observed - float(scores.mean())) / max(float(scores.std()), 1.0)
    found = Goodness(count, judged, worst, p_value, z, int(missed.max()))
    if not found.fits:
        return found
    apart = []
    for parts in _PARTS:
        scores, _ = _replayed(calls, fit, rate, burst, rng, _REPLAYS_IN_PARTS, parts)
        apart.append((observed - float(scores.mean())) / max(float(scores.std()), 1.0))
    return replace(found, parts_z=min(apart))


def _replayed(
    calls: Calls, fit: Fit, rate: float, burst: float, rng: np.random.Generator, times: int, parts: int = 1
) -> tuple[Floats, Floats]:
    """Return how well the bucket explains each of its replays, in `parts`, (times,), and their contradictions, (times,)."""
    deficit = fit.record.deficit
    admitted = replay(calls, fit.shares, fit.jitter, deficit, rate, burst, rng, times, parts=parts)
    scores, missed = np.empty(times), np.zeros(times)
    for row in range(times):
        again, shares = as_decided(calls, admitted[row], fit.shares)
        record = Record.of(again, shares, fit.jitter, deficit, 4000)
        scores[row] = _clipped(record, rate, burst)
        if parts == 1:
            missed[row] = contradictions(record, rate, burst)[0]
    return scores, missed


def _clipped(record: Record, rate: float, burst: float) -> float:
    yes, no = record.log_likelihood(rate, np.array([burst]))
    return float(np.maximum(yes, _WORST).sum() + np.maximum(no, _WORST).sum())
