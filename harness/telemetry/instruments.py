"""The instruments: what of a run becomes a metric, and from where it is read."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from harness.recording.format.layout import SAMPLES
from harness.telemetry.messages import Progress
from harness.vocabulary import NO_CALLS, START_CHAT, STARTED
from harness.webui.journals import Follower
from harness.webui.reader import Live

SECONDS_OF_RATE = 5
"""Whole seconds that the present rates are the mean of."""
BOUNDARIES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram's buckets in seconds."""
_KEPT_LATENESS = 10_000


class RunMetrics:
    """Reads a run directory as it grows, and answers the instruments that `meter` makes for it."""

    def __init__(self, directory: Path, meter: Meter) -> None:
        self._live = Live(directory)
        self._samples = Follower(directory / SAMPLES)
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._lateness = np.empty(0)
        self._answer: Mapping[str, Any] = self._live.answer()
        self.progress = Progress()
        self._duration = meter.create_histogram(
            "chatquota.duration",
            unit="s",
            description="Time from when a call was due until it was answered",
            explicit_bucket_boundaries_advisory=BOUNDARIES,
        )
        counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
        counter("chatquota.attempts", [self._by_outcome], description="Attempts on the wire by operation and outcome")
        counter("chatquota.arrivals.dropped", [self._dropped], description="Arrivals that the generator did not send")
        gauge("chatquota.chats.open", [self._open], description="Chats that are open now")
        gauge("chatquota.chats.to_stop", [self._to_stop], description="Open chats that the end of the run will stop")
        gauge("chatquota.rate.offered", [self._offered], unit="1/s", description="Chat starts that fell due a second")
        gauge("chatquota.rate.admitted", [self._admitted], unit="1/s", description="Chats started a second")
        gauge(
            "chatquota.lateness",
            [self._late],
            unit="s",
            description="99th percentile of sent - due of recent chat starts",
        )
        for bound in ("estimate", "low", "high"):
            gauge(f"chatquota.limit.{bound}", [self._limit(bound)], description=f"A limit as inferred so far: {bound}")

    def update(self) -> None:
        """Take in the samples that came since the last time."""
        self._live.update()
        for batch in self._samples.read():
            table = batch.to_pydict()
            late = []
            for operation, due, sent, received, outcome in zip(
                *(table[name] for name in ("operation", "scheduled", "sent", "received", "outcome")), strict=True
            ):
                self._attempts[operation, outcome] += 1
                self._duration.record(max(received - due, 0.0), {"operation": operation, "outcome": outcome})
                if operation == START_CHAT:
                    late.append(sent - due)
            self._lateness = np.concatenate([self._lateness, late])[-_KEPT_LATENESS:]

    def infer(self, final: bool = False) -> None:
        """Make the estimates of the limits anew; `final` for those of the whole run."""
        if final:
            self._live.settle()
        else:
            self._live.infer()
        self._answer = self._live.answer()

    def _by_outcome(self, _: CallbackOptions) -> Iterable[Observation]:
        for (operation, outcome), count in self._attempts.items():
            if operation not in NO_CALLS:
                yield Observation(count, {"operation": operation, "outcome": outcome})

    def _dropped(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.progress.dropped)]

    def _open(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._answer["open"])]

    def _to_stop(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.progress.to_stop)]

    def _offered(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._rate("offered"))]

    def _admitted(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._rate(STARTED))]

    def _rate(self, of: str) -> float:
        recent = self._answer["series"]["values"].get(f"{START_CHAT} {of}", [])[-SECONDS_OF_RATE:]
        return sum(recent) / len(recent) if recent else 0.0

    def _late(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(float(np.quantile(self._lateness, 0.99)))] if len(self._lateness) else []

    def _limit(self, bound: str) -> Any:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            rates = {operation: found["rate"] for operation, found in self._answer["estimates"].items()}
            chats = self._answer["active_chats"]
            limits = {f"{operation}.rate": rate for operation, rate in rates.items()} | {"active_chats": chats}
            for limit, found in limits.items():
                value = found.get(bound) if isinstance(found, dict) else None
                if value is not None:
                    yield Observation(float(value), {"limit": limit})

        return observe
