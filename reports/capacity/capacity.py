"""The answer for machines: what `capacity.json` says of a run."""

from collections.abc import Mapping
from typing import Any

from reports.capacity.inference import Inference, missing_rows
from reports.capacity.journey import add_limits
from reports.run.fold import Aggregates
from reports.run.histogram import ERROR, Histograms
from reports.run.rundir import Run, read_ledger, validity
from reports.run.timeline import Timeline
from reports.wording.vocabulary import OK, OUTCOMES, QUOTA, START, START_OUTCOMES, STARTED, TPS, UNKNOWN

SCHEMA = 1
_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_GENERATOR = (
    "sent",
    "dropped",
    "withheld",
    "samples_recorded",
    "samples_lost",
    "offered_per_s",
    "cpu_percent_max",
)


def measure(run: Run, total: Aggregates, view: Timeline) -> dict[str, Any]:
    """Everything of the answer that needs no inference."""
    outcomes = {name: total.count(START, name) for name in START_OUTCOMES}
    if unknown := total.count(START, UNKNOWN):
        outcomes[UNKNOWN] = unknown
    calls = sum(outcomes.values())
    valid, reasons = validity(run)
    generator = run.section("generator")
    if missing := missing_rows(run, total):
        reasons.append(f"{missing[0].lower()}{missing[1:]}")
        valid = False
    problems = [*run.problems, *total.damage]
    if total.unplaced:
        problems.append(f"{total.unplaced:,} rows have no usable time: counted, but in no figure over time")
    return {
        "schema": SCHEMA,
        "run": _run(run, total),
        "first_limit": first_limit(total),
        "first_seen": {
            name: {"at": at, "after_s": round(at - total.first, 6)}
            for name in (TPS, QUOTA)
            if (at := total.first_of(name)) is not None
        },
        "peak_active": {
            "chats": int(view.active.max()) if len(view.active) else 0,
            "after_s": int(view.active.to_numpy().argmax()) + 1 if len(view.active) else None,
        },
        "outcomes": outcomes,
        "outcome_share": {name: count / calls if calls else None for name, count in outcomes.items()},
        "operations": {name: _operation(total, name) for name in total.operations.numbers},
        "latency_ms": {name: latency(total, (START, name)) for name in outcomes if (START, name) in total.pairs},
        "quantile_error": ERROR,
        "generator": _generator(generator, total, calls, valid, reasons),
        "chats": _chats(run),
        "declared": {key: value for key, value in run.section("declared").items() if isinstance(value, (dict, list))},
        "answers": run.manifest.get("answers") or [],
        "chat_ends": run.section("chat_ends"),
        "retry_lab": run.section("retry_lab") or None,
        "locust": locust_statistics(total),
        "problems": problems,
    }


def _operation(total: Aggregates, operation: str) -> dict[str, Any]:
    """Attempts of an operation by outcome, and the latency of those that were admitted."""
    names = (*OUTCOMES, UNKNOWN)
    outcomes = {name: count for name in names if (count := total.count(operation, name))}
    admitted = STARTED if operation == START else OK
    pair = (operation, admitted)
    return {
        "attempts": sum(outcomes.values()),
        "admitted": outcomes.get(admitted, 0),
        "throttled": outcomes.get(TPS, 0),
        "outcomes": outcomes,
        "latency_ms": latency(total, pair) if pair in total.pairs else None,
    }


def capacity(measured: Mapping[str, Any], inference: Inference) -> dict[str, Any]:
    """The whole answer; its shape is `reports/capacity/schema/capacity.schema.json`."""
    tps, chats = inference.tps.to_json(), inference.active_chats.to_json()
    first = ("schema", "run", "first_limit", "first_seen")
    operations, binds_first = add_limits(measured["operations"], inference.journey)
    return {
        **{name: measured[name] for name in first},
        "tps": tps,
        "active_chats": chats,
        "crossover_s": crossover(tps, chats),
        **{name: value for name, value in measured.items() if name not in first},
        "operations": operations,
        "binds_first": binds_first,
        "inference": {
            "attempts": len(inference.tps_excerpt.attempts),
            "of_attempts": sum(measured["outcomes"].values()),
            "tps_window": list(inference.tps_excerpt.window),
            "active_chats_window": list(inference.chats_excerpt.window),
        },
    }


