"""Makes the answer of a run, `capacity.json`, from its samples and what was inferred from them."""

import msgspec
import numpy as np

from harness.counting import counted
from harness.quotas.any_limiter.estimates import NO_EXACT_LIMITER, AnyLimiterEstimate
from harness.quotas.estimates import Interval as QuotaInterval
from harness.quotas.estimates import TpsEstimate
from reports.capacity.answered.measure import answered_of
from reports.capacity.clocks import clocks_of
from reports.capacity.customers import Customers
from reports.capacity.inference import Inference, missing_rows
from reports.capacity.journey import add_limits
from reports.capacity.model import (
    SCHEMA,
    ActiveChats,
    BurstFromRest,
    Capacity,
    Chats,
    Contrary,
    FirstLimit,
    FirstSeen,
    Generator,
    InferenceNote,
    Interval,
    MeasuredLateness,
    Operation,
    PeakActive,
    Safe,
    Sustained,
    Target,
    TargetKind,
    Tps,
    error_texts_of,
)
from reports.capacity.model import Run as RunNote
from reports.capacity.others import active_chats_of, shared_tps
from reports.run.fold import TIMED, Aggregates
from reports.run.histogram import ERROR, Histograms
from reports.run.latencies import Latency, Quantiles
from reports.run.over_time import widening
from reports.run.rundir import Run, ledger_chats, validity
from reports.run.timeline import Timeline
from reports.wording.numbers import wilson
from reports.wording.vocabulary import (
    NO_CALLS,
    OK,
    OUTCOMES,
    PROBE,
    QUOTA,
    SERVED_NOTHING,
    START,
    START_OUTCOMES,
    STARTED,
    TPS,
    UNKNOWN,
)

_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def measure(run: Run, total: Aggregates, customers: Customers, view: Timeline) -> Capacity:
    """Everything of the answer that needs no inference: both limits are unknown in it."""
    outcomes = {name: total.count(START, name) for name in START_OUTCOMES}
    if unknown := total.count(START, UNKNOWN):
        outcomes[UNKNOWN] = unknown
    calls = sum(outcomes.values())
    problems = [*run.problems, *total.damage]
    if total.unplaced:
        rows = counted(total.unplaced, "row has", "rows have")
        problems.append(f"{rows} no usable time: counted, but in no figure over time")
    manifest = run.manifest
    return Capacity(
        schema=SCHEMA,
        target=_target(run),
        run=_run(run, total),
        first_limit=first_limit(total),
        first_seen={
            name: FirstSeen(at, round(at - total.first, 6))
            for name in (TPS, QUOTA)
            if (at := total.first_of(name)) is not None
        },
        tps=Tps(Interval(), Interval(), "unknown", "not_explained"),
        active_chats=ActiveChats(verdict="not_explained"),
        crossover_s=None,
        peak_active=PeakActive(
            int(view.active.max()) if len(view.active) else 0,
            int(view.active.argmax()) + 1 if len(view.active) else None,
        ),
        outcomes=outcomes,
        outcome_share={name: count / calls if calls else None for name, count in outcomes.items()},
        share_intervals=_share_intervals(total, outcomes),
        operations={name: _operation(total, name) for name in total.operations.numbers},
        latency_ms={name: latency(total, (START, name)) for name in outcomes if (START, name) in total.pairs},
        quantile_error=ERROR,
        generator=_generator(run, total, calls, view),
        chats=_chats(run),
        declared={key: value for key, value in manifest.declared.items() if isinstance(value, (dict, list))},
        answers=error_texts_of(manifest.answers),
        chat_ends=manifest.chat_ends,
        retry_lab=manifest.retry_lab,
        journey_probe=manifest.journey_probe,
        clocks=clocks_of(manifest.clocks),
        locust=locust_statistics(total),
        answered=answered_of(run, total, customers.messages, lambda pair: latency(total, pair)),
        problems=problems,
    )


