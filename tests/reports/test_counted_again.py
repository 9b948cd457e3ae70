"""Every number of the page that the samples hold, counted again from them with plain pandas, apart from our readers."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.command import main
from tests.reports.synthetic import BEGAN, Scenario, simulate, write_run


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported run that met both limits, with faults."""
    rows = simulate(Scenario(seconds=90.0, quota=60, hold=20.0, faults=0.03))
    run = write_run(tmp_path_factory.mktemp("counted") / "run", rows)
    assert main(["report", str(run), "--quiet", "--no-figures"]) == 0
    return run


@pytest.fixture(scope="module")
def samples(reported: Path) -> pd.DataFrame:
    """All its samples."""
    return pd.read_parquet(reported / "samples").astype({"operation": str, "outcome": str})


@pytest.fixture(scope="module")
def answer(reported: Path) -> dict[str, Any]:
    """Its capacity.json."""
    found: dict[str, Any] = json.loads((reported / "capacity.json").read_text())
    return found


def quantile(values: pd.Series, share: float) -> float:
    """The smallest value that the share does not exceed, in ms."""
    return float(np.quantile(values * 1000, share, method="inverted_cdf"))


def test_counts_shares_and_operations(samples: pd.DataFrame, answer: dict[str, Any]) -> None:
    """Outcomes of chat starts, their shares, and attempts of each operation are those of the rows."""
    starts = samples[samples.operation == "StartChatContact"]
    counted = starts.outcome.value_counts()
    assert {name: count for name, count in answer["outcomes"].items() if count} == counted.to_dict()
    for name, share in answer["outcome_share"].items():
        assert share == pytest.approx(counted.get(name, 0) / len(starts))
        low, high = answer["share_intervals"][name]
        assert low <= share <= high
    assert answer["run"]["samples"] == len(samples)
    for name, rows in samples.groupby("operation"):
        told = answer["operations"][str(name)]
        assert told["attempts"] == len(rows)
        assert told["outcomes"] == rows.outcome.value_counts().to_dict()


def test_latency_and_lateness(samples: pd.DataFrame, answer: dict[str, Any]) -> None:
    """Each percentile, from due and from sent, is that of the rows within 0.1 %, and so is the generator's lateness."""
    starts = samples[samples.operation == "StartChatContact"]
    for name, rows in starts.groupby("outcome"):
        told = answer["latency_ms"][str(name)]
        assert told["n"] == len(rows)
        for table, took in ((told, rows.received - rows.scheduled), (told["from_sent"], rows.received - rows.sent)):
            for quantile_name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
                assert table[quantile_name] == pytest.approx(quantile(took, share), rel=0.0011)
    late = answer["generator"]["measured_lateness_ms"]
    assert late["p99"] == pytest.approx(quantile(starts.sent - starts.scheduled, 0.99), rel=0.0011)


def test_first_refusals_span_and_open_chats(samples: pd.DataFrame, answer: dict[str, Any]) -> None:
    """When each limit was first met, how long the run was, and how many chats it held at most are in the rows too."""
    starts = samples[samples.operation == "StartChatContact"]
    first = min(samples.scheduled.min(), samples.sent.min())
    for name in ("tps_throttled", "active_chat_limit"):
        at = starts[starts.outcome == name].sent.min()
        assert answer["first_seen"][name]["at"] == pytest.approx(at)
        assert answer["first_seen"][name]["after_s"] == pytest.approx(at - first, abs=1e-5)
    assert answer["first_limit"] == "tps"
    assert answer["run"]["measured_s"] == pytest.approx(samples.received.max() - first, abs=1e-5)
    begun = np.floor(starts[starts.outcome == "started"].received).value_counts()
    ended = np.floor(samples[(samples.operation == "StopContact") & (samples.outcome == "ok")].received).value_counts()
    seconds = np.arange(np.floor(first), np.floor(samples.received.max()) + 1)
    held = (begun.reindex(seconds, fill_value=0) - ended.reindex(seconds, fill_value=0)).cumsum()
    assert answer["peak_active"]["chats"] == held.max()
    assert answer["peak_active"]["after_s"] == int(held.idxmax() - np.floor(first)) + 1


def test_the_page_says_what_the_rows_say(samples: pd.DataFrame, reported: Path) -> None:
    """The table on the page has the counts by outcome and by kind, and median latencies, as they are in the rows."""
    page = (reported / "report.html").read_text()
    starts = samples[samples.operation == "StartChatContact"]
    table = page[page.index("StartChatContact attempts by outcome") :].split("</table>")[0]
    found = re.findall(r'<tr><td>([^<]+)</td><td class="n">([\d,]+)<', table)
    shown = {name: int(count.replace(",", "")) for name, count in found}
    assert sorted(shown.values()) == sorted(starts.outcome.value_counts())
    assert shown["started"] == (starts.outcome == "started").sum()
    kinds = page[page.index("StartChatContact attempts by kind") :].split("</table>")[0]
    for name, rows in starts.groupby("kind", observed=True):
        cells = re.search(rf"<tr><td>{name}</td>(.*?)</tr>", kinds)
        assert cells is not None
        assert sum(int(cell.replace(",", "")) for cell in re.findall(r">([\d,]+)<", cells[1])) == len(rows)


def test_variety_is_in_the_rows(samples: pd.DataFrame, answer: dict[str, Any]) -> None:
    """The calls behind each finding, and the share of the rarer side, are counted again; the service has no effect."""
    starts = samples[samples.operation == "StartChatContact"]
    by_name = {(each["dimension"], each["on"]): each for each in answer["variety"]}
    kinds = starts.kind.value_counts(normalize=True)
    assert by_name["kind", "outcome"]["calls"] == len(starts)
    assert by_name["kind", "outcome"]["share"] == pytest.approx(kinds.min())
    assert by_name["kind", "latency"]["calls"] == (starts.outcome == "started").sum()
    sizes = starts.attribute_bytes
    upper = (sizes > (sizes.min() + sizes.max()) / 2).mean()
    assert by_name["attribute_bytes", "outcome"]["share"] == pytest.approx(min(upper, 1 - upper))
    assert not any(each["p_holm"] < 0.05 for each in answer["variety"])
    assert starts.sent.min() >= BEGAN
