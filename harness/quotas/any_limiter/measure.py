"""The one entry: from a record of attempts to the capacity that holds for any limiter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.quotas.any_limiter.burst import Volley, burst_from_rest, volley_of, widened
from harness.quotas.any_limiter.by_model import beyond, in_windows, of_exact_bucket, of_model
from harness.quotas.any_limiter.classes import Evidence, class_of, explained, to_be_proved
from harness.quotas.any_limiter.contrary import contrary_share, penalty_of, wandering
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.estimates import (
    AnyLimiterEstimate,
    BurstFromRest,
    Contrary,
    LimiterClass,
    Penalty,
    Sustained,
)
from harness.quotas.any_limiter.safe import Batch, SafeSearch, even_rate, safe_of
from harness.quotas.any_limiter.stretches import Load, load_of, over_several_loads, under_pressure
from harness.quotas.any_limiter.sustained import held_back, left_open, paid_for, silent_for, sustained_rate, wider
from harness.quotas.attempts import THROTTLED, Attempts
from harness.quotas.estimates import TpsEstimate
from harness.quotas.stages import Stage, StageKind

_PENALTY_WORTH = 0.01
"""Share of contrary decisions from which a penalising bucket is tried."""
_NOTHING_ADMITTED = (
    "Nothing was admitted under pressure: a refused call seems to cost as much as an admitted one, or there is a window "
    "that is longer than the run. Offer less, or go on for longer."
)
_PAID = 0.75
"""Share of the sustained rate from which a silence pays for what was admitted before it."""
_OF_TURNS, _TURNS_TAKE = 0.98, 240.0
"""Share of what is sustained in turns that random calls are taken to bear out in so many seconds, whatever its interval."""
_AT_FIRST = 0.25
"""Seconds after the first refusal up to which what was admitted is a burst: calls at once are refused in any order."""
_LESS = 0.8
"""A pressure that offers less than so much of the strong one is milder."""
_BY_ONE_MODEL: tuple[LimiterClass, ...] = ("exact", "exact_within_jitter", "window")
_STRONG, _STRONGER = 2.0, 1.4
"""Pressure from which a stage counts as strong: the sustained rate is that of the longest of those, or of those from the
second on, where the first idea of the rate was too low."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The parts of a record, each read by itself."""

    sustained: Sustained
    mild: Sustained | None
    check: Sustained | None
    volleys: tuple[Volley, ...]
    batches: tuple[Batch, ...]
    even: tuple[Batch, ...]
    again: tuple[Load, ...] = ()
    again_mild: tuple[Load, ...] = ()
    """Short loads that each began at rest, as strong as the strong pressure and as the mild one."""


def measure_capacity(
    attempts: Attempts, tps: TpsEstimate | None = None, stages: Sequence[Stage] = ()
) -> AnyLimiterEstimate:
    """Return the sustained rate, burst from rest, safe rate and class of the limiter behind `attempts`, in order of `sent`.

    `tps` is the exact inference's answer for the same record (`infer_tps`): without it no limiter is called exact. `stages`
    are those a probe went through. Without them the stretches under pressure are found in the record, and there is no burst
    from rest and no safe rate. Never raises for what a run may contain; without a throttle the class is `not_met`.
    """
    if not attempts.count(THROTTLED):
        return AnyLimiterEstimate("not_met")
    decisions = _decisions(attempts, tps)
    measured = _read(decisions, stages)
    if measured is None:
        return AnyLimiterEstimate("approximate", findings=("It was not under pressure long enough to count.",))
    measured = _beyond_the_load(decisions, measured, tps, stages)
    burst = burst_from_rest(measured.volleys)
    contrary = _contrary(decisions, measured, burst, tps)
    kind, findings = class_of(_evidence(measured, burst, contrary, tps))
    penalty = None
    if kind == "blocks":
        measured, penalty = _penalty_for_blocks(decisions, measured, burst, contrary, stages)
    elif kind not in ("exact", "window"):
        penalty = _penalty(decisions, measured, burst, contrary)
    if penalty is not None:
        kind, findings = "depends_on_pressure", (*findings, penalty.sentence())
    elif measured.sustained.admitted == 0:
        kind = kind if kind == "blocks" else "depends_on_pressure"
        findings = (*findings, _NOTHING_ADMITTED)
    sustained, mild = _in_all(decisions, measured, kind, contrary, tps)
    safe = safe_of(safe_search(measured, burst, contrary), even_rate(measured.even), kind)
    safe = of_model(safe, kind, tps) if safe is not None else None
    if burst is not None and kind not in ("exact", "exact_within_jitter"):
        until = float(decisions.refusals[0]) + _AT_FIRST
        burst = widened(burst, measured.volleys, first=len(decisions.between(-math.inf, until).admissions))
    return AnyLimiterEstimate(kind, sustained, mild, burst, safe, contrary, findings)


