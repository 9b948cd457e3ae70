"""What a browser may choose, beside what the process was started with; and the tokens of announced live runs."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from configargparse import ArgumentParser

from harness.errors import UsageError
from harness.load.options.load_profile import FORMS, parse_curve
from harness.load.options.reading import add_options
from harness.webui.access.confirmation import FIELD, VALID_FOR, Confirmations
from harness.webui.access.form_policy import FormPolicy


def options(**changes: Any) -> argparse.Namespace:
    """The options of a command line with these values."""
    parser = ArgumentParser()
    add_options(parser)
    parsed: argparse.Namespace = parser.parse_args([])
    vars(parsed).update(changes)
    return parsed


LIVE: dict[str, Any] = {
    "live": True,
    "approval": "case 1",
    "max_chats": 700,
    "region": "eu-central-1",
    "instance_id": "i-1",
    "contact_flow_id": "f-1",
}


@pytest.mark.parametrize(
    ("started", "form", "said"),
    [
        ({}, {"live": True}, "--live: only the command line may set it; start Locust with --live"),
        (LIVE, {**LIVE, "any_hour": True}, "--any-hour: only the command line"),
        (LIVE, {**LIVE, "yes": True}, "--yes: only the command line"),
        (LIVE, {**LIVE, "max_chats": 701}, "--max-chats 701: the form may only lower it .* started with 700"),
        (LIVE, {**LIVE, "max_chats": 0}, "--max-chats no limit: the form may only lower it"),
        (LIVE, {**LIVE, "max_probe_rate": 501.0}, "--max-probe-rate 501.0: the form may only lower it"),
        (LIVE, {**LIVE, "keep_chats": True}, "--keep-chats True: the form may only lower it"),
        (LIVE, {**LIVE, "max_late": "1h"}, "--max-late 1h: the form may only lower it"),
        (LIVE, {**LIVE, "instance_id": "i-2"}, "--instance-id of a live run is what Locust was started with"),
        (LIVE, {**LIVE, "region": "us-east-1"}, "--region of a live run"),
        (LIVE, {**LIVE, "approval": "x"}, "--approval of a live run"),
        ({}, {"workload": "/etc/passwd"}, "--workload /etc/passwd: the form may name only a file"),
        ({}, {"gates": "gates.toml"}, "--gates gates.toml: the form may name only a file"),
        ({}, {"load_shape": "day:/etc/passwd,60"}, "--load-shape /etc/passwd: the form may name only a file"),
        ({}, {"run_dir": "/tmp/elsewhere"}, "--run-dir /tmp/elsewhere: the form may name only a directory below runs/"),
        ({}, {"run_dir": "runs/../.."}, "below runs/"),
        ({}, {"run_dir": "runs"}, "below runs/"),
        ({}, {"emulator": "rate=5,flow=/etc/passwd"}, "--emulator flow=...: the form may name only a file"),
    ],
)
def test_form_may_not_go_beyond_the_command_line(started: dict[str, Any], form: dict[str, Any], said: str) -> None:
    """Going live, other targets, weaker guards and other files are the command line's to name."""
    with pytest.raises(UsageError, match=said):
        FormPolicy(options(**started), None).check(options(**form), None)


@pytest.mark.parametrize(
    ("started", "form"),
    [
        ({}, {"hold": "30s", "starts_per_user": 3.0, "emulator": "rate=9", "max_chats": 5, "run_dir": "runs/mine"}),
        ({}, {"load_shape": "banana"}),  # names no file: what is wrong with it is not for this check to say
        ({}, {"load_shape": "ramp:2m", "keep_chats": True, "max_probe_rate": 900.0}),
        ({"max_chats": 5}, {"max_chats": 500}),  # in the lab, where chats cost nothing
        ({"workload": "mix.toml"}, {"workload": "./mix.toml"}),
        ({"workload": "mix.toml"}, {"workload": ""}),
        ({"load_shape": "day:day.csv"}, {"load_shape": "day:day.csv,60"}),
        (LIVE, {**LIVE, "max_chats": 10, "max_probe_rate": 5.0, "hold": "10s"}),
        (LIVE, {"live": False}),
        ({"run_dir": "/tmp/elsewhere"}, {"run_dir": "/tmp/elsewhere"}),
        ({"emulator": "flow=a.toml"}, {"emulator": "rate=9,flow=a.toml"}),
    ],
)
def test_form_may_do_all_else(started: dict[str, Any], form: dict[str, Any]) -> None:
    """Load, the emulator, lower guards and the files of the command line are free."""
    FormPolicy(options(**started), None).check(options(**form), None)


def test_hosts_of_a_form() -> None:
    """Loopback is free in the lab; any other host, and any change of a live one, is the command line's."""
    lab = FormPolicy(options(), None)
    lab.check(options(), "http://127.0.0.1:8000")
    with pytest.raises(UsageError, match="only the command line may name such a host"):
        lab.check(options(), "http://203.0.113.9")
    with pytest.raises(UsageError, match="--host 'gopher://x'"):
        lab.check(options(), "gopher://x")
    live = FormPolicy(options(**LIVE), "https://connect.eu-central-1.amazonaws.com")
    live.check(options(**LIVE), "https://connect.eu-central-1.amazonaws.com")
    for host in (None, "http://127.0.0.1:1"):
        with pytest.raises(UsageError, match="the host of a live run is what Locust was started with"):
            live.check(options(**LIVE), host)


def test_directory_behind_a_link_is_judged_by_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link below runs/ does not lead a run elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to("/tmp")
    with pytest.raises(UsageError, match="below runs/"):
        FormPolicy(options(), None).check(options(run_dir="runs/link/x"), None)


def test_announcement_is_agreed_to_once_for_the_same_form_and_not_for_ever() -> None:
    """A token counts for the form and announcement that it was given for, once, within its time."""
    now = [0.0]
    confirmations = Confirmations(lambda: now[0])
    form, lines = {"user_count": "3"}, ["a LIVE run"]
    assert not confirmations.agreed(form, lines)
    asking = confirmations.ask(form, lines)
    assert asking.lines == lines
    agreed = {**form, FIELD: asking.token}
    assert confirmations.agreed(agreed, lines)
    assert not confirmations.agreed(agreed, lines)
    token = confirmations.ask(form, lines).token
    assert not confirmations.agreed({"user_count": "300", FIELD: token}, lines)
    token = confirmations.ask(form, lines).token
    assert not confirmations.agreed({**form, FIELD: token}, ["another account"])
    token = confirmations.ask(form, lines).token
    now[0] = VALID_FOR
    assert not confirmations.agreed({**form, FIELD: token}, lines)


@pytest.mark.parametrize("shape", [form for form in re.split(", (?=[a-z])| or ", FORMS) if not form.startswith("day:")])
def test_form_may_follow_each_shape_that_names_no_file(shape: str) -> None:
    """Whatever forms the help tells are the browser's to choose."""
    parse_curve(shape)
    FormPolicy(options(), None).check(options(load_shape=shape), None)
