"""The parts of the page that only some runs have: operations of a journey, the retry lab, chats that others ended."""

from collections.abc import Mapping
from typing import Any

from reports.capacity.journey import is_journey
from reports.wording import sentences as words
from reports.wording.vocabulary import NO_CALLS

_REASONS = {
    "CUSTOMER_CONNECTION_NOT_ESTABLISHED": "nobody connected within five minutes",
    "EXPIRED": "the chat reached its ChatDurationInMinutes",
    "AGENT_DISCONNECT": "an agent ended it",
    "CONTACT_FLOW_DISCONNECT": "the flow ended it",
    "not_asked": "the reason was not looked up, or not told",
}

Section = dict[str, Any]


def operations(answer: Mapping[str, Any]) -> Section | None:
    """A row an operation, with its limit and the chats a second that this leaves room for; None without a journey."""
    table = answer["operations"]
    if not is_journey(table):
        return None
    rows = [_operation_row(name, row) for name, row in table.items() if name not in NO_CALLS]
    waits = [_operation_row(name, row) for name, row in table.items() if name in NO_CALLS]
    return {"rows": rows, "waits": waits, "sentence": _binding(answer)}


def _operation_row(name: str, row: Mapping[str, Any]) -> dict[str, str]:
    latency = row["latency_ms"] or {}
    quantiles = {q: _ms(latency.get(q)) for q in ("p50", "p95", "p99")}
    cost, binds = row["calls_per_chat"], row["binds_at_chats_per_s"]
    others = row["attempts"] - row["admitted"] - row["throttled"]
    return quantiles | {
        "name": name,
        "attempts": f"{row['attempts']:,}",
        "admitted": f"{row['admitted']:,}",
        "throttled": f"{row['throttled']:,}",
        "others": f"{others:,}",
        "limit": _limit(row["limit"]),
        "per_chat": "" if cost is None else words.number(cost),
        "binds": "" if binds is None else words.known(binds),
    }


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else words.number(round(value))


def _limit(limit: Mapping[str, Any] | None) -> str:
    if limit is None:
        return "not inferred"
    rate, burst = limit["rate"], limit["burst"]
    if limit["verdict"] == "explained" and rate["estimate"] is not None:
        size = "unknown" if burst["estimate"] is None else words.burst_size(burst)
        return f"{words.known(rate)}/s ({rate['low']:.5g} to {rate['high']:.5g}), burst {size}"
    if limit["verdict"] == "lower_bound":
        return "not met" if rate["estimate"] is None else f"not met; {words.number(rate['estimate'])}/s seen"
    if rate["low"] is not None and rate["high"] is not None:
        return f"between {words.span(rate, '/s')}, if it is a token bucket"
    return "not explained"


def _binding(answer: Mapping[str, Any]) -> str:
    table, first = answer["operations"], answer["binds_first"]
    unmet = [
        name
        for name, row in table.items()
        if row["calls_per_chat"] and row["limit"] and row["limit"]["rate"]["low"] is None
    ]
    rest = f" Not met, so unknown: {', '.join(unmet)}." if unmet else ""
    if first is None:
        return f"No operation of this journey met a limit that could be told.{rest}"
    row = table[first]
    cost = row["calls_per_chat"] or 1.0
    calls = "one call" if cost == 1 else f"{words.number(cost)} calls"
    return (
        f"Of the limits that this run met, {first} binds first: {words.known(row['limit']['rate'])} calls a second and "
        f"{calls} a chat leave room for {words.known(row['binds_at_chats_per_s'])} chats a second.{rest}"
    )


def retry_lab(answer: Mapping[str, Any]) -> Section | None:
    """What a caller of the SDK felt; None where no retries were asked for."""
    lab = answer["retry_lab"]
    if not lab or not lab.get("calls"):
        return None
    calls, started = lab["calls"], lab.get("started") or 0
    gave_up = ", ".join(f"{count:,} {words.label(outcome)}" for outcome, count in (lab.get("gave_up") or {}).items())
    tries = (lab.get("attempts_by_call") or {}).items()
    rows = [
        ("Calls of the application", f"{calls:,}"),
        ("Calls that got a chat", f"{started:,} ({started / calls:.1%})"),
        ("Calls that gave up, by last answer", gave_up or "none"),
        ("Attempts on the wire", _count(lab.get("attempts"))),
        ("Calls by number of attempts", ", ".join(f"{count:,} with {number}" for number, count in tries) or "unknown"),
        ("Goodput", _plain(lab.get("goodput_per_s"), " chats a second")),
        ("Attempts for each chat", _plain(lab.get("attempts_per_started_chat"))),
        ("Time to a chat, p50 / p95 / p99", _quantiles(lab.get("latency_ms"))),
        ("of which waiting and trying again", _quantiles(lab.get("added_latency_ms"))),
        ("Given up early, as the SDK's retry quota was empty", _count(lab.get("retry_quota_reached"))),
    ]
    cost = lab.get("attempts_per_started_chat")
    spent = f", and each chat cost {words.number(cost)} attempts of the quota that all callers share" if cost else ""
    sentence = (
        f"With the SDK's retry mode {lab.get('mode', 'unknown')!r}, {started:,} of {calls:,} calls got a chat{spent}. No "
        "mode admits more than the quota does: retries trade refusals for waiting."
    )
    return {"rows": rows, "sentence": sentence}


def _count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _plain(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{words.number(value)}{unit}"


def _quantiles(table: Mapping[str, Any] | None) -> str:
    values = [(table or {}).get(name) for name in ("p50", "p95", "p99")]
    return " / ".join("unknown" if value is None else words.seconds(round(value / 1000, 3)) for value in values)


def chat_ends(answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Why chats ended that this run did not stop: reason, what it means, count; most frequent first."""
    found = sorted(answer["chat_ends"].items(), key=lambda item: -item[1])
    return [(reason, _REASONS.get(reason, ""), f"{count:,}") for reason, count in found if count]
