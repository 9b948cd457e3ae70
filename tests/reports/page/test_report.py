"""`chatquota report` as a user runs it: its files, its numbers, and runs that are not whole."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.command import main
from reports.capacity.schema import PUBLISHED, schema_text
from reports.figures.picture import FIGURES
from reports.wording.vocabulary import LABELS, OUTCOMES
from tests.reports.conftest import MakeRun
from tests.reports.reporting import report
from tests.reports.synthetic import BEGAN, Scenario, attempt


def test_the_published_schema_is_the_types() -> None:
    """The JSON Schema of capacity.json is what its type makes: `python -m reports.capacity.schema` writes it anew."""
    assert PUBLISHED.read_text() == schema_text()


class Page(HTMLParser):
    """Collects what the tests look at: references to elsewhere, ids, figures and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.alternatives: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [str(values[name]) for name in ("src", "href", "xlink:href") if name in values]
        self.ids += [str(values["id"])] if "id" in values else []
        self.alternatives += [str(values["aria-label"])] if values.get("role") == "img" else []

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_every_number_comes_from_the_samples(make_run: MakeRun) -> None:
    """Counts, shares, latencies, first refusals and the peak agree with pandas on samples/."""
    path = make_run(Scenario(faults=0.08, oddities=2, hold=8.0, seconds=30))
    answer = report(path)
    frame = pd.concat([pd.read_parquet(file) for file in (path / "samples").glob("*.parquet")])
    starts = frame[frame["operation"] == "StartChatContact"]
    counts = starts["outcome"].value_counts()
    assert {name: count for name, count in answer["outcomes"].items() if count} == counts[counts > 0].to_dict()
    assert answer["run"]["samples"] == len(frame)
    for outcome, row in answer["latency_ms"].items():
        rows = starts[starts["outcome"] == outcome]
        for quantile, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            for found, since in ((row, "scheduled"), (row["from_sent"], "sent")):
                exact = np.quantile((rows["received"] - rows[since]) * 1000, q, method="inverted_cdf")
                assert found[quantile] == pytest.approx(exact, rel=answer["quantile_error"] * 1.01)
    began = min(frame["scheduled"].min(), frame["sent"].min())
    for outcome, seen in answer["first_seen"].items():
        first = starts[starts["outcome"] == outcome]["sent"].min()
        assert seen["at"] == first
        assert seen["after_s"] == pytest.approx(first - began, abs=1e-6)
    first_limit = {"tps_throttled": "tps", "active_chat_limit": "active_chats"}
    assert (
        answer["first_limit"]
        == first_limit[min(answer["first_seen"], key=lambda name: answer["first_seen"][name]["at"])]
    )
    lateness = np.quantile((starts["sent"] - starts["scheduled"]) * 1000, 0.99, method="inverted_cdf")
    assert answer["generator"]["lateness_ms_p99"] == pytest.approx(lateness, rel=0.002)


@pytest.mark.slow
def test_the_simulated_limits_are_found(make_run: MakeRun) -> None:
    """The limits that the simulated service had lie within the reported intervals, and Little's law links them."""
    answer = report(make_run(Scenario(rate=5.0, burst=8, quota=30, seconds=30)))
    rate, burst, chats = answer["tps"]["rate"], answer["tps"]["burst"], answer["active_chats"]
    assert (answer["tps"]["verdict"], chats["verdict"]) == ("explained", "explained")
    assert rate["low"] <= 5.0 <= rate["high"]
    assert burst["low"] <= 8 <= (burst["high"] or 8)
    assert chats["low"] <= 30 <= chats["high"]
    assert answer["crossover_s"]["low"] <= 6.0 <= answer["crossover_s"]["high"]


