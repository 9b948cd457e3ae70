"""Lays what AWS declares beside what the run found, and says where they disagree."""

from dataclasses import dataclass
from typing import Any

from reports.capacity.model import Capacity, Interval
from reports.run.declared import DeclaredValue, declared_value
from reports.wording.numbers import interval, number
from reports.wording.vocabulary import QUOTA, STARTED


@dataclass(frozen=True)
class Row:
    """One declared value beside what the run found, as texts; `disagrees` is None where they cannot be compared."""

    what: str
    declared: str
    source: str
    observed: str
    remark: str
    disagrees: bool | None


_NAMES = {
    "tps": "StartChatContact rate (1/s)",
    "burst": "StartChatContact burst",
    "active_chats": "Concurrent active chats",
    "stop_contact_tps": "StopContact rate (1/s)",
}


def declared_rows(answer: Capacity) -> list[Row]:
    """A row for each value that run.json declares; a value that could not be fetched is a row that says why."""
    tps, chats = answer.tps, answer.active_chats
    observed: dict[str, tuple[Interval, str]] = {
        "tps": (tps.rate_to_use or tps.rate, "explained" if tps.rate_to_use else tps.verdict),
        "burst": (tps.burst, tps.verdict if tps.exact or tps.verdict == "lower_bound" else "not_explained"),
        "active_chats": (chats, chats.verdict),
    }
    rows = []
    for key, entry in answer.declared.items():
        if key == "cloudwatch" and isinstance(entry, dict):
            rows += [_metric_row(name, entry, answer) for name, metric in entry.items() if isinstance(metric, dict)]
        elif (value := declared_value(answer.declared, key)) is not None:
            found, verdict = observed.get(key, (None, None))
            rows.append(_quota_row(_NAMES.get(key, key), value, found, verdict))
    return rows


def _quota_row(name: str, entry: DeclaredValue, found: Interval | None, verdict: str | None) -> Row:
    source = entry.source or "unknown source"
    seen = interval(found) if found is not None else "not measured"
    if entry.value is None:
        return Row(name, "unknown", source, seen, entry.error or "no value", None)
    remark, disagrees = _compare(entry.value, found, verdict)
    return Row(name, number(entry.value), source, seen, remark, disagrees)


def _compare(value: float, found: Interval | None, verdict: str | None) -> tuple[str, bool | None]:
    if verdict == "lower_bound" and found is not None and not found.low:
        return "the run did not reach the limit", None
    if found is None or verdict == "not_explained" or found.low is None:
        return "not comparable", None
    if value < found.low:
        return f"the service admitted more than declared: at least {number(found.low)}", True
    if verdict == "lower_bound" or found.high is None:
        return "consistent; the run did not reach it", False
    if value > found.high:
        return f"the service admitted less than declared: at most {number(found.high)}", True
    return "agrees", False


def _metric_row(name: str, metrics: dict[str, Any], answer: Capacity) -> Row:
    entry = declared_value(metrics, name) or DeclaredValue()
    source, value = entry.source or "cloudwatch AWS/Connect", entry.value
    if value is None:
        return Row(name, "unknown", source, "", entry.error or "no data points", None)
    ours: dict[str, tuple[int, str]] = {
        "SuccessfulChatsPerInterval": (answer.outcomes.get(STARTED, 0), "chats that others started"),
        "ChatsBreachingActiveChatQuota": (answer.outcomes.get(QUOTA, 0), "refusals of others"),
        "ConcurrentActiveChats": (answer.peak_active.chats, "chats that others held"),
    }
    if name not in ours:
        return Row(name, number(value), source, "not measured", "not comparable", None)
    seen, others = ours[name]
    if value == seen:
        return Row(name, number(value), source, number(seen), "agrees", False)
    remark = (
        f"{number(value - seen)} more: {others}"
        if value > seen
        else f"{number(seen - value)} fewer than this run counted"
    )
    return Row(name, number(value), source, number(seen), remark, True)