def first_limit(total: Aggregates) -> str | None:
    """Which limit refused a call first in time: "tps", "active_chats", or None if neither did."""
    first = {"tps": total.first_of(TPS), "active_chats": total.first_of(QUOTA)}
    seen = {limit: at for limit, at in first.items() if at is not None}
    return min(seen, key=lambda limit: seen[limit]) if seen else None


def crossover(tps: Mapping[str, Any], chats: Mapping[str, Any]) -> dict[str, float] | None:
    """The mean chat length (s) beyond which the active-chat limit binds before the TPS rate does, as an interval.

    Little's law: at rate r with mean length W, r x W chats are open; the two limits meet at W = Q / r. None unless both
    limits are explained.
    """
    rate = tps["rate"]
    if (
        tps["verdict"] != "explained"
        or chats["verdict"] != "explained"
        or not rate["estimate"]
        or not chats["estimate"]
    ):
        return None

    def ratio(quota: float | None, per_second: float | None) -> float:
        return float(f"{(quota or chats['estimate']) / (per_second or rate['estimate']):.6g}")

    return {
        "estimate": ratio(chats["estimate"], rate["estimate"]),
        "low": ratio(chats["low"], rate["high"]),
        "high": ratio(chats["high"], rate["low"]),
    }


def latency(total: Aggregates, pair: tuple[str, str]) -> dict[str, Any]:
    """Quantiles in ms of one operation's outcome: from when calls were due, and `from_sent`."""
    group = total.pairs[pair]
    return _quantiles(total.from_scheduled, group) | {"from_sent": _quantiles(total.from_sent, group)}


def _quantiles(histograms: Histograms, group: int) -> dict[str, Any]:
    row: dict[str, Any] = {"n": histograms.total(group)}
    for name, q in _QUANTILES.items():
        row[name] = _ms(histograms.quantile(group, q))
    row["max"] = _ms(histograms.quantile(group, 1.0))
    row["intervals"] = {
        name: [_ms(bound) for bound in bounds] if (bounds := histograms.quantile_interval(group, q)) else None
        for name, q in _QUANTILES.items()
    }
    return row


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


def _run(run: Run, total: Aggregates) -> dict[str, Any]:
    manifest, target = run.manifest, run.section("target")
    measured = None if total.rows == total.unplaced else round(total.last - total.first, 6)
    return {
        "id": manifest.get("run_id") or run.path.name,
        "user_class": manifest.get("user_class"),
        "status": manifest.get("status"),
        "ended_by": manifest.get("ended_by"),
        "started_at": manifest.get("started_at"),
        "ended_at": manifest.get("ended_at"),
        "first_call_at": None if measured is None else total.first,
        "measured_s": measured,
        "samples": total.rows,
        "endpoint": target.get("endpoint"),
        "region": target.get("region"),
        "instance_id": target.get("instance_id"),
        "live": target.get("live"),
        "emulator": target.get("emulator"),
        "options": run.section("options"),
        "workload": run.section("workload"),
        "versions": run.section("versions"),
    }


def _generator(
    manifest: Mapping[str, Any], total: Aggregates, calls: int, valid: bool, reasons: list[str]
) -> dict[str, Any]:
    measured = {name: _ms(total.lateness.quantile(0, q)) for name, q in (*_QUANTILES.items(), ("max", 1.0))}
    return {
        "offered": manifest.get("offered", calls + (manifest.get("dropped") or 0)),
        **{name: manifest.get(name) for name in _GENERATOR},
        "lateness_ms_p50": measured["p50"],
        "lateness_ms_p99": measured["p99"],
        "measured_lateness_ms": measured,
        "valid": valid,
        "reasons": reasons,
    }


def _chats(run: Run) -> dict[str, Any]:
    """The run's own account of its chats, or the ledger's if the run left none."""
    account = run.section("chats")
    names = ("started", "stopped", "already_ended", "kept", "left_open", "unanswered")
    if all(name in account for name in ("started", "stopped", "left_open")):
        return {**{name: account.get(name) for name in names}, "source": "run.json"}
    ledger = read_ledger(run)
    if not ledger.files:
        return {**dict.fromkeys(names), "source": "neither run.json nor a ledger"}
    return {
        "started": ledger.started,
        "stopped": ledger.ended.get("stopped", 0),
        "already_ended": ledger.ended.get("already_ended", 0),
        "kept": ledger.ended.get("kept", 0),
        "left_open": ledger.open_ids,
        "unanswered": ledger.unanswered,
        "source": "ledger",
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds * 1000:.6g}")