@pytest.mark.slow
def test_the_page_stands_alone_and_speaks(make_run: MakeRun) -> None:
    """One file: no reference leaves it, no id occurs twice, and every figure has a text in its place."""
    path = make_run()
    report(path, figures=True)
    html = (path / "report.html").read_text()
    page = Page(html)
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\((?!#)", html)
    assert len(page.alternatives) == len(list((path / "figures").glob("*.png"))) >= 6
    assert all(len(text) > 40 for text in page.alternatives)
    assert {file.stem for file in (path / "figures").glob("*.png")} <= set(FIGURES)
    assert {file.stem for file in (path / "figures").glob("*.svg")} == {
        file.stem for file in (path / "figures").glob("*.png")
    }
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_the_answer_comes_first(make_run: MakeRun) -> None:
    """The page's heading names both limits before anything else; the Markdown says the same."""
    path = make_run()
    chats = report(path, figures=True)["active_chats"]
    html, markdown = (path / "report.html").read_text(), (path / "report.md").read_text()
    heading = re.search(r"<h1>(.*?)</h1>", html)
    assert heading
    assert re.fullmatch(
        r"This instance starts \S+ chats a second with a burst of (at least )?8 "
        rf"and holds {chats['low']} to 30 chats at once\.",
        heading[1],
    )
    assert heading[1] in markdown.splitlines()[2]
    assert html.index("LAB emulator") < html.index("<h1>") < html.index("Valid run") < html.index("<figure>")


def test_a_429_of_neither_kind_is_shown_verbatim(make_run: MakeRun) -> None:
    """What the service said stands on the page as it was, harmless as HTML; it is guessed into neither limit."""
    path = make_run(Scenario(oddities=4))
    answer = report(path)
    page = Page((path / "report.html").read_text())
    assert answer["outcomes"]["unclassified_429"] == 4
    assert "Come back <later>" in page.text
    assert "PeculiarException" in (path / "report.md").read_text()


def test_a_usage_plan_is_named_where_it_may_be_meant(make_run: MakeRun) -> None:
    """LimitExceededException with the bare words "Limit Exceeded" carries the warning; another message does not."""
    said = {
        "operation": "StartChatContact",
        "outcome": "active_chat_limit",
        "status": 429,
        "count": 77,
        "first_at": 1.0,
    }
    plan = make_run(answers=[said | {"error_code": "LimitExceededException", "message": "Limit Exceeded"}])
    quota = make_run(answers=[said | {"error_code": "LimitExceededException", "message": "Active chats"}])
    for path, warned in ((plan, True), (quota, False)):
        report(path)
        assert ("usage plan" in (path / "report.html").read_text()) is warned
        assert ("usage plan" in (path / "report.md").read_text()) is warned


@pytest.mark.slow
def test_a_bare_429_is_told_with_its_cause_and_remedy(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Page, Markdown and terminal say what a 429 without a code probably is, and which option counts it as a throttle."""
    bare = {"operation": "StartChatContact", "outcome": "unclassified_429", "status": 429, "count": 12, "message": ""}
    path = make_run(answers=[bare])
    report(path)
    terminal = " ".join(capsys.readouterr().out.split())
    for text in ((path / "report.html").read_text(), (path / "report.md").read_text(), terminal):
        assert "12 unclassified 429" in text
        assert "--treat-bare-429-as tps_throttled" in text
    report(make_run(options={"treat_bare_429_as": "tps_throttled"}))
    assert "were counted as TPS throttles" in " ".join(capsys.readouterr().out.split())


def test_a_run_in_which_nothing_was_served_says_so(make_run: MakeRun) -> None:
    """The headline names what every call got; the run is not valid, and no limit is claimed."""
    rows = [
        attempt("StartChatContact", BEGAN + n, BEGAN + n, BEGAN + n + 0.01, "access_denied", 403, "AccessDenied", None)
        for n in range(12)
    ]
    denied = {"operation": "StartChatContact", "outcome": "access_denied", "status": 403, "count": 12}
    path = make_run(rows=rows, answers=[denied | {"error_code": "AccessDeniedException", "message": "no <b>way</b>"}])
    answer = report(path)
    assert answer["generator"]["valid"] is False
    heading = (path / "report.md").read_text().splitlines()[2]
    assert "No call was served: all 12 chat starts failed" in heading
    assert "HTTP 403: AccessDeniedException" in heading
    assert "<b>" not in (path / "report.html").read_text()


def test_a_probe_is_said_to_have_offered_what_it_sent(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """A probe has no schedule: run.json says 0 offered, and no text of the report does."""
    generator = {"offered": 0, "sent": 0, "dropped": 0, "valid": True, "reasons": []}
    path = make_run(user_class="QuotaProbe", generator=generator)
    answer = report(path)
    assert main(["report", str(path), "--quiet", "--no-figures", "--request"]) == 0
    calls = sum(answer["outcomes"].values())
    assert answer["generator"]["offered"] == calls
    assert f"{calls} chat starts, each decided by the probe" in (path / "quota-request.md").read_text()
    assert "by the probe" in capsys.readouterr().out


def test_an_invalid_run_says_so_everywhere(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """The generator's reasons stand on the page, in the Markdown, on the terminal and in capacity.json."""
    generator = {"offered": 179, "samples_recorded": 209, "valid": False, "reasons": ["3 % of arrivals were dropped"]}
    path = make_run(generator=generator)
    answer = report(path)
    assert answer["generator"]["valid"] is False
    for text in ((path / "report.html").read_text(), (path / "report.md").read_text(), capsys.readouterr().out):
        assert "Invalid run" in text
        assert "3 % of arrivals were dropped" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "limits"),
    [
        (Scenario(offered=2.0, quota=1000), set()),
        (Scenario(offered=9.0, quota=1000), {"tps_throttled"}),
        (Scenario(offered=3.0, burst=50, quota=10), {"active_chat_limit"}),
    ],
)
def test_runs_that_meet_fewer_limits_claim_fewer(make_run: MakeRun, scenario: Scenario, limits: set[str]) -> None:
    """A limit that refused nobody has no estimate: only what was admitted is claimed, and no crossover."""
    path = make_run(scenario)
    answer = report(path)
    assert set(answer["first_seen"]) == limits
    if "tps_throttled" not in limits:
        assert answer["tps"]["verdict"] != "explained"
    if "active_chat_limit" not in limits:
        assert answer["active_chats"]["verdict"] == "lower_bound"
    assert answer["crossover_s"] is None
    text = (path / "report.md").read_text()
    if "tps_throttled" not in limits:
        assert (answer["tps"]["rate"]["low"], answer["tps"]["rate"]["high"]) == (None, None)
        assert "does not know the TPS limit" in text.splitlines()[2]
        assert "a burst may have carried them" in text
    assert "Neither limit refused" in text if not limits else "was not met" in text


@pytest.mark.parametrize("arguments", [["nowhere"], [], ["--gates", "nowhere.toml", "."], ["--nonsense"]])
def test_a_users_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mistake ends in one line on standard error and exit code 2, never a traceback."""
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["report", *arguments])
    except SystemExit as leaving:
        code = int(str(leaving.code))
    captured = capsys.readouterr()
    assert code == 2
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("chatquota report: ")


@pytest.mark.slow
def test_a_report_can_be_made_again(make_run: MakeRun) -> None:
    """A second report replaces the first, and says the same."""
    path = make_run()
    assert report(path) == report(path)


def test_the_terminal_ends_with_the_short_table(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Offered, each outcome, the first limit, the chats left open and the page's path are printed."""
    path = make_run()
    report(path)
    printed = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in printed.splitlines()}
    for name in ("offered", "started", "TPS throttled", "active-chat limit", "first limit", "chats left open"):
        assert name in lines
    assert lines["chats left open"].split()[-1] == "0"
    assert f"report: {path / 'report.html'}" in printed


