"""Ways to read a record as a token bucket's: what costs a token, and what was in the bucket when the record began."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from harness.quotas.attempts import (
    CHAT_LIMIT,
    OUTCOMES,
    STARTED,
    THROTTLED,
    Attempts,
    Floats,
)
from harness.quotas.tps.bucket import Record
from harness.quotas.tps.fit import Fit, Posterior, fit_bucket, posterior, settle
from harness.quotas.tps.goodness import Goodness, contradictions, goodness
from harness.quotas.tps.rate import disagreement, rough_rate
from harness.quotas.tps.stalls import placed
from harness.quotas.tps.timing import Calls
from harness.vocabulary import MAY_COST_TOKEN

_HOPELESS, _HOPELESS_SHARE = 10, 0.01
"""Contradictions, and their share, from which a fitted bucket is given up before its posterior is computed."""
_COST_GROUPS = tuple(tuple(map(OUTCOMES.index, group)) for group in MAY_COST_TOKEN)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the record: which outcomes beside `started` cost a token, and the bucket that fits then."""

    costing: frozenset[int]
    attempts: Attempts
    calls: Calls
    fit: Fit
    rate: float
    burst: float
    whole: bool
    posterior: Posterior
    goodness: Goodness

    def free(self) -> list[str]:
        """Return the outcomes of the record, by name, that cost no token if it is read this way."""
        others = [code for group in _COST_GROUPS for code in group if code not in self.costing]
        return [OUTCOMES[code] for code in others if self.attempts.count(code)]


def costs(attempts: Attempts) -> Iterator[frozenset[int]]:
    """Which outcomes may cost a token: first what the documentation suggests (all of them), then each other way.

    A refusal by the chat quota that costs no token leaves the bucket as it was, so a full instance would not be throttled
    between two of them: where it was, they cost one.
    """
    groups = [group for group in _COST_GROUPS if any(map(attempts.count, group))]
    for choice in sorted(product((True, False), repeat=len(groups)), key=lambda c: -sum(c)):
        costing = frozenset(code for group, taken in zip(groups, choice, strict=True) if taken for code in group)
        if CHAT_LIMIT in costing or _throttled_while_full(attempts) < 2:
            yield costing


def _throttled_while_full(attempts: Attempts) -> int:
    """Throttles between two refusals by the chat quota with no start among them."""
    kept = attempts.outcome[np.isin(attempts.outcome, (STARTED, THROTTLED, CHAT_LIMIT))]
    marks = np.flatnonzero(kept != THROTTLED)
    between = (kept[marks[:-1]] == CHAT_LIMIT) & (kept[marks[1:]] == CHAT_LIMIT)
    return int((np.diff(marks) - 1)[between].sum())


def read(attempts: Attempts, costing: frozenset[int], deficit: float, seed: int) -> Iterator[Reading | None]:
    """Fit a bucket that lacked `deficit` tokens at first, in steps that yield None; the last one is the reading."""
    admitted = np.isin(attempts.outcome, [STARTED, *costing])
    refused = attempts.outcome == THROTTLED
    calls, likely = placed(Calls.of(attempts, admitted, refused), deficit)
    yield None
    fit = fit_bucket(calls, deficit, likely)
    yield None
    hopeless = _hopeless(calls, fit)
    if hopeless is not None:
        only = Posterior(np.array([fit.rate]), [np.array([fit.burst])], [np.zeros(1)])
        yield Reading(costing, attempts, calls, fit, fit.rate, fit.burst, False, only, hopeless)
        return
    for _ in range(2):
        yield None
        found: Posterior | None = None
        for found in posterior(fit):  # noqa: B007
            yield None
        assert found is not None
        rate, burst, whole = _peak(found)
        again = settle(calls, replace(fit, rate=rate, burst=burst))
        if 0.6 < again.jitter / fit.jitter < 1.7:
            break
        fit = again
    assert found is not None
    good = goodness(calls, fit, rate, burst, seed)
    yield Reading(costing, attempts, calls, fit, rate, burst, whole, found, good)


