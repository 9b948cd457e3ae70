"""The timeline of a run: phases, stalls, drain, lost workers, limit changes, users and latency, and their texts."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from harness.command import main
from harness.quotas.stages import StageKind
from reports.figures.style import report_style
from reports.figures.timeline import run_timeline
from reports.figures.what_happened import WhatHappened, what_happened
from reports.run.fold import fold
from reports.run.rundir import read_run
from reports.run.samples import Samples
from reports.run.timeline import timeline
from tests.reports.answers import an_answer
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, Scenario, simulate


def happened(path: Path) -> WhatHappened:
    """What the run directory tells."""
    run = read_run(path)
    total = fold(Samples(run.sample_files).only_pass())
    return what_happened(run, total, timeline(total, run.dropped_by_second))


def event(at: float, kind: str, value: float | None = None, note: str = "") -> dict[str, Any]:
    """An event as run.json has it, `at` seconds into the run."""
    return {"at": BEGAN + at, "kind": kind, "value": value, "note": note}


def test_events_and_stages_of_the_run_are_on_its_axis(make_run: MakeRun) -> None:
    """Users, drain, lost workers and phases stand where run.json says, in seconds since the run's first second."""
    stages = [
        {"kind": "pressure", "begin": BEGAN + 1, "end": BEGAN + 8, "offered": 15.0, "rest": 0.0},
        {"kind": "volley", "begin": BEGAN + 9, "end": BEGAN + 9.2, "offered": 0.0, "rest": 4.0},
        {"kind": "volley", "begin": BEGAN + 14, "end": BEGAN + 14.2, "offered": 0.0, "rest": 4.0},
    ]
    events = [event(0, "users", 3), event(5, "users", 8), event(12, "worker_lost", note="vm-2"), event(20, "drain")]
    found = happened(make_run(Scenario(), events=events, probe={"stages": stages}))
    assert found.users == {0.0: 3.0, 5.0: 8.0}
    assert [(moment.kind, moment.at, moment.label) for moment in found.moments] == [("worker lost", 12.0, "vm-2")]
    spans = [(span.kind, span.begin, span.end, span.label) for span in found.spans]
    assert spans[:2] == [("phase", 1.0, 8.0, "pressure at 15/s"), ("phase", 9.0, pytest.approx(14.2), "volleys")]
    assert spans[2][:2] == ("drain", 20.0)


@pytest.mark.parametrize("kind", get_args(StageKind))
def test_each_kind_of_stage_has_its_words(kind: StageKind, make_run: MakeRun) -> None:
    """Whatever stage a probe goes through, the report of its run is made, and names it."""
    stages = [{"kind": kind, "begin": BEGAN + 1, "end": BEGAN + 8, "offered": 15.0, "rest": 0.0}]
    run = make_run(Scenario(), probe={"stages": stages})
    (phase,) = (span for span in happened(run).spans if span.kind == "phase")
    assert phase.label.endswith("at 15/s")
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0


def test_late_calls_and_dropped_ones_are_a_stall(make_run: MakeRun) -> None:
    """Seconds in which calls left over a second late, or were dropped, make one span."""
    rows = simulate(Scenario())
    for row in rows:
        if BEGAN + 6 <= row["sent"] < BEGAN + 8:
            row["scheduled"] = row["sent"] - 1.5
    generator = {"dropped_by_second": {str(int(BEGAN) + 8): 5}}
    spans = [span for span in happened(make_run(rows=rows, generator=generator)).spans if span.kind == "stall"]
    assert [(span.begin, span.end) for span in spans] == [(6.0, 9.0)]


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_that_moved_is_seen_and_one_that_stayed_is_not(make_run: MakeRun, seed: int) -> None:
    """Five a second, then three: the moment is within seconds of the truth; a steady limit has none."""
    before = simulate(Scenario(quota=10_000, offered=12.0, seconds=60.0, seed=seed))
    after = simulate(Scenario(rate=3.0, burst=1, quota=10_000, offered=12.0, seconds=60.0, seed=seed + 10))
    for row in after:
        for name in ("scheduled", "sent", "received"):
            row[name] += 60.0
    for row in after:
        if row["contact_id"]:
            row["contact_id"] += "-later"
    starts = [row for row in [*before, *after] if row["operation"] == "StartChatContact"]
    moments = happened(make_run(rows=starts)).moments
    assert [moment.kind for moment in moments] == ["limit change"]
    assert moments[0].at == pytest.approx(60.0, abs=5.0)
    steady = simulate(Scenario(quota=10_000, offered=12.0, seconds=120.0, seed=seed))
    assert happened(make_run(rows=steady)).moments == []


def test_latency_is_there_block_by_block(make_run: MakeRun) -> None:
    """Chats that take twice as long from second 10 on show it in the median of the blocks."""
    rows = simulate(Scenario(quota=10_000, hold=1e6))
    for row in rows:
        row["received"] = row["sent"] + (0.1 if row["sent"] < BEGAN + 10 else 0.2)
    latency = happened(make_run(rows=rows)).latency
    assert np.median(latency.p50[latency.at < 10]) == pytest.approx(100, rel=0.05)
    assert np.median(latency.p50[latency.at >= 10]) == pytest.approx(200, rel=0.05)


def test_the_figure_tells_all_of_it_in_words(make_run: MakeRun) -> None:
    """What can be seen can be read: the text in place of the figure names every span and moment with its time."""
    path = make_run(
        Scenario(), events=[event(0, "users", 8), event(12, "worker_lost", note="vm-2"), event(20, "drain")]
    )
    run = read_run(path)
    total = fold(Samples(run.sample_files).only_pass())
    view = timeline(total, {})
    with report_style():
        one = run_timeline(view, an_answer(), what_happened(run, total, view))
    assert "At 12 s: worker lost (vm-2)." in one.alternative
    assert "20 s to" in one.alternative
    assert "stopping chats" in one.alternative
    assert "by 8 to 8 users" in one.alternative
    assert "p95" in one.alternative
    assert "1 lost worker (dotted)" in one.sentence


@pytest.mark.slow
def test_a_run_without_events_has_its_timeline_too(make_run: MakeRun) -> None:
    """Runs of older versions recorded no events: the page has the figure, and events of another type do no harm."""
    run = make_run(Scenario(seconds=10.0), events=[{"at": "soon", "kind": "party"}])
    assert main(["report", str(run), "--quiet"]) == 0
    assert (run / "figures" / "timeline.png").stat().st_size > 1000
    assert "What happened when" in (run / "report.html").read_text()
    assert json.loads((run / "capacity.json").read_text())["outcomes"]["started"] > 0