def test_help_loads_nothing_slow() -> None:
    """The commands' help comes without pandas, matplotlib, pyarrow, Locust or boto3."""
    code = (
        "import sys\nfrom harness.command import main\n"
        "for name in ('report', 'compare', 'plan'):\n"
        "    try:\n        main([name, '--help'])\n    except SystemExit as leaving:\n        assert leaving.code == 0\n"
        "slow = {'pandas', 'matplotlib', 'pyarrow', 'numpy', 'locust', 'boto3', 'gevent'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_outcome_has_a_name() -> None:
    """Each outcome that the harness may write has a label and the code that the inference knows."""
    from harness import vocabulary

    assert set(OUTCOMES) == set(vocabulary.OUTCOMES)
    assert set(OUTCOMES) <= set(LABELS)


def test_what_a_service_says_does_not_steer_a_terminal(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, line ends and marks that turn text around are shown, and not obeyed."""
    text = "\x1b[31mred\nsecond \u202e line"
    told = {"outcome": "unclassified_429", "operation": "StartChatContact", "status": 429, "count": 5}
    path = make_run(Scenario(oddities=5), answers=[told | {"error_code": text, "message": text}])
    assert main(["report", str(path), "--no-figures"]) == 0
    for shown in (capsys.readouterr().out, (path / "report.md").read_text(), (path / "report.html").read_text()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "\\x1b[31mred\\nsecond \\u202e line" in (path / "report.html").read_text()


def test_a_quota_that_is_met_late_in_a_long_run_is_found(make_run: MakeRun) -> None:
    """The chats that were on their way when the part begins that is read count too, and it begins some seconds before."""
    path = make_run(Scenario(rate=300, burst=500, quota=3000, offered=400, seconds=40))
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    answer = json.loads((path / "capacity.json").read_text())
    chats = answer["active_chats"]
    assert answer["inference"]["of_attempts"] > 8_000
    assert chats["high"] == chats["estimate"] == 3000
    assert chats["low"] > 2000
