"""Is the run valid: did the service set its result, or the load generator?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import expm1, log1p
from typing import Any

import numpy as np

from harness.counting import counted

# The service sees arrivals as they are sent, and that is what is recorded, so a little lateness bends no result. What makes
# a run invalid is a generator that does not offer what it reports. docs/safety.md says how the figures were chosen.
LATE_MS = 200.0
"""A call that is sent this much after its arrival counts as late. A spawn message blocks a worker for about 56 ms."""
MAX_LATE_SHARE = 0.01
"""The part of the calls that may be late."""
FEW = 2
"""Late calls, or missing arrivals, that say nothing in a run of any length: the first calls find everything cold."""
MAX_LATENESS_MS_P50 = 20.0
"""The median of lateness: over this, the generator is behind all the time and not now and then."""
MAX_CPU_PERCENT = 90.0
"""Of one core, over any five seconds of offering: the loop that sends the calls runs on one core."""
MAX_SHORTFALL = 0.001
"""The part of the scheduled arrivals that may be missing."""

# Lateness bins grow by 2 % each, from a microsecond: a percentile read from them is at most 2 % too high.
_GROWTH = 0.02
_STEP = log1p(_GROWTH)
_UNIT = 1e-6
BINS = 1200
"""The highest bin: about five hours; what is later still counts there."""


class LatenessHistogram:
    """Counts of lateness in bins that grow by 2 %, of constant size however long the run is. Adds up over workers."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts = dict(counts or {})

    def add(self, seconds: float) -> None:
        """Count one lateness; a negative one is none."""
        index = min(int(log1p(seconds / _UNIT) / _STEP), BINS) if seconds > 0 else 0
        self._counts[index] = self._counts.get(index, 0) + 1

    def add_many(self, seconds: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
        """Count each of an array of latenesses."""
        bins = np.minimum(np.log1p(np.maximum(seconds, 0.0) / _UNIT) / _STEP, BINS).astype(np.int64)
        self.merge({int(index): int(count) for index, count in zip(*np.unique(bins, return_counts=True), strict=True)})

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add another histogram's counts."""
        for index, count in counts.items():
            self._counts[int(index)] = self._counts.get(int(index), 0) + count

    def quantile_ms(self, share: float) -> float | None:
        """Return the lateness in ms that `share` of the sends did not exceed (its bin's upper edge); None without sends."""
        total = self.total
        if not total:
            return None
        below = 0
        for index in sorted(self._counts):
            below += self._counts[index]
            if below >= share * total:
                return expm1((index + 1) * _STEP) * _UNIT * 1000
        return None

    def over(self, ms: float) -> int:
        """How many sends were later than `ms`, to the width of a bin."""
        edge = int(log1p(ms / 1000 / _UNIT) / _STEP)
        return sum(count for index, count in self._counts.items() if index > edge)

    @property
    def total(self) -> int:
        """How many sends were counted."""
        return sum(self._counts.values())

    def counts(self) -> dict[int, int]:
        """Return the counts by bin, to be shipped and merged."""
        return dict(self._counts)


@dataclass
class GeneratorRecord:
    """What the load generator knows of itself at the end of a run. Counts are arrivals;
    `dropped_late` are those of `dropped` that were over --max-late late.

    `troubles` are sentences about what else went wrong: a full disk, a crash.
    """

    offered: int = 0
    sent: int = 0
    dropped: int = 0
    dropped_late: int = 0
    withheld: int = 0
    samples_lost: int = 0
    workers_lost: list[str] = field(default_factory=list)
    lateness: LatenessHistogram = field(default_factory=LatenessHistogram)
    busiest_cpu_percent: float = 0.0
    troubles: list[str] = field(default_factory=list)


def invalid_reasons(record: GeneratorRecord) -> list[str]:
    """Say why the generator and not the service set the result; an empty list means that the run is valid."""
    reasons = list(record.troubles)
    of_all = f"of {counted(record.offered, 'arrival')}"
    if crowded := record.dropped - record.dropped_late:
        dropped = counted(crowded, f"{of_all} was", f"{of_all} were")
        reasons.append(f"{dropped} dropped: --max-in-flight calls were on the wire already")
    if record.dropped_late:
        dropped = counted(record.dropped_late, f"{of_all} was", f"{of_all} were")
        reasons.append(
            f"{dropped} dropped: the generator came over --max-late too late "
            "(it was stopped, or its machine is overloaded)"
        )
    shortfall = record.offered - record.dropped - record.withheld - record.sent
    if shortfall > max(FEW, record.offered * MAX_SHORTFALL):
        missed = counted(shortfall, f"{of_all} was", f"{of_all} were")
        reasons.append(f"the offered rate was missed: {missed} never sent")
    reasons += _lateness_reasons(record.lateness)
    if record.busiest_cpu_percent > MAX_CPU_PERCENT:
        reasons.append(
            f"the generator's CPU was at {record.busiest_cpu_percent:.0f} % of a core (at most {MAX_CPU_PERCENT:.0f}): "
            "use --processes or more workers"
        )
    if record.samples_lost:
        reasons.append(f"{counted(record.samples_lost, 'sample was', 'samples were')} lost")
    if record.workers_lost:
        reasons.append(f"workers were lost: {', '.join(sorted(record.workers_lost))}")
    return reasons


def _lateness_reasons(lateness: LatenessHistogram) -> list[str]:
    late, total = lateness.over(LATE_MS), lateness.total
    if late > max(FEW, total * MAX_LATE_SHARE):
        calls = f"of {counted(total, 'call')}"
        return [
            f"{counted(late, f'{calls} was', f'{calls} were')} sent over {LATE_MS:.0f} ms late "
            f"(at most {MAX_LATE_SHARE:.0%} may be): the "
            "generator could not keep up, or connecting took that long"
        ]
    median = lateness.quantile_ms(0.5) or 0.0
    if median > MAX_LATENESS_MS_P50 and total > 10 * FEW:
        return [
            f"half of the calls were sent over {median:.0f} ms late (at most {MAX_LATENESS_MS_P50:.0f}): "
            "the generator could not keep up"
        ]
    return []
