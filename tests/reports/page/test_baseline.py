"""The report beside an earlier run: the named one, or the newest like it in a directory."""

from pathlib import Path

import pytest

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, Scenario

CALM = Scenario(offered=4.0, seconds=120.0, hold=5.0)


def _reported(make_run: MakeRun, scenario: Scenario, number: int, **changes: object) -> Path:
    run = make_run(scenario, run_id=f"run-{number}", started_at=BEGAN + 1000 * number, **changes)
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    return run


@pytest.mark.slow
def test_page_has_the_change_of_each_metric_since_the_named_run(make_run: MakeRun) -> None:
    """A run that fails one call in five more is worse in its share of started chats, in both texts."""
    before = _reported(make_run, CALM, 0)
    after = _reported(make_run, Scenario(offered=4.0, seconds=120.0, hold=5.0, faults=0.2), 1)
    assert main(["report", str(after), "--baseline", str(before), "--no-figures", "--quiet"]) == 0
    for text in ((after / "report.md").read_text(), (after / "report.html").read_text()):
        assert f"Against {before}: worse:" in text
        assert "outcome_share.started" in text
    assert "Against an earlier run" not in (before / "report.html").read_text()


@pytest.mark.slow
def test_newest_run_under_the_same_conditions_is_taken_from_a_directory(make_run: MakeRun) -> None:
    """A later run, another user class and the run itself are passed over."""
    runs = [_reported(make_run, CALM, number) for number in range(4)]
    other = make_run(CALM, run_id="run-2b", started_at=BEGAN + 2500, user_class="QuotaProbe")
    assert main(["report", str(other), "--no-figures", "--quiet"]) == 0
    assert main(["report", str(runs[2]), "--baseline", str(runs[2].parent), "--no-figures", "--quiet"]) == 0
    assert f"Against {runs[1]}: no change shown" in (runs[2] / "report.md").read_text()


@pytest.mark.slow
def test_runs_that_differ_are_not_compared_and_the_reason_is_told(make_run: MakeRun) -> None:
    """Other conditions leave a sentence instead of a table."""
    before = _reported(make_run, CALM, 0, user_class="QuotaProbe")
    after = _reported(make_run, CALM, 1)
    assert main(["report", str(after), "--baseline", str(before), "--no-figures", "--quiet"]) == 0
    assert f"Not compared with {before}: they differ in user_class" in (after / "report.md").read_text()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"schema": 99}'])
def test_baseline_of_no_use_is_one_line(
    make_run: MakeRun, tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline that is not there or cannot be read ends with exit code 2 before anything is written."""
    run, bad = make_run(), tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)
    assert main(["report", str(run), "--baseline", str(bad)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (run / "report.html").exists()
