"""The generator's account of a run: adds up what its processes did and judges whether the run is valid."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.recording.validity import GeneratorRecord, LatenessHistogram, invalid_reasons

Summary = dict[str, Any]
"""What one process did, in plain values (`Session.summary`, or `recovery.summarise` after a crash):

worker, offered, sent, dropped, dropped_by_second, withheld, offering_seconds, outcomes ([operation, outcome, count] lists),
answers, lateness (counts by bin), cpu {busy, seconds, max}, samples (recorded), samples_lost, troubles, chats.
"""

CHATS = ("started", "stopped", "already_ended", "kept", "left_open", "unanswered")
_ADD_UP = ("offered", "sent", "dropped", "dropped_late", "withheld", "samples_lost")


def account(
    parts: Iterable[Summary], workers_lost: Iterable[str] = (), troubles: Iterable[str] = (), seconds: float = 0.0
) -> dict[str, Any]:
    """Return the manifest's `generator` for the given parts of a run that took `seconds`."""
    parts = list(parts)
    lateness = LatenessHistogram()
    dropped_by_second: Counter[str] = Counter()
    said = list(troubles)
    for part in parts:
        lateness.merge({int(index): count for index, count in part["lateness"].items()})
        dropped_by_second.update(part["dropped_by_second"])
        said += [trouble for trouble in part["troubles"] if trouble not in said]
    totals = {name: sum(int(part[name]) for part in parts) for name in _ADD_UP}
    busiest = max((float(part["cpu"]["max"]) for part in parts), default=0.0)
    record = GeneratorRecord(
        **totals, workers_lost=sorted(workers_lost), lateness=lateness, busiest_cpu_percent=busiest, troubles=said
    )
    reasons = invalid_reasons(record)
    offering = max((part["offering_seconds"] for part in parts), default=0.0) or seconds
    return {
        **totals,
        "dropped_by_second": dict(dropped_by_second),
        "samples_recorded": sum(part["samples"] for part in parts),
        "workers_lost": record.workers_lost,
        "offered_per_s": totals["offered"] / offering if offering > 0 else 0.0,
        "lateness_ms_p50": lateness.quantile_ms(0.5),
        "lateness_ms_p99": lateness.quantile_ms(0.99),
        "cpu_percent_max": busiest,
        "valid": not reasons,
        "reasons": reasons,
        "processes": [_process(part) for part in parts],
    }


def add_chats(parts: Iterable[Summary]) -> dict[str, int]:
    """The chats of all parts: started, stopped, already_ended, kept, left_open, unanswered."""
    parts = list(parts)
    return {name: sum(int(part["chats"].get(name, 0)) for part in parts) for name in CHATS}


def _process(part: Summary) -> dict[str, Any]:
    cpu: Mapping[str, float] = part["cpu"]
    return {
        **{name: part[name] for name in ("worker", "offered", "sent", "dropped", "withheld")},
        "cpu_percent_mean": 100 * cpu["busy"] / cpu["seconds"] if cpu["seconds"] else None,
        "cpu_percent_max": cpu["max"] if cpu["seconds"] else None,
    }