def _operation(total: Aggregates, operation: str) -> Operation:
    """Attempts of an operation by outcome, and the latency of those that were served."""
    names = (*OUTCOMES, UNKNOWN)
    outcomes = {name: count for name in names if (count := total.count(operation, name))}
    served = STARTED if operation == START else OK
    pair = (operation, served)
    return Operation(
        attempts=sum(outcomes.values()),
        admitted=outcomes.get(served, 0) + outcomes.get(QUOTA, 0),
        served=outcomes.get(served, 0),
        throttled=outcomes.get(TPS, 0),
        outcomes=outcomes,
        latency_ms=latency(total, pair) if pair in total.pairs else None,
    )


def capacity(measured: Capacity, inference: Inference) -> Capacity:
    """The whole answer: what was measured, with what was inferred."""
    tps = shared_tps(tps_of(inference.tps, inference.any_limiter), measured.declared, inference)
    chats = active_chats_of(measured.declared, inference)
    operations, binds_first = add_limits(measured.operations, inference.journey)
    return msgspec.structs.replace(
        measured,
        tps=tps,
        active_chats=chats,
        crossover_s=crossover(tps, chats),
        operations=operations,
        binds_first=binds_first,
        inference=InferenceNote(
            attempts=len(inference.tps_excerpt.attempts),
            of_attempts=sum(measured.outcomes.values()),
            any_limiter_attempts=inference.any_limiter_attempts,
            tps_window=inference.tps_excerpt.span,
            active_chats_window=inference.chats_excerpt.span,
        ),
    )


def tps_of(exact: TpsEstimate, found: AnyLimiterEstimate | None) -> Tps:
    """The limit on chat starts: the exact inference's answer, and what holds for any limiter (None: not looked for)."""
    tps = Tps(
        rate=interval_of(exact.rate),
        burst=interval_of(exact.burst),
        limiter=exact.limiter,
        verdict=exact.verdict,
        evidence=exact.evidence,
    )
    if found is None:
        return tps
    told = found.to_json()
    contrary = msgspec.convert(told["contrary_share"], Contrary | None)
    safe = told["safe"]
    if safe is not None:
        points = safe["refused_at"].items()
        safe |= {"refused_at": {share: point["refused"] for share, point in points}}
        safe |= {"refused_at_intervals": {share: (point["low"], point["high"]) for share, point in points}}
    return msgspec.structs.replace(
        tps,
        class_=found.kind,
        sustained=msgspec.convert(told["sustained"], Sustained | None),
        sustained_mild=msgspec.convert(told["sustained_mild"], Sustained | None),
        burst_from_rest=msgspec.convert(told["burst_from_rest"], BurstFromRest | None),
        safe=msgspec.convert(safe, Safe | None),
        contrary_share=None if contrary is None else contrary.share,
        contrary=contrary,
        findings=[finding for finding in found.findings if finding != NO_EXACT_LIMITER or not tps.too_few],
    )


def interval_of(found: QuotaInterval) -> Interval:
    """An inferred interval as capacity.json has it, with six significant digits."""
    return Interval(**found.to_json())


def first_limit(total: Aggregates) -> FirstLimit | None:
    """Which limit refused a call first in time: "tps", "active_chats", or None if neither did."""
    tps, chats = total.first_of(TPS), total.first_of(QUOTA)
    if tps is None or chats is None:
        return "tps" if tps is not None else "active_chats" if chats is not None else None
    return "tps" if tps <= chats else "active_chats"


def crossover(tps: Tps, chats: ActiveChats) -> Interval | None:
    """The mean chat length (s) beyond which the active-chat limit binds before the TPS rate does, as an interval.

    Little's law: at rate r with mean length W, r x W chats are open; the two limits meet at W = Q / r. The rate is the exact
    one, or the sustained one where no exact limiter is proved. None unless both limits are known.
    """
    found, quota = tps.rate_to_use, chats.estimate
    if found is None or not found.estimate or chats.verdict != "explained" or not quota:
        return None
    rate = found.estimate

    def ratio(most: float, per_second: float) -> float:
        return float(f"{most / per_second:.6g}")

    return Interval(
        ratio(quota, rate),
        ratio(chats.low or quota, found.high or rate),
        ratio(chats.high or quota, found.low or rate),
    )


