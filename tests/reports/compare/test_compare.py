"""`chatquota compare`, as a CI job runs it."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scipy.special import ndtr

from harness.command import main
from harness.quotas.estimates import Verdict
from reports.capacity.model import ActiveChats, Capacity, Interval, Tps
from reports.compare.comparison import compare
from tests.reports.answers import an_answer
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import Scenario, simulate, write_run


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario], str]:
    """The capacity.json of a scenario's run, each scenario reported once."""

    @cache
    def make(scenario: Scenario) -> str:
        path = write_run(tmp_path_factory.mktemp("reported") / "run", simulate(scenario))
        assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
        return (path / "capacity.json").read_text()

    return make


@pytest.fixture
def reported(answers: Callable[[Scenario], str], tmp_path: Path) -> Callable[..., Path]:
    """A reported run of a scenario; keyword arguments replace tables of its capacity.json, entry by entry."""
    made: list[Path] = []

    def make(scenario: Scenario, **changes: dict[str, Any]) -> Path:
        path = tmp_path / f"run-{len(made)}"
        path.mkdir()
        made.append(path)
        answer = json.loads(answers(scenario))
        for table, entries in changes.items():
            answer[table] |= entries
        (path / "capacity.json").write_text(json.dumps(answer))
        return path

    return make


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command; returns exit code, output and errors."""
    capsys.readouterr()
    code = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_equal_services_compare_as_equal(reported: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Two runs against the same service differ by chance only: exit code 0 and no metric worse."""
    base, new = reported(Scenario(seed=1)), reported(Scenario(seed=2))
    code, out, _ = run(capsys, base, new, "--out", tmp_path / "out")
    assert code == 0
    assert "worse" not in out
    deltas = json.loads((tmp_path / "out" / "compare.json").read_text())["deltas"][str(new)]
    assert {delta["direction"] for delta in deltas} <= {"no change shown", "not comparable", "better"}
    assert (tmp_path / "out" / "trend.png").stat().st_size > 1000