def _read(decisions: Decisions, stages: Sequence[Stage]) -> Measured | None:
    measured = read_stages(decisions, stages) if stages else None
    if measured is None:
        measured = _find_stretches(decisions)
    return None if measured is None else _seen_in_blocks(decisions, measured)


def _beyond_the_load(
    decisions: Decisions, measured: Measured, tps: TpsEstimate | None, stages: Sequence[Stage]
) -> Measured:
    """Leave out that a rate moved, or came in turns, where the exact limiter would have shown the same of these calls."""
    if not any(s is not None and (s.moved or s.blocks) for s in (measured.sustained, measured.mild)):
        return measured
    replayed = of_exact_bucket(decisions, tps)
    expected = None if replayed is None else _read(replayed, stages)
    if expected is None:
        return measured
    mild = None if measured.mild is None else beyond(measured.mild, expected.mild)
    return replace(measured, sustained=beyond(measured.sustained, expected.sustained), mild=mild)


@dataclass(frozen=True, slots=True)
class SoFar:
    """What is known of the limiter in a probe that is under way: its class, and the share of contrary decisions."""

    kind: LimiterClass = "approximate"
    contrary: float = 1.0
    to_be_proved: bool = False
    """Whether it is about to be proved one token bucket: nothing but more calls is missing."""


def known_so_far(attempts: Attempts, tps: TpsEstimate | None, stages: Sequence[Stage]) -> SoFar:
    """Return what a probe that is under way knows of the limiter; no penalising bucket is tried."""
    decisions = _decisions(attempts, tps)
    measured = read_stages(decisions, stages)
    if measured is None:
        return SoFar()
    measured = _beyond_the_load(decisions, _seen_in_blocks(decisions, measured), tps, stages)
    burst = burst_from_rest(measured.volleys)
    contrary = _contrary(decisions, measured, burst, tps)
    evidence = _evidence(measured, burst, contrary, tps)
    return SoFar(class_of(evidence)[0], 1.0 if contrary is None else contrary.share, to_be_proved(evidence))


def _decisions(attempts: Attempts, tps: TpsEstimate | None) -> Decisions:
    told = {} if tps is None else tps.evidence
    costs = told.get("quota_refusal_costs_token")
    free = told.get("costs_no_token", ()) if explained(tps) else ()
    return Decisions.of(attempts, costs if isinstance(costs, bool) else None, free)


def _evidence(
    measured: Measured, burst: BurstFromRest | None, contrary: Contrary | None, tps: TpsEstimate | None
) -> Evidence:
    return Evidence(
        tps, measured.sustained, measured.mild, measured.check, measured.volleys, burst, measured.batches, contrary
    )


def read_stages(decisions: Decisions, stages: Sequence[Stage]) -> Measured | None:
    """Read each stage by itself; None where none was under pressure."""
    pressed = [s for s in (_sustained(decisions, stage, stages) for stage in _of(stages, "pressure")) if s is not None]
    if not pressed:
        return None
    strong = max(pressed, key=lambda s: (s.pressure > _STRONG, s.pressure > _STRONGER, s.seconds))
    milder = [s for s in pressed if s is not strong and s.pressure < _LESS * strong.pressure]
    climbs = [_counted(decisions, stage) for stage in _of(stages, "climb")]
    mild = climbs[-1] if climbs else max(milder, key=lambda s: s.seconds, default=None)
    checks = [s for s in (_sustained(decisions, stage, stages) for stage in _of(stages, "check")) if s is not None]
    rate = strong.estimate
    volleys = [
        volley_of(decisions.between(stage.begin, stage.end), stage.rest, rate) for stage in _of(stages, "volley")
    ]
    return Measured(
        strong,
        mild,
        checks[-1] if checks else None,
        tuple(volley for volley in volleys if volley is not None),
        tuple(_batch(decisions, stage) for stage in _of(stages, "poisson")),
        tuple(_batch(decisions, stage) for stage in _of(stages, "even")),
        *_loads(decisions, stages, strong.pressure * strong.estimate),
    )


