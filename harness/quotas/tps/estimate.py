"""From a reading of the record to the answer: intervals, the verdict, its sentence, and the evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.counting import counted, plain
from harness.quotas.attempts import CHAT_LIMIT, STARTED, THROTTLED, Attempts, Floats
from harness.quotas.estimates import Interval, Region, TpsEstimate, Trace
from harness.quotas.tps.fit import normalised
from harness.quotas.tps.goodness import PARTS, Goodness
from harness.quotas.tps.rate import candidates, disagreement
from harness.quotas.tps.readings import Reading
from harness.quotas.tps.windows import Window

_OUTSIDE = 0.0025
"""Probability left outside on each side of an interval, before it is widened."""
_CLOCKS = 5e-4
"""No rate is claimed closer than this share: it is how much two disciplined clocks may differ in speed (NTP slews so)."""
_TIMING = 7.0
"""No rate is claimed closer than so many sd of what timing can tell: tails of the latency are wider than the likelihood's,
and with this many an interval held in 97 % or more of the runs of every family of latencies that was tried."""
_GAP_IN_SPREADS = 2.2
_NEARLY = 0.02
"""Disagreement up to which a rate is not ruled out where there are few decisions."""
_BLUR, _ALL_ALIKE = 2.0, 4.0
"""How many jitters a burst may be off by itself, and how many of one way's spread it may be with all moments off alike."""
_HALF = 0.5
"""Width of an interval that holds a whole number and has room for a half beside it."""
_WIDEN = 1.3
"""The decisions of a record are less independent than the likelihood takes them to be: intervals are widened by this."""


def _interval(values: Floats, probability: Floats, peak: float) -> Interval:
    order = np.argsort(values)
    total = np.cumsum(probability[order])
    step = float(np.max(np.diff(values[order]))) if len(values) > 1 else 0.0
    first, last = np.minimum(np.searchsorted(total, (_OUTSIDE, 1 - _OUTSIDE)), len(values) - 1)
    low, high = float(values[order][first]) - step / 2, float(values[order][last]) + step / 2
    middle = float(np.sum(values * probability))
    estimate = middle if not low <= peak <= high else 0.5 * (middle + peak)
    return Interval(estimate, estimate - _WIDEN * (estimate - low), estimate + _WIDEN * (high - estimate))


def _likely(reading: Reading) -> tuple[float, float]:
    """Return the least and the greatest rate that some burst makes likely; what lies between may have gaps."""
    found, record = reading.posterior, reading.fit.record
    step = float(found.rate[1] - found.rate[0])
    alive = found.rate[[p.max() > found.peak - 6 for p in found.log_p]]
    tried = candidates(record)
    fitting = tried[[disagreement(record, float(rate))[0] < _NEARLY for rate in tried]]
    rates = np.concatenate((alive - step, alive + step, fitting / 1.05, fitting * 1.05))
    return max(0.0, float(rates.min())), float(rates.max())


_FEW_THROTTLES = 6
"""Throttles below which no single bucket is claimed: two or five fit many buckets, and the best one is often wrong."""
_SOME_THROTTLES = 20
"""Throttles up to which an interval is widened: by so much that it holds as often as it is said to."""


def _for_few_throttles(rate: Interval, throttles: int) -> Interval:
    """Return the interval of a rate, wider where few calls were throttled."""
    if throttles >= _SOME_THROTTLES or rate.estimate is None:
        return rate
    more = _SOME_THROTTLES / throttles
    least = 0.002 * more * rate.estimate
    low = min(rate.estimate - more * (rate.estimate - (rate.low or 0.0)), rate.estimate - least)
    high = max(rate.estimate + more * ((rate.high or rate.estimate) - rate.estimate), rate.estimate + least)
    return Interval(rate.estimate, max(low, 0.0), high)


def _timing(reading: Reading) -> float:
    """One sd of the rate, as a share, by what timing can tell: the slope of a line through tokens at A + n / r.

    Seen for T seconds it is sigma sqrt(12 / (r T^3)); the stretches between moments at which the bucket was full add up,
    each with an A of its own. Sigma is the round trips' spread, and the gap between calls (about half of that between
    tokens) as far as that spread leaves it open whether a token fell into it.
    """
    known = float(np.sum(reading.rate * reading.fit.record.seconds_refused(reading.rate) ** 3)) / 12
    spread = reading.calls.typical_spread
    sigma = np.hypot(spread, min(0.5 / (reading.rate * np.sqrt(12)), _GAP_IN_SPREADS * spread))
    return float(sigma / np.sqrt(known)) if known > 0 else 0.0