def test_a_lower_limit_is_a_regression_in_any_of_the_runs(
    reported: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third run against a slower service makes the exit code 1, and an annotation in a workflow."""
    runs = [reported(Scenario(seed=1)), reported(Scenario(seed=2)), reported(Scenario(rate=3.5, seed=3))]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, _ = run(capsys, *runs)
    assert code == 1
    assert f"::error title=Regression::tps.rate got worse in {runs[2]}" in out
    assert str(runs[1]) not in [line for line in out.splitlines() if line.startswith("::error")]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"run": {"user_class": "QuotaProbe"}}, "user_class ('StartChat' against 'QuotaProbe')"),
        ({"run": {"options": {"hold": "30s"}}}, "options.hold ('0s' against '30s')"),
        ({"run": {"workload": {"source": "other.toml", "seed": 1, "kinds": []}}}, "workload (built-in"),
        ({"generator": {"valid": False, "reasons": ["late"]}}, "is an invalid run (late"),
    ],
)
def test_other_conditions_are_refused_by_name(
    reported: Any, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], named: str
) -> None:
    """Runs under other conditions, and invalid runs, are not compared: exit code 2 and one line that says which."""
    code, _, err = run(capsys, reported(Scenario()), reported(Scenario(), **changes))
    assert code == 2
    assert named in err
    assert "--allow" in err
    assert err.count("\n") == 1


def test_a_difference_that_is_allowed_is_compared(reported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The named condition may differ if the user says so."""
    base, new = reported(Scenario()), reported(Scenario(), run={"user_class": "QuotaProbe"})
    assert run(capsys, base, new, "--allow", "user_class")[0] == 0


def test_what_was_not_reported_is_refused(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A run without a report, and a file that is none, are named with the command that makes one."""
    path = make_run()
    (tmp_path / "other.json").write_text("[]")
    for argument, message in ((path, "chatquota report"), (tmp_path / "other.json", "is not a capacity.json")):
        code, _, err = run(capsys, argument, argument)
        assert code == 2
        assert message in err


def answer(rate: tuple[float | None, float, float | None], verdict: Verdict, started: int, faults: int) -> Capacity:
    """An answer that has only what a comparison reads."""
    return an_answer(
        tps=Tps(Interval(*rate), Interval(), "unknown", verdict),
        outcomes={"started": started, "service_error": faults},
    )


def directions(base: Capacity, new: Capacity, tolerance: float = 0.05) -> dict[str, str]:
    """The direction of each metric."""
    return {delta.metric: delta.direction for delta in compare(base, new, tolerance)}


def test_a_comparison_that_cannot_be_made_says_so() -> None:
    """Unexplained limits and missing latencies are "not comparable", never "no change" and never a regression."""
    one = answer((5.0, 4.9, 5.1), "not_explained", 100, 0)
    found = directions(one, one)
    assert found["tps.rate"] == "not comparable"
    assert found["active_chats"] == "not comparable"
    assert found["latency_ms.started.p99"] == "not comparable"


def test_a_bound_of_nothing_is_no_number() -> None:
    """That at least no chat may be open is not compared as a bound."""
    nothing = an_answer(active_chats=ActiveChats(0, 0, None, verdict="lower_bound"), outcomes={"started": 9})
    found = {delta.metric: delta for delta in compare(nothing, nothing, 0.05)}["active_chats"]
    assert (found.base, found.new) == (None, None)


def test_bounds_compare_only_where_they_can() -> None:
    """An estimate under what the base is known to admit is worse; one above a mere bound says nothing."""
    bound = answer((None, 8.0, None), "lower_bound", 100, 0)
    assert directions(bound, answer((5.0, 4.9, 5.1), "explained", 100, 0))["tps.rate"] == "worse"
    assert directions(bound, answer((9.0, 8.9, 9.1), "explained", 100, 0))["tps.rate"] == "not comparable"
    assert directions(answer((5.0, 4.9, 5.1), "explained", 100, 0), bound)["tps.rate"] == "better"


def test_a_change_needs_both_an_interval_and_a_size() -> None:
    """A change within the tolerance, or within its own uncertainty, is not shown as one."""
    base = answer((5.0, 4.99, 5.01), "explained", 100, 0)
    assert directions(base, answer((4.9, 4.89, 4.91), "explained", 100, 0))["tps.rate"] == "no change shown"
    assert directions(base, answer((4.5, 3.6, 5.4), "explained", 100, 0))["tps.rate"] == "no change shown"
    assert directions(base, answer((4.5, 4.4, 4.6), "explained", 100, 0))["tps.rate"] == "worse"
    assert directions(base, answer((5.0, 4.99, 5.01), "explained", 1000, 300))["outcome_share.service_error"] == "worse"
    few = answer((5.0, 4.99, 5.01), "explained", 9, 1)
    assert (
        directions(answer((5.0, 4.99, 5.01), "explained", 20, 0), few)["outcome_share.service_error"]
        == "no change shown"
    )


def test_the_scenarios_differ() -> None:
    """Two seeds give two different runs, so that equality above is no accident."""
    assert simulate(Scenario(seed=1)) != simulate(Scenario(seed=2))


def test_many_metrics_are_asked_at_once(reported: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A chance of one in fifty is no regression where several metrics are compared, and each says its corrected chance."""
    base, new = reported(Scenario(seed=1)), reported(Scenario(seed=2))
    run(capsys, base, new, "--out", tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "compare.json").read_text())["deltas"][str(new)]
    assert all(0 <= row["p_worse"] <= 1 for row in rows if row["change"] is not None)

    def rate(low: float, estimate: float, high: float) -> Capacity:
        return an_answer(
            tps=Tps(Interval(estimate, low, high), Interval(8, 7.5, 8.5), "unknown", "explained"),
            outcomes={"started": 800, "service_error": 10},
        )

    one = next(
        delta for delta in compare(rate(4.9, 5.0, 5.1), rate(4.797, 4.897, 4.997), 0.02) if delta.metric == "tps.rate"
    )
    alone = 1 - ndtr(0.103 / (0.1 * 2**0.5 / 2.5758))
    assert alone < 0.04
    # Rate and burst. Of the two shares no change beyond the tolerance could come by chance, so they take next to nothing.
    assert one.p_worse == pytest.approx(2 * alone, rel=0.02)
    assert one.direction == "no change shown"
