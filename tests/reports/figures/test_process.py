"""The processes that draw: what they draw comes back in the page's order, and what goes wrong in them is raised."""

import json
import os
import pickle
import re
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.command import main
from harness.errors import UsageError
from reports import build
from reports.figures.draw import draw_varieties
from reports.figures.picture import FIGURES
from reports.figures.process import FigureProcess
from reports.run.tables import Varieties
from tests.reports.conftest import MakeRun

COUNTS = {"text/plain": {"started": 3, "tps_throttled": 1}, "application/json": {"started": 2, "tps_throttled": 0}}
LATENCY = {"text/plain": {"p50": 10.0, "p95": 20.0, "p99": 30.0}}


@pytest.mark.slow
def test_figures_are_drawn_side_by_side_and_come_in_the_order_of_the_page(make_run: MakeRun) -> None:
    """Whatever is drawn first, the page shows the limits, then the run over time, then what it is made of."""
    run = make_run()
    assert main(["report", str(run), "--quiet"]) == 0
    shown = re.findall(r"figures/([a-z-]+)\.png", (run / "report.md").read_text())
    assert {"outcomes", "bucket", "timeline", "varieties", "lateness"} <= set(shown)
    assert shown == sorted(shown, key=FIGURES.index)
    assert {file.stem for file in (run / "figures").glob("*.png")} == set(shown)


def test_figures_are_those_of_a_whole_matplotlib() -> None:
    """What the process leaves out when it loads matplotlib and pandas changes no figure, to the last byte."""
    found = Varieties(COUNTS, COUNTS, LATENCY, LATENCY)
    with FigureProcess() as drawing:
        drawing.draw("draw_varieties", found)
        assert drawing.drawn() == draw_varieties(found)


@pytest.mark.slow
def test_variety_is_found_beside_as_it_is_found_here(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many calls the process that draws tests the variety; what the report says of it is the same."""
    run = make_run()
    said = []
    for few in (10_000, 0):
        monkeypatch.setattr(build, "_FEW_CALLS", few)
        assert main(["report", str(run), "--quiet"]) == 0
        said.append(json.loads((run / "capacity.json").read_text())["variety"])
    assert said[0]
    assert said[0] == said[1]


def test_an_error_in_drawing_is_raised_where_the_pictures_are_waited_for() -> None:
    """One request that fails does not hang the others, and its error comes to the caller."""
    with FigureProcess() as drawing:
        drawing.draw("draw_varieties", Varieties({}, {}, {}, {}))
        drawing.draw("draw_nothing_of_the_kind")
        with pytest.raises(AttributeError, match="draw_nothing_of_the_kind"):
            drawing.drawn()


def test_copies_that_die_do_not_hold_the_others_up() -> None:
    """More copies of the process end without an answer than draw at a time; that some are missing is said."""
    with FigureProcess() as drawing:
        for _ in range((os.cpu_count() or 1) + 1):
            drawing._ask("os._exit", (1,))
        drawing.draw("draw_varieties", Varieties(COUNTS, COUNTS, LATENCY, LATENCY))
        with pytest.raises(UsageError, match="--no-figures"):
            drawing.drawn()


def test_an_ended_process_is_said_to_have_ended() -> None:
    """Pictures of a process that was killed are not waited for for ever."""
    with FigureProcess() as drawing:
        drawing.draw("draw_varieties", Varieties(COUNTS, COUNTS, LATENCY, LATENCY))
        drawing._process.kill()
        with pytest.raises(UsageError, match="--no-figures"):
            drawing.drawn()


def test_a_caller_that_ends_without_a_word_is_not_answered() -> None:
    """Where the report was killed, the process that draws ends too, and says nothing."""
    command = [sys.executable, "-P", "-m", "reports.figures.process"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    asked = pickle.dumps(("reports.figures.draw.draw_varieties", (Varieties(COUNTS, COUNTS, LATENCY, LATENCY),)))
    process.stdin.write(len(asked).to_bytes(8) + asked)
    process.stdin.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_nothing_is_left_of_a_process_whose_pictures_nobody_wants() -> None:
    """A report that fails before anything is drawn ends the process at once."""
    with FigureProcess() as drawing:
        process = drawing._process
    assert process.returncode is not None


def test_no_copy_of_the_process_outlives_its_end(tmp_path: Path) -> None:
    """What is drawn when a report breaks off is of no use to anybody, and may take long."""
    held = tmp_path / "held"
    os.mkfifo(held)
    with FigureProcess() as drawing:
        drawing._ask("os.system", (f"exec sleep 60 > {shlex.quote(str(held))}",))
        reading = os.open(held, os.O_RDONLY)  # once the copy has opened it
    with os.fdopen(reading, "rb") as pipe:
        assert select.select([pipe], [], [], 20)[0]
        assert pipe.read() == b""
