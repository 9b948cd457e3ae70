"""Is the run valid: did the service set its result, or the load generator?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import expm1, log1p

MAX_LATENESS_MS_P99 = 50.0
"""A generator whose sends are later than this does not offer the arrivals that it reports."""
MAX_CPU_PERCENT = 90.0
"""Of one core, which is all that one process of Locust can use."""
MAX_SHORTFALL = 0.001
"""The part of the scheduled arrivals that may be missing."""

# Lateness bins grow by 2 % each, from a microsecond: a percentile read from them is at most 2 % too high.
_GROWTH = 0.02
_UNIT = 1e-6
_BINS = 1200


class LatenessHistogram:
    """Counts of lateness in bins that grow by 2 %, of constant size however long the run is. Adds up over workers."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts = dict(counts or {})

    def add(self, seconds: float) -> None:
        """Count one lateness; a negative one is none."""
        index = int(log1p(max(seconds, 0.0) / _UNIT) / log1p(_GROWTH)) if seconds > 0 else 0
        index = min(index, _BINS)
        self._counts[index] = self._counts.get(index, 0) + 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add another histogram's counts."""
        for index, count in counts.items():
            self._counts[int(index)] = self._counts.get(int(index), 0) + count

    def quantile_ms(self, share: float) -> float | None:
        """The lateness in ms that `share` of the sends did not exceed (its bin's upper edge); None without sends."""
        total = sum(self._counts.values())
        if not total:
            return None
        below = 0
        for index in sorted(self._counts):
            below += self._counts[index]
            if below >= share * total:
                return expm1((index + 1) * log1p(_GROWTH)) * _UNIT * 1000
        return None

    def counts(self) -> dict[int, int]:
        """The counts by bin, to be shipped and merged."""
        return dict(self._counts)


@dataclass
class GeneratorRecord:
    """What the load generator knows of itself at the end of a run. Counts are arrivals, or calls for `retries_seen`."""

    offered: int = 0
    sent: int = 0
    dropped: int = 0
    withheld: int = 0
    retries_seen: int = 0
    samples_lost: int = 0
    workers_lost: list[str] = field(default_factory=list)
    lateness_ms_p99: float | None = None
    busiest_cpu_percent: float = 0.0


def invalid_reasons(record: GeneratorRecord) -> list[str]:
    """Say why the generator and not the service set the result; an empty list means that the run is valid."""
    reasons = []
    if record.dropped:
        reasons.append(
            f"{record.dropped} of {record.offered} arrivals were dropped: --max-in-flight calls were on the wire already"
        )
    shortfall = record.offered - record.dropped - record.withheld - record.sent
    if shortfall > max(1.0, record.offered * MAX_SHORTFALL):
        reasons.append(f"the offered rate was missed: {shortfall} of {record.offered} arrivals were never sent")
    if record.lateness_ms_p99 is not None and record.lateness_ms_p99 > MAX_LATENESS_MS_P99:
        reasons.append(
            f"calls were sent late: 1 % by more than {record.lateness_ms_p99:.0f} ms (at most {MAX_LATENESS_MS_P99:.0f})"
        )
    if record.busiest_cpu_percent > MAX_CPU_PERCENT:
        reasons.append(
            f"the generator's CPU was at {record.busiest_cpu_percent:.0f} % of a core (at most {MAX_CPU_PERCENT:.0f}): "
            "use --processes or more workers"
        )
    if record.samples_lost:
        reasons.append(f"{record.samples_lost} samples were lost")
    if record.workers_lost:
        reasons.append(f"workers were lost: {', '.join(sorted(record.workers_lost))}")
    if record.retries_seen:
        reasons.append(f"{record.retries_seen} calls were sent again in silence")
    return reasons
