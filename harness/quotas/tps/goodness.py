"""What replays of the fitted bucket on the same calls say: whether it explains the record, and how far its burst is off."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.tps.bucket import Record
from harness.quotas.tps.fit import Fit, normalised, profile
from harness.quotas.tps.rate import JUDGED
from harness.quotas.tps.replay import as_decided, moments_of, replay
from harness.quotas.tps.timing import Calls

PARTS = (2, 4)
"""Numbers of parts that are tried: tokens of parts that were emptied together come so many at a time."""
_REPLAYS_IN_PARTS = 6
_SOMEWHAT, _AS_WELL = 0.16, 0.3
"""The record's log probability as one bucket's, as a share of that as its parts', from which on it is not told from parts,
and from which on the burst may be the parts': true buckets had 0.14 at the most, more only where jitter hides the order
of calls; parts that were taken for one bucket 0.19 to 0.24 at 200 to 350/s, and 0.25 to 7 at 30 to 90/s."""
_SOMEWHAT_IN_ORDER, _IN_ORDER = 0.25, 0.1
"""The first of these where fewer tokens than the second lie within a jitter: true buckets had 0.2 there, while of 160 parts
that take turns all that were taken for one bucket had 0.25 and more, and 0.118 tokens within a jitter."""
_ORDER_HIDDEN = 0.12
"""Tokens within a jitter from which on one bucket is not told from its parts: jitter hides the order of calls."""
_HIDDEN_TURNS = 0.35
"""Tokens within a jitter from which on it hides whose turn a call was, and parts explain as little as one bucket does."""
_BLURRED = 0.15
"""Tokens within a jitter from which on the burst is read with the help of replays."""
_SURER = 1.5
"""Replays draw their jitter from the fit; the burst is known so many times less closely than it varies in them."""
_WORST = -4.0
"""Log probability below which a single decision counts no worse, so that one hiccup does not decide."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How a record compares with replays of its fit.

    `contradictions`: decisions that the fit misses by far more than the jitter; `decisions`: how many were judged;
    `worst`: the largest miss, seconds; `p_value`: share of the replays that fit no better; `z`: the distance in sd, both
    NaN where the fit was given up before any replay. `by_jitter`: the most contradictions of a replay. `parts_z`: how much
    better the record fits than replays of a bucket in parts that take calls in turn, in sd of those, the least over some
    numbers of parts, and no more than 0 where such parts explain the record about as well; NaN where it does not fit.
    `burst` is the likely burst, less what it is off in replays, whose burst is known, and one sd of it; None where tokens
    are so far apart that each decision is told from the next. `in_turn`: such parts explain the record about as well.
    """

    contradictions: int
    decisions: int
    worst: float
    p_value: float
    z: float
    by_jitter: int = 0
    parts_z: float = math.nan
    burst: tuple[float, float] | None = None
    in_turn: bool = False

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
    seen = _replayed(calls, fit, rate, burst, rng, replays)
    p_value = (1 + int(np.count_nonzero(seen.scores <= observed))) / (replays + 1)
    z = (observed - float(seen.scores.mean())) / max(float(seen.scores.std()), 1.0)
    found = Goodness(count, judged, worst, p_value, z, int(seen.missed.max()))
    if not found.fits:
        return found
    apart = []
    for parts in PARTS:
        scores = _replayed(calls, fit, rate, burst, rng, _REPLAYS_IN_PARTS, parts).scores
        apart.append((observed - float(scores.mean())) / max(float(scores.std()), 1.0))
    as_well = _parts_explain(calls, fit, rate, burst, observed)
    somewhat = _SOMEWHAT_IN_ORDER if rate * fit.jitter < _IN_ORDER else _SOMEWHAT
    if as_well > somewhat or rate * fit.jitter > _ORDER_HIDDEN:
        apart.append(0.0)
    in_turn = as_well > _AS_WELL and rate * fit.jitter < _HIDDEN_TURNS
    found = replace(found, parts_z=min(apart), in_turn=in_turn)
    if rate * fit.jitter < _BLURRED:
        return found
    likely = _likely_burst(fit.record, rate, fit.jitter)
    return replace(found, burst=(likely - float(seen.bursts.mean()) + burst, _SURER * float(seen.bursts.std())))


def _parts_explain(calls: Calls, fit: Fit, rate: float, burst: float, whole: float) -> float:
    """Return how well equal parts of the bucket, each for the calls that are its turn, explain the record, as the share that
    the `whole` one's log probability is of theirs: 1 as well, 0 not at all.
    """
    best = 0.0
    order = np.argsort(moments_of(calls, fit.shares), kind="stable")
    for parts in PARTS:
        score = 0.0
        for turn in range(parts):
            its = calls.of_index(np.sort(order[turn::parts]))
            record = Record.of(its, fit.shares, fit.jitter, fit.record.deficit / parts, JUDGED // parts)
            sizes = (burst + np.arange(-1.0, parts + 0.5, 0.5)) / parts
            score += max(_clipped(record, rate / parts, float(size)) for size in sizes)
        best = max(best, whole / min(score, -1e-9))
    return best


@dataclass(frozen=True, slots=True)
class _Replayed:
    """Of each replay, (times,): how well the bucket explains it, its contradictions, and its likely burst."""

    scores: Floats
    missed: Floats
    bursts: Floats


def _replayed(
    calls: Calls, fit: Fit, rate: float, burst: float, rng: np.random.Generator, times: int, parts: int = 1
) -> _Replayed:
    """Replay the bucket, or `parts` of it; of parts, nothing but the scores is looked at."""
    deficit = fit.record.deficit
    admitted = replay(calls, fit.shares, fit.jitter, deficit, rate, burst, rng, times, parts=parts)
    found = _Replayed(np.empty(times), np.zeros(times), np.zeros(times))
    for row in range(times):
        again, shares = as_decided(calls, admitted[row], fit.shares)
        record = Record.of(again, shares, fit.jitter, deficit, JUDGED)
        found.scores[row] = _clipped(record, rate, burst)
        if parts == 1:
            found.missed[row] = contradictions(record, rate, burst)[0]
            if rate * fit.jitter >= _BLURRED:
                found.bursts[row] = _likely_burst(record, rate, fit.jitter)
    return found


def _likely_burst(record: Record, rate: float, jitter: float) -> float:
    bursts, logs = profile(record, rate, jitter)
    return float(np.sum(bursts * normalised(logs)))


def _clipped(record: Record, rate: float, burst: float) -> float:
    yes, no = record.log_likelihood(rate, np.array([burst]))
    return float(np.maximum(yes, _WORST).sum() + np.maximum(no, _WORST).sum())
