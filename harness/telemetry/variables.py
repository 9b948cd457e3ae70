"""The environment variables of OpenTelemetry that Locust reads."""

import os
import sys
from importlib.util import find_spec

_GRPC = "opentelemetry.exporter.otlp.proto.grpc"


def set_variables() -> None:
    """Set the variables that Locust's own OpenTelemetry reads, before Locust does.

    OTLP over HTTP is the default where gRPC's exporter is not installed. With `--processes` Locust's own is left out: it is
    set up before Locust forks, and workers with a copy of its threads never begin (Locust 2.47).
    """
    if not is_installed(_GRPC):
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if "LOCUST_PROCESSES" in os.environ or any(word.partition("=")[0] == "--processes" for word in sys.argv):
        os.environ.update({f"OTEL_{signal}_EXPORTER": "none" for signal in ("METRICS", "TRACES", "LOGS")})


def is_installed(module: str) -> bool:
    """Whether `module` can be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