def _hopeless(calls: Calls, fit: Fit) -> Goodness | None:
    """Return how far the fit is off where no sharper look could make it explain the record; None where one might.

    Records of token buckets leave next to nothing unexplained at this stage.
    """
    full = Record.of(calls, fit.shares, fit.jitter, fit.record.deficit)
    judged = int(np.count_nonzero(~calls.clouded))
    found = (contradictions(full, fit.rate * near, fit.burst) for near in (1.0, 0.999, 1.001))
    count, worst = min(found)
    if count <= _HOPELESS + _HOPELESS_SHARE * judged:
        return None
    return Goodness(count, judged, worst, math.nan, math.nan)


def _peak(found: Posterior) -> tuple[float, float, bool]:
    whole, log_p = found.at_whole_bursts()
    if len(whole) and log_p.max() > found.peak - 6:
        near, number = np.unravel_index(int(np.argmax(log_p)), log_p.shape)
        return float(found.rate[near]), float(whole[number]), True
    row = int(np.argmax([p.max() for p in found.log_p]))
    return float(found.rate[row]), float(found.burst[row][np.argmax(found.log_p[row])]), False


def not_full(attempts: Attempts, best: Reading, seed: int) -> Iterator[Reading | None]:
    """Return the bucket may have lacked tokens when the record began: begin after a pause, or try how many it lacked."""
    later = _after_a_pause(attempts)
    if later is not None:
        for reading in read(later, best.costing, 0.0, seed):
            if reading is None:
                yield None
            elif reading.goodness.fits and _began_lower(best.calls, reading):
                yield reading
                return
    part = best.calls.part(1000)
    if part.admitted.all() or not part.admitted.any():
        return
    costs: list[tuple[int, float]] = []
    near = best.rate * np.geomspace(0.6, 1.6, 41)
    levels = np.linspace(0.0, best.burst + 4, 14)[1:]
    for deficit in levels:
        costs.append(_cost_of(part, float(deficit), near))
        yield None
    centre, step = min(costs)[1], levels[1] - levels[0]
    for deficit in np.linspace(max(centre - step, 0.01), centre + step, 9)[1:-1]:
        costs.append(_cost_of(part, float(deficit), near))
        yield None
    count, deficit = min(costs)
    if count < 0.5 * best.goodness.contradictions:
        yield from read(attempts, best.costing, deficit, seed)


def _began_lower(calls: Calls, reading: Reading) -> bool:
    """Return whether the whole record is that of the bucket found in its later part, once some tokens were missing
    at first.
    """
    missing = np.linspace(0.0, reading.burst, 81)
    records = (Record.of(calls, reading.fit.shares, reading.fit.jitter, float(tokens)) for tokens in missing)
    worst = min(contradictions(record, reading.rate, reading.burst)[0] for record in records)
    return worst <= reading.goodness.allowed + 1


def _after_a_pause(attempts: Attempts) -> Attempts | None:
    """Return the attempts after the first long pause, if most come after it and both kinds of decisions are among them."""
    gaps = np.diff(attempts.sent)
    if len(gaps) < 20 or gaps.max() < 10 * np.median(gaps) + 0.05:
        return None
    first = int(np.flatnonzero(gaps > 0.4 * gaps.max())[0])
    later = attempts.where(np.arange(len(attempts)) > first)
    enough = (
        len(later) > 0.4 * len(attempts)
        and later.count(THROTTLED) >= 5
        and later.count(STARTED) + later.count(CHAT_LIMIT) >= 5
    )
    return later if enough else None


def _cost_of(calls: Calls, deficit: float, rates: Floats) -> tuple[int, float]:
    record = Record.of(calls, (0.5, 0.5), calls.typical_spread, deficit)
    rate, _ = rough_rate(record, rates)
    return contradictions(record, rate, disagreement(record, rate)[1])[0], deficit
