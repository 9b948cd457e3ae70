"""The parts of the page that only some runs have: operations of a journey, the retry lab, chats that others ended."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.counting import counted
from reports.capacity import sentences as words
from reports.capacity.journey import bind_first, is_journey
from reports.capacity.model import Capacity, Operation, OperationLimit, Safe, Sustained, Tps
from reports.wording.numbers import (
    at_least,
    at_once,
    between,
    known,
    label,
    milliseconds,
    number,
    percent,
    rounded_down,
    seconds,
    share,
    share_of,
    with_bounds,
)
from reports.wording.vocabulary import NO_CALLS, NOT_ASKED

_REASONS = {
    "CUSTOMER_CONNECTION_NOT_ESTABLISHED": "nobody connected within five minutes",
    "EXPIRED": "the chat reached its ChatDurationInMinutes",
    "AGENT_DISCONNECT": "an agent ended it",
    "CONTACT_FLOW_DISCONNECT": "the flow ended it",
    "AGENT_NETWORK_DISCONNECT": "the agent's connection was lost",
    "CUSTOMER_DISCONNECT": "the customer left",
    "API": "StopContact ended it, not this run's",
    "BARGED": "a manager took it over",
    "IDLE_DISCONNECT": "a participant was idle for too long",
    "THIRD_PARTY_DISCONNECT": "a third participant was taken out",
    "SYSTEM_ERROR": "the service ended it by an error",
    NOT_ASKED: "the reason was not looked up, or not told",
}


@dataclass(frozen=True)
class OperationRow:
    """One operation, or step of the customer's websocket, as texts."""

    name: str
    attempts: str
    served: str
    throttled: str
    refused_share: str
    others: str
    limit: str
    per_chat: str
    binds: str
    p50: str
    p95: str
    p99: str


@dataclass(frozen=True)
class OperationsSection:
    """The operations of a journey: API calls, what the websocket saw, and which limit binds first."""

    rows: list[OperationRow]
    waits: list[OperationRow]
    sentence: str


@dataclass(frozen=True)
class RetriesSection:
    """What a caller of the SDK felt."""

    rows: list[tuple[str, str]]
    sentence: str


def operations(answer: Capacity) -> OperationsSection | None:
    """A row an operation, with its limit and the chats a second that this leaves room for; None without a journey."""
    table = answer.operations
    if not is_journey(table):
        return None
    rows = [_operation_row(name, row) for name, row in table.items() if name not in NO_CALLS]
    waits = [_operation_row(name, row) for name, row in table.items() if name in NO_CALLS]
    return OperationsSection(rows, waits, _binding(answer))


def _operation_row(name: str, row: Operation) -> OperationRow:
    latency, cost, binds = row.latency_ms, row.calls_per_chat, row.binds_at_chats_per_s
    return OperationRow(
        name=name,
        attempts=f"{row.attempts:,}",
        served=f"{row.served:,}",
        throttled=f"{row.throttled:,}",
        refused_share=share(row.throttled, row.attempts) if row.throttled else "",
        others=f"{row.attempts - row.served - row.throttled:,}",
        limit=_limit(row.limit),
        per_chat="" if cost is None else number(cost),
        binds="" if binds is None else known(binds),
        p50=milliseconds(latency.p50 if latency else None),
        p95=milliseconds(latency.p95 if latency else None),
        p99=milliseconds(latency.p99 if latency else None),
    )


def _limit(limit: OperationLimit | None) -> str:
    if limit is None:
        return "not inferred"
    rate, burst = limit.rate, limit.burst
    if limit.verdict == "explained" and rate.estimate is not None:
        size = "unknown" if burst.low is None else known(burst)
        bounds = f" ({between(rate).replace(' and ', ' to ')})" if rate.low != rate.high else ""
        return f"{known(rate)}/s{bounds}, burst {size}"
    if limit.verdict == "lower_bound":
        return "not met" if rate.estimate is None else f"not met; {number(rate.estimate)}/s seen"
    if rate.low and rate.high is not None and rate.high <= 2 * rate.low:
        return f"between {between(rate, '/s')}, if it is a token bucket"
    return f"not explained; {at_least(rate, '/s')}" if rate.low and rate.low >= 0.1 else "not explained"


def _binding(answer: Capacity) -> str:
    table, first = answer.operations, answer.binds_first
    unmet = [name for name, row in table.items() if row.calls_per_chat and row.limit and row.limit.rate.low is None]
    rest = f" Not met, so unknown: {', '.join(unmet)}." if unmet else ""
    row = table.get(first or "")
    if row is None or row.limit is None or row.binds_at_chats_per_s is None:
        return f"No operation of this journey met a limit that could be told.{rest}"
    cost = row.calls_per_chat or 1.0
    calls = "one call" if cost == 1 else f"{counted(number(cost), 'call')}"
    alike = bind_first(answer)[1:]
    as_well = f" ({' and '.join(alike)} may as well)" if alike else ""
    return (
        f"Of the limits that this run met, {first} binds first{as_well}: {counted(known(row.limit.rate), 'call')} a second "
        f"and {calls} a chat leave room for {counted(known(row.binds_at_chats_per_s), 'chat')} a second.{rest}"
    )


