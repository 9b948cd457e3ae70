"""What happened to a run, on its time axis: phases, stalls and limit changes as spans, users as steps, latency as bands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from harness.quotas.stages import StageKind
from harness.recording.format.manifest import Event, events_of
from reports.run.timeline import Timeline
from reports.wording.numbers import rounded
from reports.wording.vocabulary import QUOTA, START, STARTED, TPS

if TYPE_CHECKING:  # the process that draws needs the classes alone, without what reads samples
    from reports.run.fold import Aggregates
    from reports.run.rundir import Run

Floats = NDArray[np.float64]
SpanKind = Literal["phase", "stall", "drain"]
MomentKind = Literal["worker lost", "limit change"]

_STALL_MS = 1000.0
"""Calls that leave so late, or are not sent for lateness, make a second one of a stall."""
_PHASES: dict[StageKind, str] = {
    "pressure": "pressure",
    "volley": "volleys",
    "poisson": "random arrivals",
    "even": "even arrivals",
    "check": "check",
    "climb": "fewer calls",
    "again": "pressure again",
}
_FEWEST_SECONDS, _LEAST_CHANGE, _LEAST_GAIN = 10, 1.15, 25.0


@dataclass(frozen=True)
class Span:
    """A part of the run from `begin` to `end` (s since the timeline's origin)."""

    kind: SpanKind
    begin: float
    end: float
    label: str


@dataclass(frozen=True)
class Moment:
    """Something that happened `at` a second since the timeline's origin."""

    kind: MomentKind
    at: float
    label: str


@dataclass(frozen=True)
class Bands:
    """Latency of started chats: p50, p95 and p99 (ms) of each block of `block_s` seconds that has one, by its begin `at`."""

    at: Floats = field(default_factory=lambda: np.empty(0))
    p50: Floats = field(default_factory=lambda: np.empty(0))
    p95: Floats = field(default_factory=lambda: np.empty(0))
    p99: Floats = field(default_factory=lambda: np.empty(0))
    block_s: int = 1


@dataclass(frozen=True)
class WhatHappened:
    """A run's spans and moments in order; `users` by the second from which on there were so many; `latency` of started
    chats. All seconds are since the timeline's origin.
    """

    spans: list[Span] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    users: dict[float, float] = field(default_factory=dict)
    latency: Bands = field(default_factory=Bands)


def what_happened(run: Run, total: Aggregates, view: Timeline) -> WhatHappened:
    """Gather what the run directory tells of the run over time."""
    if not len(view.begins):
        return WhatHappened()
    origin, length = view.origin, len(view.active)
    events = [event for event in events_of(run.manifest.events) if 0 <= event.at - origin + 60 <= length + 120]
    spans = [*_phases(run, origin), *_stalls(run, total, view), *_drain(total, events, origin, length)]
    moments = [
        Moment("worker lost", max(0.0, event.at - origin), event.note)
        for event in events
        if event.kind == "worker_lost"
    ]
    users = {
        max(0.0, event.at - origin): float(event.value)
        for event in events
        if event.kind == "users" and event.value is not None
    }
    return WhatHappened(
        sorted(spans, key=lambda span: span.begin),
        sorted([*moments, *_limit_changes(run, total, view)], key=lambda moment: moment.at),
        dict(sorted(users.items())),
        _latency(total, origin),
    )


def _phases(run: Run, origin: int) -> Iterable[Span]:
    """The stages of a probe, neighbours of one kind taken together."""
    for kind, group in groupby(run.stages, key=lambda stage: stage.kind):
        stages = list(group)
        rates = sorted({round(stage.offered, 3) for stage in stages if stage.offered > 0})
        told = "" if not rates else f" at {rates[0]:g}/s" if len(rates) == 1 else f" at {rates[0]:g} to {rates[-1]:g}/s"
        yield Span("phase", stages[0].begin - origin, stages[-1].end - origin, f"{_PHASES[kind]}{told}")


def _drain(total: Aggregates, events: list[Event], origin: int, length: int) -> Iterable[Span]:
    if not total.count(START, STARTED):
        return
    begin = next((event.at - origin for event in events if event.kind == "drain"), None)
    if begin is not None and begin < length:
        yield Span("drain", max(0.0, begin), float(length), "stopping chats")


def _stalls(run: Run, total: Aggregates, view: Timeline) -> Iterable[Span]:
    """Seconds in which calls left over a second late, or were dropped; neighbours taken together."""
    late = {second for second, seconds in total.late_by_second.items() if 1000 * seconds > _STALL_MS}
    seconds = sorted(second - view.origin for second in late | set(run.dropped_by_second))
    for _, group in groupby(enumerate(seconds), key=lambda pair: pair[1] - pair[0]):
        members = [second for _, second in group]
        yield Span("stall", float(members[0]), float(members[-1] + 1), "generator late")


def _latency(total: Aggregates, origin: int) -> Bands:
    quantiles, begins, width = total.started_over_time(0.5, 0.95, 0.99)
    known = ~np.isnan(quantiles).any(axis=1)
    p50, p95, p99 = quantiles[known].T * 1000
    return Bands((begins[known] - origin).astype(np.float64), p50, p95, p99, width)


def _limit_changes(run: Run, total: Aggregates, view: Timeline) -> Iterable[Moment]:
    """Where the admitted rate changed while calls were throttled: the service's limit moved, or its share for this run did.

    Only seconds with a throttle count, of a probe those under even pressure: elsewhere what is admitted is what is offered.
    """
    last = view.origin + len(view.active) - 1
    by_sent = total.by_sent.trimmed(view.origin, last)
    throttled = by_sent[:, total.series(TPS)] > 0
    if run.stages:
        pressed = np.zeros(len(throttled), bool)
        for stage in run.stages:
            if stage.kind in ("pressure", "check"):
                begin, end = (int(np.clip(at - view.origin, 0, len(pressed))) for at in (stage.begin + 1, stage.end))
                pressed[begin:end] = True
        throttled &= pressed
    seconds = np.flatnonzero(throttled)[1:]  # the first one may still have had tokens that were saved up
    admitted = (by_sent[:, total.series(STARTED)] + by_sent[:, total.series(QUOTA)])[seconds].astype(float)
    for cut in sorted(_cuts(admitted)):
        before, after = admitted[max(0, cut - 60) : cut].mean(), admitted[cut : cut + 60].mean()
        yield Moment(
            "limit change", float(seconds[cut]), f"admitted {rounded(before)}/s before, {rounded(after)}/s after"
        )


def _cuts(counts: NDArray[np.float64]) -> list[int]:
    """Where the mean of `counts` (n,) moved by more than 15 %, by likelihood of Poisson counts of that dispersion."""
    if len(counts) < 2 * _FEWEST_SECONDS or not counts.any():
        return []
    scatter = float(np.mean(np.diff(counts) ** 2)) / 2
    dispersion = max(0.3, scatter / max(float(counts.mean()), 1e-9))
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    found: list[int] = []
    work = [(0, len(counts))]
    while work and len(found) < 20:
        first, last = work.pop()
        if last - first < 2 * _FEWEST_SECONDS:
            continue
        cut = np.arange(first + _FEWEST_SECONDS, last - _FEWEST_SECONDS + 1)
        left, right = sums[cut] - sums[first], sums[last] - sums[cut]
        a, b, mean = left / (cut - first), right / (last - cut), (sums[last] - sums[first]) / (last - first)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = left * np.nan_to_num(np.log(a / mean)) + right * np.nan_to_num(np.log(b / mean))
        moved = np.maximum(a, b) > _LEAST_CHANGE * np.minimum(a, b)
        gain = np.where(moved, gain / dispersion, 0.0)
        if gain.max() > _LEAST_GAIN:
            best = int(cut[int(np.argmax(gain))])
            found.append(best)
            work += [(first, best), (best, last)]
    return found
