"""The process that exports a run's metrics: `python -m harness.telemetry.exporter`, told about the run on standard input.

Apart from the load generator, so that neither export nor inference delays a call. The SDK's own variables say where to and
how often (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL in milliseconds, ...). Ends with its standard input.
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path

import msgspec
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from harness import __version__
from harness.telemetry.instruments import RunMetrics
from harness.telemetry.messages import Begin, Progress

EVERY_MS = 5_000.0
"""Milliseconds between two exports, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise: a run is short."""
_READ_EVERY = 1.0


def main() -> int:
    """Export until standard input ends; return 0, or 1 where the last export failed."""
    os.nice(10)
    logging.basicConfig(level=logging.WARNING, format="chatquota: %(message)s")
    begin = msgspec.json.decode(sys.stdin.buffer.readline(), type=Begin)
    reader = PeriodicExportingMetricReader(
        _exporter(), export_interval_millis=None if "OTEL_METRIC_EXPORT_INTERVAL" in os.environ else EVERY_MS
    )
    provider = MeterProvider(resource=resource_of(begin), metric_readers=[reader], shutdown_on_exit=False)
    metrics = RunMetrics(Path(begin.directory), provider.get_meter("chatquota", __version__))
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(metrics, ended), daemon=True)
    follower.start()
    for line in sys.stdin.buffer:
        metrics.progress = msgspec.json.decode(line, type=Progress)
    ended.set()
    follower.join()
    metrics.update()
    metrics.infer(final=True)
    exported = provider.force_flush(timeout_millis=10_000)
    provider.shutdown(timeout_millis=5_000)
    return 0 if exported else 1


def resource_of(begin: Begin) -> Resource:
    """Return the attributes of everything that is exported of one run. OTEL_SERVICE_NAME and the like take precedence."""
    name = os.environ.get("OTEL_SERVICE_NAME", "chatquota")
    return Resource.create(
        {
            "service.name": name,
            "service.version": __version__,
            "service.instance.id": begin.run_id,
            "chatquota.run_id": begin.run_id,
            "chatquota.target": begin.target,
            "chatquota.user_class": begin.user_class,
        }
    )


def _exporter() -> MetricExporter:
    variables = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if next((os.environ[name] for name in variables if os.environ.get(name)), "") != "grpc":
        return OTLPMetricExporter()
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

    return Grpc()  # type: ignore[no-any-return]


def _follow(metrics: RunMetrics, ended: threading.Event) -> None:
    pause = _READ_EVERY
    while not ended.wait(pause):
        begun = time.thread_time()
        metrics.update()
        metrics.infer()
        pause = max(_READ_EVERY, 2 * (time.thread_time() - begun))


if __name__ == "__main__":
    sys.exit(main())
