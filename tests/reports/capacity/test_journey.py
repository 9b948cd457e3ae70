"""Reports of whole journeys: each operation's limit, which binds first, the retry lab, and why chats ended."""

import json
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from harness.command import main
from reports.capacity.excerpt import stretch
from tests.reports.conftest import MakeRun
from tests.reports.reporting import SHAPE
from tests.reports.synthetic import BEGAN, attempt, write_run

LIMITS = {
    "StartChatContact": (50.0, 60),
    "CreateParticipantConnection": (40.0, 60),
    "SendMessage": (4.0, 6),
    "DisconnectParticipant": (3.0, 5),
}
LAB = {
    "mode": "standard",
    "calls": 141,
    "attempts": 270,
    "started": 93,
    "gave_up": {"tps_throttled": 48},
    "attempts_by_call": {"1": 68, "2": 17, "3": 56},
    "retry_quota_reached": 3,
    "goodput_per_s": 4.476,
    "attempts_per_started_chat": 2.903,
    "latency_ms": {"p50": 5.0, "p95": 1700.0, "p99": 2650.0},
    "added_latency_ms": {"p50": 0.0, "p95": 1700.0, "p99": 2650.0},
}


def journeys(chats_per_s: float, seconds: float, seed: int = 5) -> list[dict[str, Any]]:
    """Chats that connect, send two messages and leave, each operation behind a token bucket of `LIMITS`."""
    draw = random.Random(seed)
    plan: list[tuple[float, str, str]] = []
    now = BEGAN
    for number in range(int(chats_per_s * seconds)):
        now += draw.expovariate(chats_per_s)
        at = now
        calls = ("StartChatContact", "CreateParticipantConnection", "SendMessage", "SendMessage")
        for operation in (*calls, "DisconnectParticipant"):
            plan.append((at, operation, f"chat-{number}"))
            at += 0.05 + draw.expovariate(2.0)
    tokens = {name: (float(burst), BEGAN) for name, (_, burst) in LIMITS.items()}
    rows = []
    for at, operation, contact in sorted(plan):
        (rate, burst), (level, filled) = LIMITS[operation], tokens[operation]
        level = min(burst, level + (at - filled) * rate)
        admitted = level >= 1
        tokens[operation] = (level - admitted, at)
        outcome = ("started" if operation == "StartChatContact" else "ok") if admitted else "tps_throttled"
        sent = at - 0.001 * draw.random()
        received = at + 0.003 + 0.002 * draw.random()
        status = 200 if admitted else 429
        rows.append(attempt(operation, sent - 0.0005, sent, received, outcome, status, None, contact))
        if operation == "SendMessage" and admitted:
            seen = received + 0.01 + 0.01 * draw.random()
            rows.append(attempt("MessageReceipt", sent, sent, seen, "ok", 200, None, contact))
    return rows


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported run of journeys whose messages meet their limit at 2 chats a second, before any other operation."""
    path = write_run(tmp_path_factory.mktemp("journeys") / "run", journeys(3.5, 60.0), files=3)
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    return path


def answer_of(path: Path) -> dict[str, Any]:
    """The capacity.json of a reported run, valid by the published schema."""
    answer: dict[str, Any] = json.loads((path / "capacity.json").read_text())
    jsonschema.validate(answer, SHAPE)
    return answer


def test_each_operation_has_its_own_limit(reported: Path) -> None:
    """Limits that were met are found, those that were not are said to be unknown, in rows spread over files."""
    answer = answer_of(reported)
    for operation in ("SendMessage", "DisconnectParticipant"):
        limit = answer["operations"][operation]["limit"]
        assert limit["verdict"] == "explained"
        assert limit["rate"]["low"] <= LIMITS[operation][0] <= limit["rate"]["high"]
    unmet = answer["operations"]["CreateParticipantConnection"]
    assert (unmet["limit"]["verdict"], unmet["limit"]["rate"]["low"], unmet["throttled"]) == ("lower_bound", None, 0)
    assert unmet["binds_at_chats_per_s"] is None


def test_the_operation_that_binds_first_is_named(reported: Path) -> None:
    """Two messages a chat at 4 a second leave room for 2 chats a second: less than any other limit that was met."""
    answer = answer_of(reported)
    assert answer["binds_first"] == "SendMessage"
    assert answer["operations"]["SendMessage"]["calls_per_chat"] == 2.0
    binds = answer["operations"]["SendMessage"]["binds_at_chats_per_s"]
    assert binds["low"] <= 2.0 <= binds["high"]
    for name in ("report.html", "report.md"):
        text = (reported / name).read_text()
        assert "SendMessage binds first" in text
        assert "Not met, so unknown: StartChatContact, CreateParticipantConnection." in text


@pytest.mark.slow
def test_the_headline_names_the_operation_that_refused_the_customers(
    reported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No limit refused a chat start, and half of the messages were refused: the first sentence says so, with the share."""
    row = answer_of(reported)["operations"]["SendMessage"]
    share = f"{row['throttled'] / row['attempts']:.0%}".rstrip("%")
    assert main(["report", str(reported), "--summary"]) == 0
    for text in ((reported / "report.html").read_text(), (reported / "report.md").read_text(), capsys.readouterr().out):
        assert re.search(rf"SendMessage stops this journey first, at \S+ chats a\s+second: {share[0]}\S* % \(", text)
        assert "no call was refused by a limit" not in text
        assert "Neither limit refused a call" not in text


