"""Lays what AWS declares beside what the run found, and says where they disagree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.run.rundir import is_number
from reports.wording.sentences import interval, number
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


def declared_rows(answer: Mapping[str, Any]) -> list[Row]:
    """A row for each value that run.json declares; a value that could not be fetched is a row that says why."""
    observed = {"tps": answer["tps"]["rate"], "burst": answer["tps"]["burst"], "active_chats": answer["active_chats"]}
    verdicts = {"tps": answer["tps"]["verdict"], "burst": answer["tps"]["verdict"]}
    verdicts["active_chats"] = answer["active_chats"]["verdict"]
    rows = []
    for key, entry in answer["declared"].items():
        if key == "cloudwatch" and isinstance(entry, dict):
            rows += [_metric_row(name, metric, answer) for name, metric in entry.items() if isinstance(metric, dict)]
        elif isinstance(entry, dict):
            rows.append(_quota_row(_NAMES.get(key, key), entry, observed.get(key), verdicts.get(key)))
    return rows


def _quota_row(name: str, entry: Mapping[str, Any], found: Mapping[str, Any] | None, verdict: str | None) -> Row:
    source, value = str(entry.get("source", "unknown source")), entry.get("value")
    seen = interval(found) if found is not None else "not measured"
    if not is_number(value) or value is None:
        return Row(name, "unknown", source, seen, str(entry.get("error", "no value")), None)
    remark, disagrees = _compare(float(value), found, verdict)
    return Row(name, number(value), source, seen, remark, disagrees)


def _compare(value: float, found: Mapping[str, Any] | None, verdict: str | None) -> tuple[str, bool | None]:
    if verdict == "lower_bound" and found is not None and found["low"] is None:
        return "the run did not reach the limit", None
    if found is None or verdict == "not_explained" or found["low"] is None:
        return "not comparable", None
    if value < found["low"]:
        return f"the service admitted more than declared: at least {number(found['low'])}", True
    if verdict == "lower_bound" or found["high"] is None:
        return "consistent; the run did not reach it", False
    if value > found["high"]:
        return f"the service admitted less than declared: at most {number(found['high'])}", True
    return "agrees", False


def _metric_row(name: str, metric: Mapping[str, Any], answer: Mapping[str, Any]) -> Row:
    source, value = str(metric.get("source", "cloudwatch AWS/Connect")), metric.get("value")
    if not is_number(value) or value is None:
        return Row(name, "unknown", source, "", str(metric.get("error", "no data points")), None)
    ours: dict[str, tuple[int | None, str]] = {
        "SuccessfulChatsPerInterval": (answer["outcomes"][STARTED], "chats that others started"),
        "ChatsBreachingActiveChatQuota": (answer["outcomes"][QUOTA], "refusals of others"),
        "ConcurrentActiveChats": (answer["peak_active"]["chats"], "chats that others held"),
    }
    if name not in ours or ours[name][0] is None:
        return Row(name, number(value), source, "not measured", "not comparable", None)
    count, others = ours[name]
    seen = int(count or 0)
    if value == seen:
        return Row(name, number(value), source, number(seen), "agrees", False)
    remark = (
        f"{number(value - seen)} more: {others}"
        if value > seen
        else f"{number(seen - value)} fewer than this run counted"
    )
    return Row(name, number(value), source, number(seen), remark, True)