def _in_all(
    decisions: Decisions, measured: Measured, kind: LimiterClass, contrary: Contrary | None, tps: TpsEstimate | None
) -> tuple[Sustained, Sustained | None]:
    """Return what is sustained under strong and mild pressure, by all that the record says of it."""
    sustained, mild = held_back(measured.sustained, measured.mild, measured.check, tps)
    if kind not in _BY_ONE_MODEL:
        lost = wandering(contrary, decisions, [s for s in (measured.sustained, measured.mild) if s is not None])
        sustained, mild = wider(sustained, lost), None if mild is None else wider(mild, lost)
        sustained, mild = over_several_loads(sustained, mild, decisions, measured.again, measured.again_mild)
    elif kind == "window" and tps is not None:
        sustained, mild = in_windows(sustained, tps), None if mild is None else in_windows(mild, tps)
    return left_open(sustained, mild, kind)


def _loads(decisions: Decisions, stages: Sequence[Stage], offered: float) -> tuple[tuple[Load, ...], tuple[Load, ...]]:
    """Return the short loads that were pressed again: those of about the strong pressure's `offered`, and those of less."""
    found: tuple[list[Load], list[Load]] = ([], [])
    for stage in _of(stages, "again"):
        load = load_of(decisions.between(stage.begin, stage.end))
        if load is not None:
            found[stage.offered < _LESS * offered].append(load)
    return tuple(found[0]), tuple(found[1])


def safe_search(
    measured: Measured, burst: BurstFromRest | None, contrary: Contrary | None, *, offering: bool = False
) -> SafeSearch:
    """Return the state of the search for the safe rate after the batches that were offered, which goes on if `offering`."""
    base = measured.mild or measured.sustained
    borne_out = base.blocks and (offering or sum(batch.seconds for batch in measured.batches) > _TURNS_TAKE)
    low = max(base.low, _OF_TURNS * base.estimate) if borne_out else base.low
    search = SafeSearch(
        base.estimate,
        low,
        base.high,
        burst.median if burst else None,
        contrary.share if contrary else None,
        either_way=contrary is not None and contrary.either_way,
    )
    for batch in measured.batches:
        if batch.calls:
            search = search.seen(batch)
    return search


def search_of(attempts: Attempts, stages: Sequence[Stage]) -> SafeSearch | None:
    """Return the state of the search for the safe rate in a probe that is under way; None before any pressure."""
    decisions = Decisions.of(attempts)
    measured = read_stages(decisions, stages)
    if measured is None:
        return None
    measured = _seen_in_blocks(decisions, measured)
    burst = burst_from_rest(measured.volleys)
    return safe_search(measured, burst, _contrary(decisions, measured, burst, None), offering=True)


def _of(stages: Sequence[Stage], kind: StageKind) -> list[Stage]:
    return [stage for stage in stages if stage.kind == kind]


def _sustained(decisions: Decisions, stage: Stage, stages: Sequence[Stage]) -> Sustained | None:
    part = decisions.between(stage.begin, stage.end)
    if len(part) < 2:
        return None
    emptied = any(s.kind in ("pressure", "volley") and 0 <= stage.begin - s.end < 1.0 for s in stages)
    return sustained_rate(part, emptied=emptied)


def _counted(decisions: Decisions, stage: Stage) -> Sustained:
    """Return what was admitted of a climb's step, a count with the interval of one; there may be no refusal in it."""
    part = decisions.between(stage.begin, stage.end)
    seconds, admitted = max(stage.end - stage.begin, 1e-9), len(part.admissions)
    rate, half = admitted / seconds, 2 * math.sqrt(admitted) / seconds
    return Sustained(
        rate, rate - half, rate + half, len(part) / max(admitted, 1), seconds, admitted, stage.begin, stage.end
    )


def _batch(decisions: Decisions, stage: Stage) -> Batch:
    part = decisions.between(stage.begin, stage.end)
    return Batch(stage.offered, len(part), len(part.refusals))


def _find_stretches(decisions: Decisions) -> Measured | None:
    """Without stages: the longest stretch under strong pressure, and the longest one under less."""
    found = []
    for stretch in under_pressure(decisions):
        rate = sustained_rate(decisions.between(stretch.begin, stretch.end + 1e-6))
        if rate is not None:
            found.append(rate)
    if not found:
        whole = sustained_rate(decisions) if len(decisions) > 1 else None
        found = [_loose(whole)] if whole is not None else []
    if not found:
        return None
    sustained = max(found, key=lambda s: s.admitted)
    others = [s for s in found if s is not sustained and not 1 / 1.3 < s.pressure / sustained.pressure < 1.3]
    other = max(others, key=lambda s: s.admitted) if others else None
    if other is not None and other.admitted < 30:
        other = None
    if other is not None and other.pressure > sustained.pressure:
        sustained, other = other, sustained
    return Measured(sustained, other, None, (), (), ())


def _loose(whole: Sustained) -> Sustained:
    """Throttles were met, but hardly under pressure: half of what was admitted, up to half as much again as was offered."""
    return replace(whole, low=0.5 * whole.low, high=max(whole.high, 1.5 * whole.pressure * whole.estimate))


