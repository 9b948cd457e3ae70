"""The Grafana dashboard: it asks only for what a run exports."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import CallbackT, Histogram, NoOpMeter, ObservableCounter, ObservableGauge

from harness.telemetry.instruments import RunMetrics
from harness.vocabulary import OUTCOMES, START_CHAT
from tests.support.locust_runs import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "chatquota.json").read_bytes())
QUERIES: list[str] = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
LABELS = {"job", "instance", "operation", "outcome", "limit", "le"}
"""Those of the instruments, what Prometheus makes of service.name and service.instance.id, and a histogram's bound."""


class PrometheusNames(NoOpMeter):
    """A meter that notes under which names Prometheus keeps the instruments that are made.

    Dots become underscores, then come the unit's name and `_total` for a counter
    (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
    """

    def __init__(self) -> None:
        super().__init__("chatquota")
        self.names: set[str] = set()

    def _note(self, name: str, unit: str, *endings: str) -> None:
        words = [name.replace(".", "_"), *{"": (), "s": ("seconds",), "1/s": ("per_second",)}[unit]]
        self.names |= {"_".join([*words, *ending.split()]) for ending in endings}

    def create_histogram(self, name: str, unit: str = "", *rest: Any, **more: Any) -> Histogram:
        """Note the series of a histogram."""
        self._note(name, unit, "bucket", "sum", "count")
        return super().create_histogram(name, unit, *rest, **more)

    def create_observable_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableCounter:
        """Note a counter."""
        self._note(name, unit, "total")
        return super().create_observable_counter(name, callbacks, unit, description)

    def create_observable_gauge(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableGauge:
        """Note a gauge."""
        self._note(name, unit, "")
        return super().create_observable_gauge(name, callbacks, unit, description)


@pytest.fixture
def exported(tmp_path: Path) -> set[str]:
    """The names in Prometheus of all that a run exports."""
    meter = PrometheusNames()
    RunMetrics(tmp_path, meter)
    return meter.names


def named(text: str) -> set[str]:
    """The metrics of chatquota that a query names."""
    return set(re.findall(r"\bchatquota_\w+", text))


def test_every_query_names_metrics_that_are_exported(exported: set[str]) -> None:
    """No metric is misspelt, in panels and in the choice of a run, and each panel asks for one at least."""
    choices = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    for query in QUERIES + choices:
        assert named(query), query
        assert named(query) <= exported, query


def test_every_metric_has_a_place(exported: set[str]) -> None:
    """What a run exports is on the dashboard."""
    assert exported == set().union(*map(named, QUERIES))


def test_labels_and_their_values_exist() -> None:
    """Queries select and group by labels that the metrics have, with values that occur, for the chosen run alone."""
    variables = {f"${each['name']}" for each in DASHBOARD["templating"]["list"]}
    values = {"operation": {START_CHAT}, "outcome": set(OUTCOMES), "limit": {f"{START_CHAT}.rate", "active_chats"}}
    for query in QUERIES:
        selected = re.findall(r'(\w+)="([^"]*)"', query)
        grouped = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
        assert {label for label, _ in selected} | grouped <= LABELS, query
        assert query.count('job="$job", instance="$run"') == len(re.findall(r"\bchatquota_\w+", query)), query
        for label, value in selected:
            assert value in values.get(label, variables), query


def test_panels_do_not_overlap() -> None:
    """Every panel has an id and a place of its own, and reads the chosen data source."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