@dataclass(frozen=True)
class AnyLimiterSection:
    """What holds for any limiter: which numbers to use, rows of (what, value, note), and what speaks against exact."""

    sentence: str
    rows: list[tuple[str, str, str]]
    findings: list[str]


def any_limiter(answer: Capacity) -> AnyLimiterSection | None:
    """The sustained rate, burst from rest, safe rate and class; None where no call was throttled."""
    tps = answer.tps
    if tps.class_ is None or tps.sustained is None:
        return None
    rows = [("Class", tps.class_.replace("_", " "), _contrary_note(tps))]
    for what, rate in (("Sustained rate", tps.sustained), ("Sustained rate, mild pressure", tps.sustained_mild)):
        if rate is not None:
            rows.append((what, f"{with_bounds(rate)} a second", _pressure_note(rate)))
    if (burst := tps.burst_from_rest) is not None:
        volleys = counted(burst.volleys or 0, "volley")
        note = f"median {number(burst.median)}; {volleys} after {seconds(burst.rest_s or 0)} of rest"
        rows.append(("Burst from rest", f"{at_once(burst.low, burst.high)} at once", note))
    if tps.safe is not None:
        rows += _safe_rows(tps.safe)
    why = "an exact limiter explains the record" if tps.exact else words.class_phrase(tps)
    sentence = f"Use {words.numbers_to_use(tps)}, since {why}. Intervals in this table are at 95 %."
    return AnyLimiterSection(sentence, rows, tps.findings)


def _contrary_note(tps: Tps) -> str:
    if tps.contrary is None:
        return words.CLASSES[tps.class_] if tps.class_ else ""
    return words.contrary_note(tps.contrary)


def _pressure_note(rate: Sustained) -> str:
    if rate.pressure is None or rate.seconds is None or rate.admitted is None:
        return ""
    return f"{rate.admitted:,} admitted in {seconds(rate.seconds)}, at {number(rate.pressure)} times the rate"


def _safe_rows(safe: Safe) -> list[tuple[str, str, str]]:
    rows = []
    for what, rate in (("Safe rate, random arrivals", safe.poisson), ("Safe rate, evenly spaced", safe.even)):
        if rate is not None and rate.low is not None:
            note = f"at most {percent(rate.refused_share)} refused; tried with {counted(rate.calls or 0, 'call')}"
            rows.append((what, f"at least {rounded_down(rate.low)}/s" if rate.low else "none", note))
    for load, refused in safe.refused_at.items():
        if refused is not None:
            bounds = safe.refused_at_intervals.get(load)
            text = percent(refused) if bounds is None else share_of(refused, bounds)
            rows.append((f"Refused at {load} of the sustained rate", text, "of random arrivals"))
    return rows


def retry_lab(answer: Capacity) -> RetriesSection | None:
    """What a caller of the SDK felt; None where no retries were asked for."""
    lab = answer.retry_lab
    if not lab or not lab.calls:
        return None
    calls, started = lab.calls, lab.started or 0
    gave_up = ", ".join(f"{count:,} {label(outcome)}" for outcome, count in lab.gave_up.items())
    tries = lab.attempts_by_call.items()
    rows = [
        ("Calls of the application", f"{calls:,}"),
        ("Calls that got a chat", f"{started:,} ({started / calls:.1%})"),
        ("Calls that gave up, by last answer", gave_up or "none"),
        ("Attempts on the wire", _count(lab.attempts)),
        ("Calls by number of attempts", ", ".join(f"{count:,} with {number}" for number, count in tries) or "unknown"),
        ("Goodput", _plain(lab.goodput_per_s, " chats a second")),
        ("Attempts for each chat", _plain(lab.attempts_per_started_chat)),
        ("Time to a chat, p50 / p95 / p99", _quantiles(lab.latency_ms)),
        ("of which waiting and trying again", _quantiles(lab.added_latency_ms)),
        ("Given up early, as the SDK's retry quota was empty", _count(lab.retry_quota_reached)),
    ]
    cost = lab.attempts_per_started_chat
    attempts = counted(number(cost or 0), "attempt")
    spent = f", and each chat cost {attempts} of the quota that all callers share" if cost else ""
    sentence = (
        f"With the SDK's retry mode {lab.mode or 'unknown'!r}, {started:,} of {counted(calls, 'call')} got a chat{spent}. "
        "No mode admits more than the quota does: retries trade refusals for waiting."
    )
    return RetriesSection(rows, sentence)


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _plain(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{number(value)}{unit}"


def _quantiles(table: Mapping[str, float | None]) -> str:
    values = [table.get(name) for name in ("p50", "p95", "p99")]
    return " / ".join("unknown" if value is None else seconds(round(value / 1000, 3)) for value in values)


def chat_ends(answer: Capacity) -> list[tuple[str, str, str]]:
    """Why chats ended that this run did not stop: reason, what it means, count; most frequent first."""
    found = sorted(answer.chat_ends.items(), key=lambda item: -item[1])
    return [(reason, _REASONS.get(reason, ""), f"{count:,}") for reason, count in found if count]