def _share_intervals(total: Aggregates, outcomes: dict[str, int]) -> dict[str, tuple[float, float] | None]:
    """The 95 % interval of each outcome's share, as wide as the scatter of the share between stretches of time says."""
    calls = sum(outcomes.values())
    by_second = total.by_sent.counts[:, : len(OUTCOMES) + 1]
    occupied = np.flatnonzero(by_second.any(axis=1))
    by_second = by_second[occupied[0] : occupied[-1] + 1] if len(occupied) else by_second
    every = by_second.sum(axis=1)
    return {
        name: wilson(count, calls, widening(by_second[:, total.series(name)], every)) if calls else None
        for name, count in outcomes.items()
    }


def latency(total: Aggregates, pair: tuple[str, str]) -> Latency:
    """Quantiles in ms of one operation's outcome: from when calls were due, and `from_sent`.

    Intervals are as wide as the scatter between stretches of time says, where latency over time was counted.
    """
    group, timed = total.pairs[pair], TIMED.get(pair)
    widenings = {}
    for name, q in _QUANTILES.items():
        value = total.from_scheduled.quantile(group, q)
        widenings[name] = 1.0 if timed is None or value is None else total.latency_over_time.widening(timed, value)
    due = _quantiles(total.from_scheduled, group, widenings)
    return Latency(**msgspec.structs.asdict(due), from_sent=_quantiles(total.from_sent, group, widenings))


def _quantiles(histograms: Histograms, group: int, widenings: dict[str, float]) -> Quantiles:
    values = {name: _ms(histograms.quantile(group, q)) for name, q in _QUANTILES.items()}
    bounds = {name: histograms.quantile_interval(group, q, widenings[name]) for name, q in _QUANTILES.items()}
    return Quantiles(
        n=histograms.total(group),
        **values,
        max=_ms(histograms.quantile(group, 1.0)),
        intervals={
            name: None if bound is None else (_ms_of(bound[0]), _ms_of(bound[1])) for name, bound in bounds.items()
        },
    )


def locust_statistics(total: Aggregates) -> dict[str, dict[str, float | None]]:
    """What Locust's own table says of each operation, counted from the samples: times in ms, rates in 1/s."""
    seconds = max(total.last - total.first, 1e-9) if total.rows > total.unplaced else 0.0
    names = {name: [pair for pair in total.pairs if pair[0] == name] for name in total.operations.numbers}
    if total.pairs:
        names["Aggregated"] = list(total.pairs)
    table: dict[str, dict[str, float | None]] = {}
    for name, pairs in names.items():
        counts = {pair: total.from_sent.total(total.pairs[pair]) for pair in pairs}
        requests = sum(counts.values())
        if not requests:
            continue
        failures = sum(count for pair, count in counts.items() if pair[1] not in (STARTED, OK))
        merged = total.from_sent.merged([total.pairs[pair] for pair in pairs])
        table[name] = {
            "num_requests": requests,
            "num_failures": failures,
            "fail_ratio": failures / requests,
            "requests_per_s": requests / seconds if seconds else None,
            "avg_response_time": _ms(merged.mean(0)),
            "median_response_time": _ms(merged.quantile(0, 0.5)),
            "p95_response_time": _ms(merged.quantile(0, 0.95)),
            "p99_response_time": _ms(merged.quantile(0, 0.99)),
            "max_response_time": _ms(merged.quantile(0, 1.0)),
        }
    return table


def _target(run: Run) -> Target:
    aim = run.manifest.target
    if not run.tells("target", "endpoint"):
        return Target()
    kind: TargetKind = "live" if aim.kind == "live" or aim.live else "lab"
    return Target(kind, aim.endpoint, aim.account, aim.region or None, aim.instance_id or None)


