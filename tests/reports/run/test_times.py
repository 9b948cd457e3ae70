"""Times that no run has: rows that hold one are counted, and look like no latency of anything."""

import itertools
import json
import warnings

import numpy as np
import pytest

from harness.command import main
from reports.run.samples import Batch, Samples
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import Scenario, simulate

ABSURD = (1e308, -1e308, float("inf"), float("-inf"), 1e18, 5e-324, float("nan"))


@pytest.mark.parametrize("column", ["scheduled", "sent", "received"])
def test_a_time_a_century_away_takes_no_memory(column: str, make_run: MakeRun) -> None:
    """A row that is far from all others has no place over time: nothing is kept for the seconds between."""
    rows = simulate(Scenario(burst=8, offered=20.0, seconds=10, quota=9))
    rows[7][column] += 3e9
    rows[8] |= {"operation": "SendMessage", column: rows[8][column] - 3e9}
    path = make_run(rows=rows)
    assert main(["report", str(path), "--no-figures", "--quiet"]) == 0


@pytest.mark.parametrize("column", ["scheduled", "sent", "received"])
def test_absurd_times_are_no_times(column: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever numbers a column of times has, the report is made without a warning, and says how many rows it is about."""
    rows = simulate(Scenario(burst=8, offered=20.0, seconds=10, quota=9))
    for row, absurd in zip(rows[::5], itertools.cycle(ABSURD), strict=False):
        row[column] = absurd
    path = make_run(rows=rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["report", str(path), "--no-figures", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    problems = json.loads((path / "capacity.json").read_text())["problems"]
    assert any("no usable time" in problem for problem in problems), problems
    for batch in Samples(tuple(sorted((path / "samples").iterdir()))).only_pass():
        assert isinstance(batch, Batch)
        assert np.nanmax(np.abs(batch.times[column])) < 2e12