def _honest(rate: Interval, reading: Reading) -> Interval:
    """Return the interval of a rate, no closer than timing and clocks allow."""
    middle = rate.estimate or 0.0
    least = max(_CLOCKS, _TIMING * _timing(reading)) * middle
    return Interval(middle, max(0.0, min(rate.low or 0.0, middle - least)), max(rate.high or 0.0, middle + least))


def _intervals(reading: Reading) -> tuple[Interval, Interval]:
    found = reading.posterior
    if reading.whole:
        whole, log_p = found.at_whole_bursts()
        p = normalised(log_p)
        rate = _interval(found.rate, p.sum(axis=1), reading.rate)
        by_size = p.sum(axis=0)
        if reading.goodness.burst is not None:
            middle, spread = reading.goodness.burst
            whole = np.arange(max(1.0, np.floor(middle - 4 * spread)), np.ceil(middle + 4 * spread) + 1)
            by_size = normalised(-0.5 * ((whole - middle) / spread) ** 2)
        likely = whole[by_size > _OUTSIDE]
        best = float(whole[np.argmax(by_size)])
        return _honest(rate, reading), Interval(best, float(likely.min()), float(likely.max()))
    bursts = np.linspace(*found.burst_span, 201)
    p = normalised(found.on(bursts))
    rate = _interval(found.rate, p.sum(axis=1), reading.rate)
    burst = _interval(bursts, p.sum(axis=0), reading.burst)
    return _honest(rate, reading), _blurred(burst, reading)


def _blurred(burst: Interval, reading: Reading) -> Interval:
    """Return the interval of a burst that does not fit as a whole number, no closer than the round trips' spread allows.

    The moments at which the bucket was full are known to a jitter only, and may be off all alike. Quotas are whole numbers:
    one is told exactly if it lies within the jitter, and if that leaves too little room for a half beside it.
    """
    low, high = burst.low or 0.0, burst.high or 0.0
    blur = _BLUR * reading.rate * reading.fit.jitter
    first, last = float(np.ceil(low - blur)), float(np.floor(high + blur))
    whole = first <= last
    estimate = float(np.clip(round(reading.burst), first, last)) if whole else burst.estimate
    if whole and high - low + 2 * blur < _HALF:
        return Interval.exactly(estimate or first)
    room = _ALL_ALIKE * reading.rate * max(reading.fit.jitter, 0.5 * reading.calls.typical_spread)
    return Interval(estimate, low - room, high + room)