def test_a_receipt_has_a_latency_and_no_limit(reported: Path) -> None:
    """What the websocket saw is timed as the samples say, and never taken for a call with a quota."""
    row = answer_of(reported)["operations"]["MessageReceipt"]
    assert row["limit"] is None
    assert row["latency_ms"]["n"] == row["attempts"] == answer_of(reported)["operations"]["SendMessage"]["admitted"]
    assert 13 < row["latency_ms"]["p50"] < 26
    assert "MessageReceipt" in (reported / "report.html").read_text()


def test_a_run_that_only_starts_chats_has_no_journey(make_run: MakeRun) -> None:
    """No operation is said to bind first, and no empty sections stand on the page."""
    path = make_run()
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    answer = answer_of(path)
    assert answer["binds_first"] is None
    assert answer["retry_lab"] is None
    html = (path / "report.html").read_text()
    for title in ("Operations of the journey", "What a caller of the SDK feels", "Chats that this run did not end"):
        assert title not in html


@pytest.mark.slow
def test_what_was_offered_is_told_where_a_schedule_offered_it(make_run: MakeRun) -> None:
    """A probe and the SDK's retries send as they are answered: they have no busiest seconds, and a probe no rate."""
    for changes, peak, rate in (
        ({}, True, True),
        ({"retry_lab": LAB}, False, True),
        ({"user_class": "QuotaProbe"}, False, False),
    ):
        path = make_run(**changes)
        assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
        told = json.loads((path / "capacity.json").read_text())["generator"]
        assert (told["offered_peak_per_s"] is not None) == peak
        assert (told["offered_per_s"] is not None) == rate
        assert not peak or 8.0 < told["offered_peak_per_s"] < 12.0


def test_the_retry_lab_and_the_ends_of_chats_are_shown(make_run: MakeRun) -> None:
    """Goodput, what a chat cost, the added latency and each reason stand on the page and in the Markdown."""
    path = make_run(retry_lab=LAB, chat_ends={"EXPIRED": 3, "AGENT_DISCONNECT": 4})
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    answer = answer_of(path)
    assert answer["retry_lab"] == LAB
    assert answer["chat_ends"] == {"EXPIRED": 3, "AGENT_DISCONNECT": 4}
    for name in ("report.html", "report.md"):
        text = (path / name).read_text()
        for words in (
            "4.476 chats a second",
            "each chat cost 2.903 attempts",
            "0 s / 1.7 s / 2.65 s",
            "an agent ended it",
        ):
            assert words in text


@pytest.mark.parametrize(
    "lab", [{"calls": "many"}, {"calls": 3, "latency_ms": {"p50": "slow"}, "gave_up": [1]}, {"calls": 2, "mode": 7}]
)
def test_a_retry_lab_that_is_none_is_named(make_run: MakeRun, lab: dict[str, Any]) -> None:
    """Entries of another type than schema 1 says cost themselves, not the report."""
    path = make_run(retry_lab=lab, chat_ends={"EXPIRED": "often"})
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    assert any("chat_ends" in problem for problem in answer_of(path)["problems"])
    assert any("retry_lab" in problem for problem in answer_of(path)["problems"])


@pytest.mark.slow
def test_retry_modes_are_compared_if_they_may_differ(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that differ in the mode are refused, until --allow sdk_retries says that this is what is compared."""
    monkeypatch.setenv("COLUMNS", "150")
    slower = LAB | {"mode": "legacy", "goodput_per_s": 1.5}
    runs = []
    for lab in (LAB, slower):
        path = make_run(retry_lab=lab, options={"sdk_retries": lab["mode"]})
        assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
        runs.append(str(path))
    assert main(["compare", *runs]) == 2
    assert "options.sdk_retries ('standard' against 'legacy')" in capsys.readouterr().err
    assert main(["compare", *runs, "--allow", "sdk_retries"]) == 1
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("retry_lab")}
    assert "worse" in lines["retry_lab.goodput_per_s"]
    assert "not comparable" in lines["retry_lab.attempts_per_started_chat"]


def test_a_long_record_is_read_around_its_first_refusal() -> None:
    """The stretch has about as many calls as asked for, begins in a quiet second, and most of it is after the refusal."""
    by_second = np.full(1000, 10)
    by_second[480] = 0
    assert stretch(by_second, 500, 10_000) == (0, 1000)
    begin, end = stretch(by_second, 500, 1000)
    assert begin == 480
    assert 900 <= by_second[begin:end].sum() <= 1000
    assert stretch(by_second, None, 1000)[0] == 0
