"""Gates on a report, as a CI job runs them: exit codes, JUnit XML, annotations and the step summary."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.command import main
from harness.gates import METRICS, parse_gates
from harness.vocabulary import START_OUTCOMES
from reports.capacity.metrics import metrics
from reports.capacity.model import Generator
from reports.ci.gates import annotations, judge, junit, lookup
from tests.reports.answers import an_answer
from tests.reports.conftest import MakeRun
from tests.support.locust_runs import ROOT

PASSING = '[[gate]]\nmetric = "outcomes.started"\nmin = 30\nmax = 30\n'
BREACHED = '[[gate]]\nmetric = "active_chats.low"\nmin = 100\nname = "holds 100: <chats>"\n'
UNKNOWN = '[[gate]]\nmetric = "latency_ms.timeout.p99"\nmax = 1\n'
LOCUST = '[[gate]]\nmetric = "locust.StartChatContact.num_failures"\nmin = 149\nmax = 149\n'


def gates(tmp_path: Path, *texts: str) -> str:
    """A file of the given gates."""
    path = tmp_path / "gates.toml"
    path.write_text("".join(texts))
    return str(path)


@pytest.fixture(autouse=True)
def no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests do not run as a step of the workflow that may run them."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def test_a_breach_is_exit_code_1_and_a_failed_test_case(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One breached gate among passing ones: exit code 1, one failure in junit.xml, the sentence in the Markdown."""
    path = make_run()
    assert main(["report", str(path), "--gates", gates(tmp_path, PASSING, BREACHED, LOCUST), "--no-figures"]) == 1
    suite = ET.parse(path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failed = [case for case in suite if case.find("failure") is not None]
    assert [case.get("name") for case in failed] == ["holds 100: <chats>"]
    assert "BREACHED" in capsys.readouterr().out
    assert "active_chats.low is 15, wanted &gt;= 100" in (path / "report.html").read_text()
    assert "2 of 3 gates passed" in (path / "report.md").read_text()


def test_gates_that_pass_are_exit_code_0(make_run: MakeRun, tmp_path: Path) -> None:
    """All gates pass: exit code 0 and a JUnit file without failures, where --junit says."""
    junit_path = tmp_path / "results.xml"
    arguments = [
        "--gates",
        gates(tmp_path, PASSING, LOCUST),
        "--junit",
        str(junit_path),
        "--no-figures",
        "--no-figures",
    ]
    assert main(["report", str(make_run()), *arguments]) == 0
    assert ET.parse(junit_path).getroot().get("failures") == "0"


def test_an_unknown_number_is_a_breach(make_run: MakeRun, tmp_path: Path) -> None:
    """A gate on something that the run does not tell was not shown to be kept."""
    path = make_run()
    assert main(["report", str(path), "--gates", gates(tmp_path, UNKNOWN), "--quiet", "--no-figures"]) == 1
    assert "cannot be judged" in (path / "junit.xml").read_text()


def test_a_misspelt_gate_stops_before_the_run_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The gates are validated before anything else: exit code 2, one line, even though there is no run."""
    path = gates(tmp_path, '[[gate]]\nmetric = "outcomes.strated"\nmax = 1\n')
    assert main(["report", "no-such-run", "--gates", path]) == 2
    captured = capsys.readouterr().err
    assert "did you mean 'outcomes.started'?" in captured
    assert captured.count("\n") == 1
    assert main(["report", "--check-gates", path]) == 2
    assert main(["report", "--check-gates", gates(tmp_path, PASSING)]) == 0


def test_github_hears_of_it_only_in_a_workflow(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a workflow a breach is an error annotation and the report is appended to the step summary; elsewhere neither."""
    path, file, summary = make_run(), gates(tmp_path, BREACHED), tmp_path / "summary.md"
    main(["report", str(path), "--gates", file, "--no-figures"])
    assert "::error" not in capsys.readouterr().out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    summary.write_text("before\n")
    main(["report", str(path), "--gates", file, "--no-figures"])
    expected = "::error title=Gate breached%3A holds 100%3A <chats>::active_chats.low is 15, wanted >= 100"
    assert expected in capsys.readouterr().out.splitlines()
    assert summary.read_text() == f"before\n{(path / 'report.md').read_text()}\n"


def test_annotations_and_junit_hold_any_text() -> None:
    """Line ends and control characters in names and reasons break neither the annotation nor the XML."""
    generator = Generator(valid=False, reasons=["50% late\nand more"])
    answer = an_answer(generator=generator, outcomes={"timeout": 3})
    table = {"gate": [{"metric": "outcomes.timeout", "max": 1, "name": "a\x00b\n100%"}]}
    judgements = judge(parse_gates(table), answer)
    lines = annotations(judgements, answer)
    assert lines[1] == "::warning title=Invalid run::50%25 late%0Aand more"
    assert all("\n" not in line for line in lines)
    ET.fromstring(junit(judgements, "run\x07id"))


def test_gates_of_an_invalid_run_say_so(make_run: MakeRun, tmp_path: Path) -> None:
    """What passed in it was not shown to be kept, as a CI service sees in the JUnit file and a reader on the page."""
    gates = tmp_path / "chats.toml"
    gates.write_text('[[gate]]\nmetric = "outcomes.started"\nmin = 1\n')
    for path, invalid in ((make_run(status="running"), True), (make_run(), False)):
        assert main(["report", str(path), "--quiet", "--no-figures", "--gates", str(gates)]) == 0
        told = ET.fromstring((path / "junit.xml").read_text()).findtext("testsuite/system-err") or ""
        assert told.startswith("Invalid run: the run did not end in order") == invalid
        page = (path / "report.md").read_text()
        assert ("1 of 1 gate passed, in an invalid run, of which no number is to be relied on." in page) == invalid


def test_a_gate_finds_its_number_in_capacity_json(make_run: MakeRun) -> None:
    """The numbers that the report of a run in which both limits were met tells are found under their names."""
    path = make_run()
    main(["report", str(path), "--quiet", "--no-figures"])
    answer = json.loads((path / "capacity.json").read_text())
    unknown = {metric for metric in METRICS if lookup(metric, answer) is None}
    told = (
        "chat_ends.",
        "tps.rate",
        "active_chats",
        "first_seen",
        "outcomes",
        "outcome_share",
        "latency_ms.started",
        "generator.",
    )
    assert not {metric for metric in unknown if metric.startswith(told)}


DESCRIPTIONS = re.compile(
    r"schema|quantile_error|(run|inference|retry_lab|clocks)\..*|.*\.(n|at|pressure|seconds|admitted|calls|refused_share)"
    r"|tps\.contrary\..*|tps\.burst_from_rest\.(rest_s|volleys)|peak_active\.after_s|active_chats\.(ours|others)\..*"
    r"|generator\.(samples_recorded|measured_lateness_ms\..*)|answered\.knee\.(goal|share)"
)
"""Numbers that say how something was measured, or are there under another name: no gate is put on them."""


def test_gates_may_name_every_result_in_capacity_json() -> None:
    """The metrics that a gate may name are the numbers of the answer's type, less those that only describe."""
    named = metrics()
    assert set(METRICS) <= set(named)
    assert {name for name in set(named) - set(METRICS) if not DESCRIPTIONS.fullmatch(name)} == set()


def test_the_documents_list_every_metric() -> None:
    """The table in docs/gates.md, with its braces expanded, is the list of metrics."""
    patterns = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "gates.md").read_text(), re.MULTILINE)
    told = {name for pattern in patterns if "." in pattern for name in _expanded(pattern)}
    assert told == set(METRICS)


def _expanded(pattern: str) -> Iterator[str]:
    """The names that a pattern with {a,b} and <outcome> stands for."""
    pattern = pattern.replace("<outcome>", "{" + ",".join(START_OUTCOMES) + "}")
    if (braces := re.search(r"{([^}]*)}", pattern)) is None:
        yield pattern
        return
    for part in braces[1].split(","):
        yield from _expanded(pattern[: braces.start()] + part + pattern[braces.end() :])