def _contrary(
    decisions: Decisions, measured: Measured, burst: BurstFromRest | None, tps: TpsEstimate | None
) -> Contrary | None:
    base = measured.sustained
    rates = (
        set(np.linspace(base.low, base.high, 7)) | {base.estimate} | set(base.estimate * np.linspace(0.88, 1.06, 16))
    )
    if measured.mild is not None:
        rates |= {measured.mild.estimate}
    bursts = {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, base.estimate, 2 * base.estimate, 4 * base.estimate}
    if burst is not None:
        bursts = set(np.linspace(max(1.0, burst.low - 1), burst.high + 1, 7)) | {round(burst.median), burst.median}
    if explained(tps) == "token_bucket" and tps is not None and tps.rate.estimate is not None:
        rates |= {tps.rate.estimate}
        if tps.burst.estimate is not None:
            bursts |= {tps.burst.estimate}
    return contrary_share(decisions, sorted(rates), sorted(bursts))


def _penalty(
    decisions: Decisions, measured: Measured, burst: BurstFromRest | None, contrary: Contrary | None
) -> Penalty | None:
    """Return a penalising bucket, where a plain one leaves much more to explain."""
    if contrary is None or contrary.share < _PENALTY_WORTH:
        return None
    first = float(np.argmin(decisions.admitted))  # admitted before the first refusal
    bursts = {max(1.0, first), max(1.0, first - 1), 8.0}
    if burst is not None:
        bursts |= {max(1.0, round(burst.median)), max(1.0, burst.median), max(1.0, burst.median - 1)}
    found = penalty_of(decisions, measured.sustained, sorted(bursts))
    return found if found is not None and found.share < contrary.share / 3 else None


def _penalty_for_blocks(
    decisions: Decisions,
    measured: Measured,
    burst: BurstFromRest | None,
    contrary: Contrary | None,
    stages: Sequence[Stage],
) -> tuple[Measured, Penalty | None]:
    """Return a penalising bucket where silences were seen beside a pressure without any, with that pressure as it was.

    Such a bucket falls silent where it is pressed more, as by volleys: that says nothing of what it sustains.
    """
    alone = read_stages(decisions, stages) if stages else None
    if alone is None or any(s is not None and s.blocks for s in (alone.sustained, alone.mild)):
        return measured, None
    found = _penalty(decisions, alone, burst, contrary)
    return (measured if found is None else alone), found


def _seen_in_blocks(decisions: Decisions, measured: Measured) -> Measured:
    """Where the limiter fell silent for long in another part of the record, a short pressure has seen one turn only.

    A silence that pays for a burst which was admitted just before is none of that kind. Otherwise the estimate is what was
    admitted up to the end of the silence, all that was admitted in all of the time is what it sustains at the least, and
    both rates are widened to hold it.
    """
    first = measured.sustained
    longest = max(3.0, 12 / first.estimate)
    change = np.flatnonzero(np.diff(np.concatenate(([1], decisions.admitted.astype(int), [1]))))
    begins, ends = change[0::2], change[1::2] - 1  # runs of refusals
    long = [
        index
        for index in np.flatnonzero(ends - begins >= 12)
        if silent_for(decisions.at[begins[index] : ends[index] + 1]) > longest
    ]
    mild = measured.mild
    if first.blocks and mild is not None and not mild.blocks:  # it was over before a turn was
        return replace(measured, mild=_as_seen(mild, first.estimate, first.low))
    if first.blocks or not long:
        return measured
    rates = np.array([paid_for(decisions, int(begins[index]), int(ends[index])) for index in long])
    unpaid = rates[rates < _PAID * first.estimate]
    if not len(unpaid):
        return measured
    span = float(decisions.at[-1] - decisions.at[0])
    least = 0.8 * float(np.count_nonzero(decisions.admitted)) / span
    estimate = max(float(np.median(unpaid)), least)
    low = min(first.low, least, 0.8 * estimate)
    offered = first.pressure * first.estimate
    return replace(
        measured,
        sustained=replace(first, estimate=estimate, low=low, pressure=offered / estimate, blocks=True),
        mild=None if mild is None else _as_seen(mild, estimate, low),
    )


def _as_seen(mild: Sustained, estimate: float, low: float) -> Sustained:
    """Return `mild`, which saw one turn only, with what whole turns admit."""
    estimate = min(mild.estimate, estimate)
    pressure = mild.pressure * mild.estimate / estimate
    return replace(mild, estimate=estimate, low=min(mild.low, low), pressure=pressure, blocks=True)
