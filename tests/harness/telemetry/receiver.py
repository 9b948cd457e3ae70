"""An OTLP receiver: a web server that decodes what is exported to it and adds it up."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

Labels = frozenset[tuple[str, str]]


class Received:
    """The latest value of every series: metric name, then labels; histograms as their counts and sums."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                received.take(body)
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
