"""The rows of the Quotas tab: one for each operation and limit, in words for people."""

from typing import Any

from harness.counting import counted
from harness.vocabulary import ACTIVE_CHAT_LIMIT, SERVED, START_CHAT, STARTED, TPS_THROTTLED

KEY = "quotas"
TAB = {"title": "Quotas", "key": KEY}
COLUMNS = (
    ("limit", "Limit"),
    ("offered", "Offered"),
    ("admitted", "Admitted"),
    ("throttled", "TPS throttled"),
    ("full", "Active-chat limit"),
    ("other", "Other refusals"),
    ("now", "Now"),
    ("estimate", "Estimate (99 % interval)"),
    ("chats", "Chats/s it allows"),
)
STRUCTURE = {"key": KEY, "structure": [{"key": key, "title": title} for key, title in COLUMNS]}

NONE = "–"
_RATE_SECONDS = 10

Row = dict[str, str | int]


def rows(live: dict[str, Any]) -> list[Row]:
    """Return the table for what `LiveRun.snapshot` says. Locust sorts it by `name`, which is not shown."""
    if live.get("run") is None:
        return []
    counts: dict[str, dict[str, int]] = live.get("counts", {})
    table = [_active_chats(live, counts.get(START_CHAT, {})), _to_stop(live)]
    # Those with a limit of their own first; what is measured beside them last.
    limited = set(live.get("estimates", {}))
    names = [START_CHAT, *sorted(set(counts) - {START_CHAT}, key=lambda name: (name not in limited, name))]
    table += [_calls(live, name, counts.get(name, {})) for name in names]
    return [{"name": f"{number:02d}", **row} for number, row in enumerate(table)]


def _active_chats(live: dict[str, Any], counts: dict[str, int]) -> Row:
    started, full = counts.get(STARTED, 0), counts.get(ACTIVE_CHAT_LIMIT, 0)
    found = live.get("active_chats")
    declared = (live.get("declared") or {}).get("active_chats", {}).get("value")
    of = f" of {declared:,} declared" if declared else ""
    return {
        "limit": "Active chats",
        "offered": started + full,
        "admitted": started,
        "throttled": NONE,
        "full": full,
        "other": NONE,
        "now": f"{live.get('open', 0):,} open{of}, at most {live.get('most_open', 0):,}",
        "estimate": _chats_estimate(found) if found else NONE,
        "chats": NONE,
    }


def _to_stop(live: dict[str, Any]) -> Row:
    chats = live.get("chats", {})
    left = chats.get("left_open", 0)
    nothing: Row = dict.fromkeys(("offered", "admitted", "throttled", "full", "other", "estimate", "chats"), NONE)
    return {**nothing, "limit": "Chats left to stop", "now": f"{left:,} of {chats.get('started', 0):,}"}


def _calls(live: dict[str, Any], name: str, counts: dict[str, int]) -> Row:
    total = sum(counts.values())
    admitted = sum(counts.get(outcome, 0) for outcome in SERVED)
    throttled, full = counts.get(TPS_THROTTLED, 0), counts.get(ACTIVE_CHAT_LIMIT, 0)
    found = live.get("estimates", {}).get(name)
    timed = f"{name} offered" in live.get("series", {}).get("values", {}) or found is not None or name == START_CHAT
    return {
        "limit": f"{name} calls/s" if timed else name,
        "offered": total,
        # A start that met the active-chat limit had passed this one.
        "admitted": admitted + full,
        "throttled": throttled,
        "full": NONE,
        "other": total - admitted - throttled - full,
        "now": _now(live, name) if timed else NONE,
        "estimate": rate_estimate(found, live.get("capacity") if name == START_CHAT else None) if found else NONE,
        "chats": _allowed(live, name),
    }


def _now(live: dict[str, Any], name: str) -> str:
    """Offered and admitted calls a second, over the last ten seconds that are complete."""
    if live.get("phase") not in ("running", "stopping chats"):
        return NONE
    values = live.get("series", {}).get("values", {})

    def mean(*kinds: str) -> float:
        columns = [values[f"{name} {kind}"][-_RATE_SECONDS:] for kind in kinds if f"{name} {kind}" in values]
        return sum(map(sum, columns)) / max(len(columns[0]), 1) if columns else 0.0

    return f"{mean('offered'):.1f}/s offered, {mean(*SERVED, ACTIVE_CHAT_LIMIT):.1f}/s admitted"


def _allowed(live: dict[str, Any], name: str) -> str:
    order = live.get("binding", [])
    for place, found in enumerate(order):
        if found["operation"] == name:
            cost = found["calls_per_chat"]
            text = number(found["chats_per_s"]["estimate"])
            text += f" at {counted(number(round(cost, 1)), 'call')} a chat" if cost != 1 else ""
            return f"{text}: binds first" if place == 0 and len(order) > 1 else text
    return NONE


def rate_estimate(found: dict[str, Any], capacity: dict[str, Any] | None = None) -> str:
    """Return a `TpsEstimate` in a few words; where it explains nothing, what `capacity` (an `AnyLimiterEstimate`) knows."""
    rate, burst = found["rate"], found["burst"]
    if found["verdict"] == "explained" and rate["estimate"] is not None:
        return f"{_span(rate, '/s')}, burst {_span(burst)}" if burst["estimate"] is not None else _span(rate, "/s")
    if found["verdict"] == "lower_bound":
        return f"not met; {number(rate['estimate'])}/s admitted so far" if rate["estimate"] else "not met"
    if sustained := (capacity or {}).get("sustained"):
        between = f"{number(sustained['low'])} to {number(sustained['high'])}"
        return f"sustains {number(sustained['estimate'])}/s ({between}, 95 %); no exact limiter explains it so far"
    return "not explained yet"


def _chats_estimate(found: dict[str, Any]) -> str:
    if found["verdict"] == "explained":
        return _span(found)
    if found["verdict"] == "lower_bound":
        return f"not met; {found['low']:,} admitted at once" if found["low"] else "not met"
    return "not explained yet"


def _span(interval: dict[str, Any], unit: str = "") -> str:
    """Return a number with its bounds. One that is bounded on one side only is told as that bound."""
    low, high, estimate = (interval[name] for name in ("low", "high", "estimate"))
    if high is None and low is not None:
        return f"at least {number(low)}{unit}"
    if low == high or low is None:
        return f"{number(estimate)}{unit}"
    return f"{number(estimate)}{unit} ({number(low)} to {number(high)})"


def number(value: float | None) -> str:
    """Four digits that count, without trailing zeros."""
    return "?" if value is None else f"{float(f'{value:.4g}'):,.4f}".rstrip("0").rstrip(".")
