"""The Grafana dashboard against a real Prometheus that holds a real run."""

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.counting import counting_server
from tests.support.locust_runs import ROOT, free_port, locust, manifest, started
from tests.support.prometheus_bridge import bridge

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "chatquota.json").read_bytes())
PATIENCE = 40.0
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: bridge
    honor_labels: true
    static_configs: [{{targets: ["{target}"]}}]
"""


@contextmanager
def prometheus(directory: Path, source: str) -> Iterator[str]:
    """A Prometheus that scrapes `source` once a second; gives its address."""
    (directory / "prometheus.yml").write_text(CONFIGURATION.format(target=source.removeprefix("http://")))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"]
    with (directory / "prometheus.txt").open("wb") as sink:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=sink, stderr=sink)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


def asked(base: str, path: str, **parameters: str) -> Any:
    """The data of an answer of Prometheus' API; None while there is none."""
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{parameters}: {error.read().decode()}") from error
    except OSError:
        return None


def filled(expression: str, run_id: str) -> str:
    """A query as Grafana sends it, its variables replaced."""
    for name, value in {"$job": "chatquota", "$run": run_id, "$__rate_interval": "2m"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def has_data(base: str, expression: str) -> bool:
    """Whether a query returns numbers, now."""
    data = asked(base, "query", query=expression)
    return bool(data) and any(math.isfinite(float(series["value"][1])) for series in data["result"])


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_every_query_of_the_dashboard_returns_data_of_a_run(tmp_path: Path) -> None:
    """A run that meets both limits is exported, and each panel, and each choice at the top, shows something of it."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    load = ("-u", "20", "-r", "20", "-t", "15s", "--hold", "3s", "--stop-rate", "50", "--run-dir", "run", "--otel")
    limits = ("--rate", "8", "--burst", "8", "--active-chats", "15", "--latency", "0.01")
    with counting_server(*limits) as server, bridge() as source, prometheus(tmp_path, source) as base:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": source, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        others = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
        with started(locust(server, *load), tmp_path, server, **environment, **others) as run:
            done = run.wait(100)
        assert "run recorded" in done.said, done.said
        run_id = manifest(tmp_path / "run")["run_id"]
        queries = [filled(target["expr"], run_id) for panel in DASHBOARD["panels"] for target in panel["targets"]]
        assert queries
        silent, give_up = set(queries), time.monotonic() + PATIENCE
        while silent and time.monotonic() < give_up:
            silent = {query for query in silent if not has_data(base, query)}
            time.sleep(0.5)
        assert not silent
        jobs = asked(base, "label/job/values", **{"match[]": "chatquota_attempts_total"})
        runs = asked(base, "label/instance/values", **{"match[]": 'chatquota_attempts_total{job="chatquota"}'})
        assert (jobs, runs) == (["chatquota"], [run_id])
