"""The limit on calls a second, inferred from which calls were admitted and which were throttled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from harness.quotas.bucket import Record
from harness.quotas.estimates import Interval, Region, TpsEstimate, Trace
from harness.quotas.fit import (
    Fit,
    Posterior,
    candidates,
    disagreement,
    fit_bucket,
    normalised,
    posterior,
    rough_rate,
    settle,
)
from harness.quotas.goodness import Goodness, contradictions, goodness
from harness.quotas.record import (
    CHAT_LIMIT,
    DENIED,
    FAULT,
    INVALID,
    NOT_FOUND,
    STARTED,
    THROTTLED,
    Attempts,
    Floats,
)
from harness.quotas.stalls import placed
from harness.quotas.timing import Calls, telling
from harness.quotas.windows import Window, best_window

_MOST_CALLS = 20_000
_OUTSIDE = 0.0025
"""Probability left outside on each side of an interval, before it is widened."""
_CLOCKS = 5e-4
"""No rate is claimed closer than this share: it is how much two disciplined clocks may differ in speed (NTP slews so)."""
_NEARLY = 0.02
"""Disagreement up to which a rate is not ruled out where there are few decisions."""
_WIDEN = 1.3
"""The decisions of a record are less independent than the likelihood takes them to be: intervals are widened by this."""


@dataclass(frozen=True, slots=True)
class _Reading:
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
        yield _never_met(attempts)
        return
    if not admitted:
        yield _unknown(attempts, "every call was throttled from the first on, so the limit cannot be told")
        return
    whole = len(attempts)
    judged = np.isin(attempts.outcome, (STARTED, CHAT_LIMIT, THROTTLED))
    if np.count_nonzero(judged) > _MOST_CALLS:
        part = telling(attempts.outcome[judged] != THROTTLED, _MOST_CALLS)
        begin, end = attempts.sent[judged][[part.start, part.stop - 1]]
        attempts = attempts.where((attempts.sent >= begin) & (attempts.sent <= end))
    readings: list[_Reading] = []
    for costing in _costs(attempts):
        reading: _Reading | None = None
        for reading in _read(attempts, costing, 0.0, seed):  # noqa: B007
            yield None
        assert reading is not None
        readings.append(reading)
        if reading.goodness.fits:
            break
    best = min(readings, key=lambda r: (not r.goodness.fits, r.goodness.contradictions))
    if not best.goodness.fits:
        for reading in _not_full(attempts, best, seed):
            yield None
            if reading is not None and reading.goodness.fits:
                best = reading
    window = best_window(best.fit.record, best.goodness.allowed)
    yield _answer(best, window, whole)


def _costs(attempts: Attempts) -> Iterator[frozenset[int]]:
    """Which outcomes may cost a token: first what the documentation suggests (all of them), then each other way.

    A refusal by the chat quota that costs no token leaves the bucket as it was, so a full instance would not be throttled
    between two of them: where it was, they cost one.
    """
    groups = [g for g in ((CHAT_LIMIT,), (INVALID, NOT_FOUND, DENIED), (FAULT,)) if any(map(attempts.count, g))]
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


def _read(attempts: Attempts, costing: frozenset[int], deficit: float, seed: int) -> Iterator[_Reading | None]:
    admitted = np.isin(attempts.outcome, [STARTED, *costing])
    refused = attempts.outcome == THROTTLED
    calls = placed(Calls.of(attempts, admitted, refused), deficit)
    yield None
    fit = fit_bucket(calls, deficit)
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
    yield _Reading(costing, attempts, calls, fit, rate, burst, whole, found, good)


def _peak(found: Posterior) -> tuple[float, float, bool]:
    whole, log_p = found.at_whole_bursts()
    if len(whole) and log_p.max() > found.peak - 6:
        near, number = np.unravel_index(int(np.argmax(log_p)), log_p.shape)
        return float(found.rate[near]), float(whole[number]), True
    row = int(np.argmax([p.max() for p in found.log_p]))
    return float(found.rate[row]), float(found.burst[row][np.argmax(found.log_p[row])]), False


def _not_full(attempts: Attempts, best: _Reading, seed: int) -> Iterator[_Reading | None]:
    """The bucket may have lacked tokens when the record began: begin after a pause, or try how many it lacked."""
    later = _after_a_pause(attempts)
    if later is not None:
        for reading in _read(later, best.costing, 0.0, seed):
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
        yield from _read(attempts, best.costing, deficit, seed)


def _began_lower(calls: Calls, reading: _Reading) -> bool:
    """True if the whole record is that of the bucket found in its later part, once some tokens were missing at first."""
    missing = np.linspace(0.0, reading.burst, 81)
    records = (Record.of(calls, reading.fit.shares, reading.fit.jitter, float(tokens)) for tokens in missing)
    worst = min(contradictions(record, reading.rate, reading.burst)[0] for record in records)
    return worst <= reading.goodness.allowed + 1


def _after_a_pause(attempts: Attempts) -> Attempts | None:
    """The attempts after the first long pause, if most come after it and both kinds of decisions are among them."""
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


def _interval(values: Floats, probability: Floats, peak: float) -> Interval:
    order = np.argsort(values)
    total = np.cumsum(probability[order])
    step = float(np.max(np.diff(values[order]))) if len(values) > 1 else 0.0
    first, last = np.minimum(np.searchsorted(total, (_OUTSIDE, 1 - _OUTSIDE)), len(values) - 1)
    low, high = float(values[order][first]) - step / 2, float(values[order][last]) + step / 2
    middle = float(np.sum(values * probability))
    estimate = middle if not low <= peak <= high else 0.5 * (middle + peak)
    return Interval(estimate, estimate - _WIDEN * (estimate - low), estimate + _WIDEN * (high - estimate))


def _likely(reading: _Reading) -> tuple[float, float]:
    """The least and the greatest rate that some burst makes likely; what lies between may have gaps."""
    found, record = reading.posterior, reading.fit.record
    step = float(found.rate[1] - found.rate[0])
    alive = found.rate[[p.max() > found.peak - 6 for p in found.log_p]]
    tried = candidates(record)
    fitting = tried[[disagreement(record, float(rate))[0] < _NEARLY for rate in tried]]
    rates = np.concatenate((alive - step, alive + step, fitting / 1.05, fitting * 1.05))
    return max(0.0, float(rates.min())), float(rates.max())


def _clocks(rate: Interval) -> Interval:
    middle = rate.estimate or 0.0
    least = _CLOCKS * middle
    return Interval(middle, max(0.0, min(rate.low or 0.0, middle - least)), max(rate.high or 0.0, middle + least))


def _intervals(reading: _Reading) -> tuple[Interval, Interval]:
    found = reading.posterior
    if reading.whole:
        whole, log_p = found.at_whole_bursts()
        p = normalised(log_p)
        rate = _interval(found.rate, p.sum(axis=1), reading.rate)
        likely = whole[p.sum(axis=0) > _OUTSIDE]
        return _clocks(rate), Interval(reading.burst, float(likely.min()), float(likely.max()))
    bursts = np.linspace(*found.burst_span, 201)
    p = normalised(found.on(bursts))
    rate = _interval(found.rate, p.sum(axis=1), reading.rate)
    burst = _interval(bursts, p.sum(axis=0), reading.burst)
    blur = 2 * reading.rate * reading.fit.jitter  # the moments at which the bucket was full are known to a jitter only
    low, high = np.ceil((burst.low or 0.0) - blur), np.floor((burst.high or 0.0) + blur)
    if low <= high:  # quotas are whole numbers
        burst = Interval(float(np.clip(round(reading.burst), low, high)), float(low), float(high))
    return _clocks(rate), burst


def _answer(reading: _Reading, window: Window | None, whole: int) -> TpsEstimate:
    good, attempts = reading.goodness, reading.attempts
    evidence: dict[str, Any] = {
        "attempts": whole,
        "attempts_read": len(attempts),
        "decisions": good.decisions,
        "contradictions": good.contradictions,
        "contradictions_allowed": good.allowed,
        "worst_miss_ms": round(good.worst * 1e3, 2),
        "replay_p_value": round(good.p_value, 3),
        "replay_z": round(good.z, 2),
        "jitter_ms": round(reading.fit.jitter * 1e3, 3),
        "share_on_the_way_up": list(reading.fit.shares),
        "deficit_at_start": round(reading.fit.record.deficit, 2),
        "quota_refusal_costs_token": CHAT_LIMIT in reading.costing if attempts.count(CHAT_LIMIT) >= 3 else None,
    }
    if window is not None and not good.fits:
        rate = Interval(window.limit / window.width, window.limit / window.width_high, window.limit / window.width_low)
        evidence |= {"window_calls": window.limit, "window_seconds": round(window.width, 4)}
        evidence["sentence"] = (
            f"The service admits {window.limit} calls in any {window.width:.3g} s"
            if window.kind == "sliding_window"
            else f"The service admits {window.limit} calls in each window of {window.width:.3g} s"
        ) + "; it is not a token bucket."
        return TpsEstimate(rate, Interval.exactly(window.limit), window.kind, "explained", evidence)
    if not good.fits:
        return _unknown(
            attempts,
            f"no single limiter explains the throttles ({good.contradictions} of {good.decisions} decisions contradict the "
            f"best token bucket)",
            evidence,
        )
    if window is not None and window.limit > 1:
        why = "too few calls were throttled to tell a token bucket from a window of time"
        return _unknown(attempts, why, evidence)
    rate, burst = _intervals(reading)
    low, high = rate.low or 0.0, rate.high or 0.0
    seen_full = reading.fit.record.without_a_brim(reading.rate, reading.burst) > good.allowed
    evidence["bucket_seen_full"] = seen_full
    if high > 1.5 * low:
        low, high = _likely(reading)
        why = (
            f"too few calls were throttled; it lies between {low:.2g} and {high:.2g} a second, if it is a token bucket"
        )
        told = _unknown(attempts, why, evidence)
        return replace(told, rate=Interval(None, low, high), burst=Interval(None, 1.0, None))
    if not seen_full:
        full_at_start = reading.fit.record.deficit == 0 and attempts.outcome[0] != THROTTLED
        burst = Interval(burst.estimate if full_at_start else None, burst.low, None)
    evidence["sentence"] = _sentence(rate, burst)
    return TpsEstimate(rate, burst, "token_bucket", "explained", evidence, _region(reading), _trace(reading))


def _sentence(rate: Interval, burst: Interval) -> str:
    if burst.high is None:
        size = f"at least {burst.low:g}"
        if burst.estimate is not None:
            size += f" ({burst.estimate:g}, if nothing had called just before the run)"
    else:
        size = f"{burst.estimate:g}" if burst.exact else f"{burst.low:.4g} to {burst.high:.4g}"
    return (
        f"The service starts {rate.estimate:.4g} chats a second ({rate.low:.5g} to {rate.high:.5g}), "
        f"and {size} at once after a pause."
    )


def _region(reading: _Reading) -> Region:
    found = reading.posterior
    bursts = np.linspace(*found.burst_span, 61)
    return Region(found.rate, bursts, normalised(found.on(bursts)))


def _trace(reading: _Reading) -> Trace:
    record = reading.fit.record
    taken, lacked = record.deficits(reading.rate)
    early, late = record.residuals(reading.rate, reading.burst)
    at = np.concatenate((record.admitted, record.refused))
    level = reading.burst - np.concatenate((taken, lacked))
    admitted = np.arange(len(at)) < len(record.admitted)
    order = np.argsort(at, kind="stable")[:: max(1, len(at) // 4000)]
    residual = np.concatenate((early, late))
    begin = float(reading.calls.sent.min())
    return Trace(begin + at[order], admitted[order], level[order], residual[order])


def _never_met(attempts: Attempts) -> TpsEstimate:
    # A refusal by the chat quota may have come before any limit on calls, so only starts are known to be admitted.
    # n of them in T seconds say only that rate x T + burst >= n: whatever the pace was, a burst that is not known may have
    # carried it. So the estimate is the pace that was seen, and there is no low bound, however long the run was.
    times = attempts.sent[attempts.outcome == STARTED]
    admitted, span = len(times), float(times[-1] - times[0]) if len(times) > 1 else 0.0
    pace = (admitted - 1) / span if span > 0 else None
    evidence: dict[str, Any] = {"decisions": admitted, "admitted": admitted, "admitted_in_s": round(span, 3)}
    if pace is None:
        evidence["sentence"] = f"No call was throttled; {admitted} {'was' if admitted == 1 else 'were'} admitted."
    else:
        evidence["sentence"] = (
            f"No call was throttled: {admitted:,} were admitted in {span:.3g} s ({pace:.3g} a second). That is no bound on "
            f"the sustained rate, since a burst may have carried them; all that is ruled out is rate x {span:.3g} s + burst "
            f"below {admitted:,}."
        )
    return TpsEstimate(Interval(pace, None, None), Interval(None, 1.0, None), "unknown", "lower_bound", evidence)


def _unknown(attempts: Attempts, why: str, evidence: dict[str, Any] | None = None) -> TpsEstimate:
    told = dict(evidence or {"decisions": len(attempts)})
    told["sentence"] = f"The limit on calls a second is not known: {why}."
    return TpsEstimate(Interval(), Interval(), "unknown", "not_explained", told)
