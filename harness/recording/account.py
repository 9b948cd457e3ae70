"""The generator's account of a run: what its processes did together, and whether the run is valid."""

from collections.abc import Iterable

from harness.recording.format.manifest import Table
from harness.recording.summary import Summary, add_up
from harness.recording.validity import GeneratorRecord, LatenessHistogram, invalid_reasons


def account(
    parts: Iterable[Summary], workers_lost: Iterable[str] = (), troubles: Iterable[str] = (), seconds: float = 0.0
) -> Table:
    """Return the manifest's `generator` for the given parts of a run that took `seconds`."""
    parts = list(parts)
    total = add_up(parts)
    lateness = LatenessHistogram(total.lateness)
    record = GeneratorRecord(
        offered=total.offered,
        sent=total.sent,
        dropped=total.dropped,
        dropped_late=total.dropped_late,
        withheld=total.withheld,
        samples_lost=total.samples_lost,
        workers_lost=sorted(workers_lost),
        lateness=lateness,
        busiest_cpu_percent=total.cpu.max,
        troubles=list(dict.fromkeys([*troubles, *total.troubles])),
    )
    reasons = invalid_reasons(record)
    offering = total.offering_seconds or seconds
    return {
        "offered": total.offered,
        "sent": total.sent,
        "dropped": total.dropped,
        "dropped_late": total.dropped_late,
        "withheld": total.withheld,
        "samples_lost": total.samples_lost,
        "dropped_by_second": {str(second): count for second, count in total.dropped_by_second.items()},
        "samples_recorded": total.samples,
        "workers_lost": record.workers_lost,
        "offered_per_s": total.offered / offering if offering > 0 else 0.0,
        "lateness_ms_p50": lateness.quantile_ms(0.5),
        "lateness_ms_p99": lateness.quantile_ms(0.99),
        "cpu_percent_max": total.cpu.max,
        "valid": not reasons,
        "reasons": reasons,
        "processes": [_process(part) for part in parts],
    }


def _process(part: Summary) -> Table:
    measured = part.cpu.seconds > 0
    return {
        "worker": part.worker,
        "offered": part.offered,
        "sent": part.sent,
        "dropped": part.dropped,
        "withheld": part.withheld,
        "cpu_percent_mean": 100 * part.cpu.busy / part.cpu.seconds if measured else None,
        "cpu_percent_max": part.cpu.max if measured else None,
    }
