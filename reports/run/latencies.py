"""The types of latencies in `capacity.json`."""

from typing import Annotated

from msgspec import Meta, Struct

from harness.recording.format.manifest import Count

Share = Annotated[float, Meta(ge=0, le=1)]

Bounds = tuple[float, float] | None


class Quantiles(Struct, frozen=True):
    """Quantiles (ms) of `n` durations, with 95 % intervals; an interval is null where the durations are too few."""

    n: Count
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    intervals: dict[str, Bounds] = {}


class Latency(Quantiles, frozen=True, kw_only=True):
    """Latency from when a call was due; `from_sent` from when it was sent."""

    from_sent: Quantiles