def answer(reading: Reading, window: Window | None, whole: int) -> TpsEstimate:
    """Return the estimate from the best reading of a bucket and the window, if any, that would explain the record too.

    `whole` is how many attempts the record had before it was cut.
    """
    good, attempts = reading.goodness, reading.attempts
    evidence: dict[str, Any] = {
        "attempts": whole,
        "attempts_read": len(attempts),
        "decisions": good.decisions,
        "contradictions": good.contradictions,
        "contradictions_allowed": good.allowed,
        "worst_miss_ms": round(good.worst * 1e3, 2),
        "jitter_ms": round(reading.fit.jitter * 1e3, 3),
        "share_on_the_way_up": list(reading.fit.shares),
        "deficit_at_start": round(reading.fit.record.deficit, 2),
        "quota_refusal_costs_token": CHAT_LIMIT in reading.costing if attempts.count(CHAT_LIMIT) >= 3 else None,
    }
    evidence |= good.replayed() | {"costs_no_token": reading.free()}
    if window is not None and not good.fits:
        rate = Interval(window.limit / window.width, window.limit / window.width_high, window.limit / window.width_low)
        evidence |= {"window_calls": window.limit, "window_seconds": round(window.width, 4)}
        evidence["sentence"] = (
            f"The service admits {counted(window.limit, 'call')} in any {window.width:.3g} s"
            if window.kind == "sliding_window"
            else f"The service admits {counted(window.limit, 'call')} in each window of {window.width:.3g} s"
        ) + "; it is not a token bucket."
        return TpsEstimate(rate, Interval.exactly(window.limit), window.kind, "explained", evidence)
    if not good.fits:
        return unknown(attempts, f"no single limiter explains the throttles ({_misfit(good)})", evidence)
    if window is not None and window.limit > 1:
        why = "too few calls were throttled to tell a token bucket from a window of time"
        return unknown(attempts, why, evidence | {"too_few_throttles": True})
    throttles = attempts.count(THROTTLED)
    rate, burst = _intervals(reading)
    if good.in_turn and burst.high is not None:  # whose turn it was when it was empty is not known
        burst = Interval(burst.estimate, burst.low, burst.high + max(PARTS) - 1)
    rate = _for_few_throttles(rate, throttles)
    low, high = rate.low or 0.0, rate.high or 0.0
    seen_full = reading.fit.record.without_a_brim(reading.rate, reading.burst) > good.allowed
    evidence["bucket_seen_full"] = seen_full
    if high > 1.5 * low or throttles < _FEW_THROTTLES:
        low, high = _likely(reading)
        wider = 1.0 + 3.0 / throttles
        low, high = low / wider, high * wider
        span = f"{plain(low, 2)} and {plain(high, 2)} a second"
        why = f"too few calls were throttled; it lies between {span}, if it is a token bucket"
        told = unknown(attempts, why, evidence | {"too_few_throttles": True})
        return replace(told, rate=Interval(None, low, high), burst=Interval(None, 1.0, None))
    if not seen_full:
        full_at_start = reading.whole and reading.fit.record.deficit == 0 and attempts.outcome[0] != THROTTLED
        burst = Interval(burst.estimate if full_at_start else None, _seen_in_it(burst.low or 1.0, reading), None)
    evidence["sentence"] = _sentence(rate, burst)
    return TpsEstimate(rate, burst, "token_bucket", "explained", evidence, _region(reading), _trace(reading))


def _misfit(good: Goodness) -> str:
    decisions = counted(good.decisions, "decision")
    if good.contradictions > good.allowed:
        return f"{good.contradictions} of {decisions} contradict the best token bucket"
    return f"the moments of {decisions} fit the best token bucket far worse than its own would"


def _seen_in_it(low: float, reading: Reading) -> float:
    """Return what a bucket which was never seen full holds at the least: what was in it when it held most.

    If tokens were missing at first, neither they nor the burst are known, only what was left; they were looked for among
    whole bursts, so that is known to half a token.
    """
    record = reading.fit.record
    missing = float(min(values.min(initial=np.inf) for values in record.deficits(reading.rate)))
    if missing <= 0:
        return low
    blur = 2 * reading.rate * reading.fit.jitter
    return max(1.0, float(np.ceil(low - missing - 0.5 - blur)))


def _sentence(rate: Interval, burst: Interval) -> str:
    if burst.high is None:
        size = f"at least {burst.low:g}"
        if burst.estimate is not None:
            size += f" ({burst.estimate:g}, if nothing had called just before the run)"
    else:
        size = f"{burst.estimate:g}" if burst.exact else f"{burst.low:.4g} to {burst.high:.4g}"
    return (
        f"The service starts {counted(f'{rate.estimate:.4g}', 'chat')} a second ({rate.low:.5g} to {rate.high:.5g}), "
        f"and {size} at once after a pause."
    )


def _region(reading: Reading) -> Region:
    found = reading.posterior
    bursts = np.linspace(*found.burst_span, 61)
    return Region(found.rate, bursts, normalised(found.on(bursts)))


def _trace(reading: Reading) -> Trace:
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


def never_met(attempts: Attempts) -> TpsEstimate:
    """Return the estimate from a record without a throttle: a lower bound."""
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
            f"No call was throttled: {admitted:,} were admitted in {plain(span)} s ({plain(pace)} a second). That is not a "
            "bound on the sustained rate, since a burst may have carried them; all that is ruled out is rate x "
            f"{plain(span)} s + burst below {admitted:,}."
        )
    return TpsEstimate(Interval(pace, None, None), Interval(None, 1.0, None), "unknown", "lower_bound", evidence)


def unknown(attempts: Attempts, why: str, evidence: dict[str, Any] | None = None) -> TpsEstimate:
    """No estimate, and `why` as the rest of a sentence."""
    told = dict(evidence or {"decisions": len(attempts)})
    told["sentence"] = f"The limit on calls a second is not known: {why}."
    return TpsEstimate(Interval(), Interval(), "unknown", "not_explained", told)
