"""An OTLP receiver: a web server that decodes what is exported to it and adds it up."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.support.otlp_server import otlp_server

Labels = frozenset[tuple[str, str]]


class Received:
    """The latest value of every series: metric name, then labels; histograms as their counts and sums."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.values: dict[str, dict[Labels, float]] = {}
        self.sums: dict[str, dict[Labels, float]] = {}
        self.resources: list[dict[str, str]] = []
        self.exports = 0

    def take(self, body: bytes) -> None:
        """Add one export request."""
        request = ExportMetricsServiceRequest()
        request.ParseFromString(body)
        self.exports += 1
        for resource in request.resource_metrics:
            self.resources.append({item.key: item.value.string_value for item in resource.resource.attributes})
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    labels = frozenset((item.key, item.value.string_value) for item in point.attributes)
                    value = point.count if kind == "histogram" else point.as_double or point.as_int
                    self.values.setdefault(metric.name, {})[labels] = value
                    if kind == "histogram":
                        self.sums.setdefault(metric.name, {})[labels] = point.sum


@contextmanager
def receiver() -> Iterator[Received]:
    """Serve an OTLP endpoint over HTTP on a free port."""
    received = Received()
    with otlp_server(received.take) as received.endpoint:
        yield received