def _run(run: Run, total: Aggregates) -> RunNote:
    manifest, aim = run.manifest, run.manifest.target
    nothing = total.rows == total.unplaced
    return RunNote(
        id=manifest.run_id or run.path.name,
        user_class=manifest.user_class or None,
        status=manifest.status or None,
        ended_by=manifest.ended_by,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
        first_call_at=None if nothing else total.first,
        measured_s=None if nothing else round(total.last - total.first, 6),
        samples=total.rows,
        endpoint=aim.endpoint or None,
        region=aim.region or None,
        instance_id=aim.instance_id or None,
        live=aim.live if run.tells("target", "endpoint") else None,
        emulator=aim.emulator,
        options=manifest.options,
        workload=manifest.workload,
        versions=manifest.versions,
    )


def _generator(run: Run, total: Aggregates, calls: int, view: Timeline) -> Generator:
    told = run.manifest.generator
    valid, reasons = validity(run)
    if (missing := missing_rows(run, total)) and (reason := f"{missing[0].lower()}{missing[1:]}") not in reasons:
        reasons.append(reason)
    if calls and not _anything_served(total) and not any(SERVED_NOTHING in reason for reason in reasons):
        reasons.append("no call was served, so that nothing was measured of the limits")
    no_schedule = run.manifest.user_class == PROBE or run.manifest.retry_lab is not None  # retries follow the refusals
    lateness = MeasuredLateness(
        **{name: _ms(total.lateness.quantile(0, q)) for name, q in (*_QUANTILES.items(), ("max", 1.0))}
    )
    return Generator(
        offered=_offered(run, calls),
        sent=calls if run.manifest.user_class == PROBE else _told(run, told.sent, "sent"),
        dropped=_told(run, told.dropped, "dropped"),
        dropped_late=_told(run, told.dropped_late, "dropped_late"),
        withheld=_told(run, told.withheld, "withheld"),
        samples_recorded=_told(run, told.samples_recorded, "samples_recorded"),
        samples_lost=_told(run, told.samples_lost, "samples_lost"),
        offered_per_s=None if run.manifest.user_class == PROBE else told.offered_per_s,
        offered_peak_per_s=None if no_schedule else view.busiest_offered(),
        cpu_percent_max=told.cpu_percent_max,
        lateness_ms_p50=lateness.p50,
        lateness_ms_p99=lateness.p99,
        measured_lateness_ms=lateness,
        valid=valid and not reasons,
        reasons=reasons,
    )


def _offered(run: Run, calls: int) -> int:
    """Chat starts that came due. A probe has no schedule: what it decided to send is what it offered."""
    if run.manifest.user_class == PROBE:
        return calls
    told = run.manifest.generator
    return told.offered if run.tells("generator", "offered") else calls + told.dropped


def _told(run: Run, count: int, name: str) -> int | None:
    """A count of the generator's own account; None where it does not say it."""
    return count if run.tells("generator", name) else None


def _anything_served(total: Aggregates) -> bool:
    """Whether any call was admitted, or refused by a limit, which only a working service does."""
    names = [name for name in total.operations.numbers if name not in NO_CALLS]
    return any(total.count(name, outcome) for name in names for outcome in (STARTED, OK, TPS, QUOTA))


def _chats(run: Run) -> Chats:
    """The run's own account of its chats, or the ledger's if the run left none."""
    if all(run.tells("chats", name) for name in ("started", "stopped", "left_open")):
        return Chats(**msgspec.structs.asdict(run.manifest.chats), source="run.json")
    counted = ledger_chats(run)
    if counted is None:
        return Chats(source="neither run.json nor a ledger")
    return Chats(**msgspec.structs.asdict(counted), source="ledger")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else _ms_of(seconds)


def _ms_of(seconds: float) -> float:
    return float(f"{seconds * 1000:.6g}")
