"""`chatquota check` on chats of earlier runs: as run directories tell of them, and as the instance does."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from harness.command import main
from harness.preflight.looks.leftovers import check_leftovers
from harness.preflight.model.asking import Account
from tests.harness.preflight.conftest import INSTANCE, Check
from tests.support.scripted_aws import Refusal, Script


def test_leftovers_name_their_cleanup(check: Check, tmp_path: Path) -> None:
    """A run that left chats open on the instance is named with its cleanup; broken records are passed over."""
    for name, text in {
        "a": json.dumps({"status": "ended", "target": {"instance_id": INSTANCE}, "chats": {"left_open": 4}}),
        "b": json.dumps({"status": "ended", "target": {"instance_id": "another"}, "chats": {"left_open": 9}}),
        "c": "{",
    }.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "run.json").write_text(text)
    _, rows = check()
    assert rows["leftovers"]["text"].startswith("a left 4 chats open")
    assert "chatquota cleanup" in rows["leftovers"]["text"]


def test_runs_that_are_not_there_are_not_said_to_have_left_nothing(tmp_path: Path) -> None:
    """From another directory than the runs were made in, nothing is known of them, which is a note."""
    account = Account(boto3.Session(), "us-east-1", "http://127.0.0.1:1", INSTANCE, "flow")
    runs = tmp_path / "runs"
    row = next(iter(check_leftovers(runs, account)))
    text = f"there is no directory {runs} here, so that no earlier run was looked at"
    assert (row.check, row.state, row.text) == ("leftovers", "note", text)
    runs.mkdir()
    assert next(iter(check_leftovers(runs, account))).state == "ok"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--runs", "nowhere"), "--runs nowhere: no such directory; name the one where earlier runs were recorded"),
        (("--messages-per-chat", "nan"), "--messages-per-chat nan: give a number from 0 to 1,000,000"),
        (("--price-per-message", "-1"), "--price-per-message -1: give a number from 0 to 1,000,000"),
        (("--users", "100000000"), "--users 1e+08: give a number above 0, up to 1,000,000"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked of anybody, and no cost below zero is announced."""
    where = ("--host", "http://127.0.0.1:1", "--region", "us-east-1", "--instance-id", "i", "--contact-flow-id", "f")
    assert main(["check", *where, *arguments]) == 2
    assert capsys.readouterr().err == f"chatquota check: {said}\n"


def test_chats_of_other_machines_runs_are_found_on_the_instance(check: Check) -> None:
    """Open chats that carry a run's id are a note with the command that stops them; customers' chats are none."""
    chats = {
        "c1": "",
        "c2": "20261129T010000Z-start-chat-aa11",
        "c3": "20261129T010000Z-start-chat-aa11",
        "c4": "; rm x",
    }
    code, rows = check(Script(open_chats=chats))
    text = rows["leftovers on the instance"]["text"]
    assert (code, rows["leftovers on the instance"]["state"]) == (0, "note")
    assert text.startswith("2 chats of run 20261129T010000Z-start-chat-aa11 are open, of 4 open chats")
    assert "chatquota cleanup --sweep --run-id 20261129T010000Z-start-chat-aa11 --host http://127.0.0.1:" in text
    assert f"--region us-east-1 --instance-id {INSTANCE}`" in text


def test_a_run_with_a_directory_here_is_named_once(check: Check, tmp_path: Path) -> None:
    """Chats whose run has a directory on this machine are cleaned up with that, so no second command is given."""
    record = {"run_id": "r1", "target": {"instance_id": INSTANCE}, "chats": {"left_open": 1}}
    (tmp_path / "runs" / "r1").mkdir()
    (tmp_path / "runs" / "r1" / "run.json").write_text(json.dumps(record))
    _, rows = check(Script(open_chats={"c1": "r1"}))
    assert rows["leftovers"]["state"] == "note"
    assert rows["leftovers on the instance"]["state"] == "ok"
    assert "those of the runs above" in rows["leftovers on the instance"]["text"]


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        (Script(), "ok", "none of 0 open chats carries loadtest-run (a chat is found some minutes after its start)"),
        (Script(open_chats=Refusal(403, "AccessDeniedException")), "not_known", "connect:SearchContacts"),
        (Script(open_chats=Refusal(429, "TooManyRequestsException")), "not_known", "throttled"),
        (Script(open_chats=Refusal(400, "InvalidRequestException")), "not_known", "InvalidRequestException"),
        (
            Script(open_chats={"c": ""}, attributes=Refusal(403, "AccessDeniedException")),
            "not_known",
            "connect:GetContactAttributes",
        ),
        (Script(open_chats={"c": ""}, attributes=Refusal(404, "ResourceNotFoundException")), "ok", "none of 1 open"),
    ],
)
def test_what_the_instance_does_not_tell_of_its_open_chats_is_said(
    check: Check, script: Script, state: str, words: str
) -> None:
    """Where search or attributes are refused the row is not known, with the permission that would tell."""
    code, rows = check(script)
    row = rows["leftovers on the instance"]
    assert (code, row["state"]) == (0, state)
    assert words in row["text"] + row.get("permission", "")


@pytest.mark.slow
def test_of_many_open_chats_some_are_read(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy instance a bounded number of chats is read, spread over their starts, and the row says so."""
    monkeypatch.setattr("harness.preflight.looks.leftovers.time.sleep", lambda seconds: None)
    chats = {f"c{number}": "r-70" if 70 <= number < 80 else "" for number in range(250)}
    _, rows = check(Script(open_chats=chats))
    text = rows["leftovers on the instance"]["text"]
    assert text.startswith("4 chats of run r-70 are open, of 250 open chats, of which 40 were read")
