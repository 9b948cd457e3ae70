"""What Prometheus sees of OTLP where it does not take it itself (before 2.47): an OTLP receiver with a page to scrape.

Names, labels and units are translated as OpenTelemetry's specification says, apart from the code that exports
(https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/): dots become underscores, the unit's
name and then `_total` (monotonic sums) are appended, service.name becomes `job` and service.instance.id `instance`.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.support.otlp_server import otlp_server

_UNITS = {
    "": "",
    "s": "seconds",
    "ms": "milliseconds",
    "By": "bytes",
    "1": "ratio",
    "1/s": "per_second",
    "%": "percent",
}
_LABELS = {"service.name": "job", "service.instance.id": "instance"}


class Exposition:
    """The latest value of every series, and the text that Prometheus scrapes."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, float]] = {}
        self._kinds: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        """Take in one export request."""
        request = ExportMetricsServiceRequest()
        request.ParseFromString(body)
        with self._lock:
            for resource in request.resource_metrics:
                attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
                common = {_LABELS[name]: value for name, value in attributes.items() if name in _LABELS}
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    self._take(metric, common)

    def text(self) -> str:
        """Return the page in Prometheus' text format."""
        with self._lock:
            lines = []
            for name, kind in self._kinds.items():
                lines.append(f"# TYPE {name} {kind}")
                lines += [f"{series} {value!r}" for series, value in self._lines[name].items()]
        return "\n".join(lines) + "\n"

    def _take(self, metric: Any, common: dict[str, str]) -> None:
        kind = metric.WhichOneof("data")
        name = _name(metric.name, metric.unit, kind == "sum" and metric.sum.is_monotonic)
        self._kinds[name] = {"histogram": "histogram", "gauge": "gauge"}.get(kind, "counter")
        series = self._lines.setdefault(name, {})
        for point in getattr(metric, kind).data_points:
            labels = {**common, **{_plain(each.key): each.value.string_value for each in point.attributes}}
            if kind != "histogram":
                series[f"{name}{_text(labels)}"] = point.as_double or float(point.as_int)
                continue
            total = 0
            for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
                total += count
                le = "+Inf" if bound == float("inf") else repr(bound)
                series[f"{name}_bucket{_text({**labels, 'le': le})}"] = float(total)
            series[f"{name}_sum{_text(labels)}"] = point.sum
            series[f"{name}_count{_text(labels)}"] = float(point.count)


def _name(name: str, unit: str, counter: bool) -> str:
    words, unit = [_plain(name)], re.sub(r"\{.*?\}", "", unit)  # an annotation is no unit
    if (ending := _UNITS.get(unit, _plain(unit))) and not words[0].endswith(ending):
        words.append(ending)
    return "_".join([*words, *(["total"] if counter else [])])


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _text(labels: dict[str, str]) -> str:
    quoted = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(quoted.items())) + "}"


@contextmanager
def bridge() -> Iterator[str]:
    """Serve both on a free port, and give its address: POST /v1/metrics and GET /metrics."""
    exposition = Exposition()
    with otlp_server(exposition.take, exposition.text) as address:
        yield address
