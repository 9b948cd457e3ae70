"""The limit on calls a second, inferred from which calls were admitted and which were throttled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.quotas.attempts import CHAT_LIMIT, STARTED, THROTTLED, Attempts
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.estimate import answer, never_met, unknown
from harness.quotas.tps.readings import Reading, costs, not_full, read
from harness.quotas.tps.timing import telling
from harness.quotas.tps.windows import best_window

_MOST_CALLS = 60_000
"""Most decisions that are read; of a longer record, those that change most often between admitted and refused."""


def infer_tps(attempts: Attempts, *, seed: int = 0) -> TpsEstimate:
    """Rate, burst and kind of the limiter that explains `attempts`; deterministic for a given `seed`.

    Never raises for what a run may contain: where no limiter explains the record the verdict says so.
    """
    estimate: TpsEstimate | None = None
    for estimate in infer_tps_by_steps(attempts, seed=seed):  # noqa: B007
        pass
    assert estimate is not None
    return estimate


def infer_tps_by_steps(attempts: Attempts, *, seed: int = 0) -> Iterator[TpsEstimate | None]:
    """As `infer_tps`, in steps of some tens of milliseconds for a live probe: the last one is the answer."""
    throttled, admitted = attempts.count(THROTTLED), attempts.count(STARTED) + attempts.count(CHAT_LIMIT)
    if not throttled:
        yield never_met(attempts)
        return
    if not admitted:
        yield unknown(attempts, "every call was throttled from the first on, so the limit cannot be told")
        return
    whole = len(attempts)
    judged = np.isin(attempts.outcome, (STARTED, CHAT_LIMIT, THROTTLED))
    if np.count_nonzero(judged) > _MOST_CALLS:
        sent = attempts.sent[judged]
        part = telling(sent, attempts.outcome[judged] != THROTTLED, _MOST_CALLS)
        begin, end = sent[[part.start, part.stop - 1]]
        attempts = attempts.where((attempts.sent >= begin) & (attempts.sent <= end))
    readings: list[Reading] = []
    for costing in costs(attempts):
        reading: Reading | None = None
        for reading in read(attempts, costing, 0.0, seed):  # noqa: B007
            yield None
        assert reading is not None
        readings.append(reading)
        if reading.goodness.fits:
            break
    best = min(readings, key=lambda r: (not r.goodness.fits, r.goodness.contradictions))
    if not best.goodness.fits:
        for reading in not_full(attempts, best, seed):
            yield None
            if reading is not None and reading.goodness.fits:
                best = reading
    window = best_window(best.fit.record, best.goodness.allowed)
    yield answer(best, window, whole)
