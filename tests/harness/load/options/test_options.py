"""The options: where their values may come from, and what a wrong one is told."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
from configargparse import ArgumentParser  # what Locust's own parser is built on

from harness.errors import UsageError
from harness.load.options.reading import (
    NAMES,
    OPTIONS,
    add_options,
    checked,
    read_settings,
    recorded_options,
    unknown_variables,
)
from harness.load.options.table import options_table
from harness.load.options.target_choice import target_line


def options(*arguments: str, **changes: Any) -> argparse.Namespace:
    """The options as a parser like Locust's reads them."""
    parser = ArgumentParser()
    add_options(parser)
    parsed: argparse.Namespace = parser.parse_args(list(arguments))
    vars(parsed).update(changes)
    return parsed


def test_defaults_are_the_lab() -> None:
    """Without options the run is in the lab: embedded emulator, no budget, one start per user and second."""
    settings = read_settings(options(), None)
    assert settings.embedded
    assert settings.max_chats is None
    assert settings.starts_per_user == 1.0
    assert settings.hold.text == "0s"
    assert settings.workload.source == "built-in"


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option can be set by a CHATQUOTA_ variable."""
    monkeypatch.setenv("CHATQUOTA_HOLD", "30s")
    monkeypatch.setenv("CHATQUOTA_MAX_CHATS", "7")
    settings = read_settings(options(), None)
    assert (settings.hold.mean, settings.max_chats) == (30.0, 7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arrivals": "bursty"}, "--arrivals 'bursty': one of uniform, poisson"),
        ({"probe": "all"}, "--probe 'all': one of tps, active-chats, both"),
        ({"starts_per_user": 0.0}, "--starts-per-user 0"),
        ({"starts_per_user": float("nan")}, "--starts-per-user nan"),
        ({"max_probe_rate": -1.0}, "--max-probe-rate -1"),
        ({"max_in_flight": 0}, "--max-in-flight 0: at least 1"),
        ({"max_chats": -1}, "--max-chats -1"),
        ({"hold": "soon"}, "--hold 'soon'"),
        ({"gates": "/nowhere.toml"}, "--gates /nowhere.toml: no such file"),
        ({"workload": "/nowhere.toml"}, "--workload /nowhere.toml"),
    ],
)
def test_wrong_value_is_named_with_what_it_takes(changes: dict[str, Any], said: str) -> None:
    """A value that no run can use is refused before anything is sent, wherever it came from."""
    with pytest.raises(UsageError) as refused:
        read_settings(options(**changes), None)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["ftp://x", "example.com", "http://", "http://a:b", "http://h/path", "http://h:99999"])
def test_host_that_is_no_endpoint_is_refused(host: str) -> None:
    """A host must be the URL of an endpoint and nothing more."""
    with pytest.raises(UsageError, match="--host"):
        read_settings(options(), host)


def test_emulator_settings_need_the_embedded_emulator() -> None:
    """Limits for the embedded emulator make no sense with another host."""
    with pytest.raises(UsageError, match="leave one out"):
        read_settings(options(emulator="rate=9"), "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "give --live"),
        ({"live": True}, "--approval"),
        ({"live": True, "approval": "case 1"}, "--max-chats"),
        ({"live": True, "approval": "   ", "max_chats": 5}, "--approval"),
    ],
)
def test_live_target_needs_its_whole_guard(changes: dict[str, Any], said: str) -> None:
    """A target that is not this machine is refused until every part of the guard is there."""
    settings = read_settings(options(**changes), "https://connect.eu-central-1.amazonaws.com")
    with pytest.raises(UsageError, match=said):
        settings.resolve()


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "http://127.8.9.10:1", "http://localhost:1", "http://[::1]:1"])
def test_loopback_needs_no_guard(host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A loopback target is the lab, and needs neither Region nor ids nor credentials."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    target = read_settings(options(), host).resolve()
    assert not target.live
    assert target.participant_endpoint == host
    assert target.credentials().access_key


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1.example.com", "http://localhost.example.com", "http://10.0.0.1", "http://0.0.0.0:1"]
)
def test_lookalikes_of_loopback_are_live(host: str) -> None:
    """Only this machine's own names are the lab."""
    with pytest.raises(UsageError, match="--live"):
        read_settings(options(), host).resolve()


def test_manifest_records_every_option() -> None:
    """What is recorded has each option of the harness, as a plain value."""
    recorded = recorded_options(options("--hold", "30s"))
    assert set(NAMES) <= set(recorded)
    assert recorded["hold"] == "30s"


def test_readme_lists_every_option() -> None:
    """The tables in the README are the ones that the declarations make."""
    assert options_table() in (Path(__file__).parents[4] / "README.md").read_text("utf-8")


def test_every_option_says_what_it_is_and_accepts_its_default() -> None:
    """Each option has a help text and a default that its own check takes."""
    for option in OPTIONS:
        assert option.about
        checked(option, option.default)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"instance_id": "12345678"},
            "--instance-id without --host or --live: the run would call the embedded emulator",
        ),
        ({"region": "eu-central-1", "approval": "case 1"}, "--region and --approval without --host or --live"),
        ({"participant_host": "http://127.0.0.1:9"}, "--participant-host without --host or --live"),
        ({"region": "nowhere"}, "--region 'nowhere' is not a Region"),
        ({"region": "us east"}, "--region 'us east' is not a Region; did you mean us-east-"),
        (
            {"live": True, "emulator": "rate=9"},
            "--emulator sets the limits of the embedded emulator, but --live calls AWS",
        ),
        ({"starts_per_user": 1e300}, "--starts-per-user 1e+300: a number over 0, at most 10,000"),
        ({"max_late": "soon"}, "--max-late 'soon' is not a duration; use one like 500ms, 30s, 5m or 2h"),
        ({"probe_time": "0s"}, "--probe-time '0s': from 1s to 86400s"),
        ({"run_dir": "a\x00b"}, "--run-dir 'a\\x00b': a text without NUL bytes"),
        ({"run_dir": "a\nb"}, "--run-dir 'a\\nb': a path of printable characters"),
        ({"workload": "w\udcff.toml"}, "--workload 'w\\udcff.toml': a text in UTF-8"),
        ({"gates": "g\udcff.toml"}, "--gates 'g\\udcff.toml': a text in UTF-8"),
        ({"emulator": "greeting=\udcff"}, "--emulator 'greeting=\\udcff': a text in UTF-8"),
        ({"queue_message": "a{99999999999999999999}"}, "is not a regular expression"),
        ({"queue_message": "(" * 5000 + ")" * 5000}, "is not a regular expression"),
        ({"gates": "/dev/zero"}, "--gates /dev/zero: not a regular file"),
        ({"workload": "/dev/zero"}, "--workload /dev/zero: not a regular file"),
        ({"load_shape": "day:/dev/zero"}, "/dev/zero: not a regular file"),
    ],
)
def test_what_would_be_guessed_or_never_end_is_refused(changes: dict[str, Any], said: str) -> None:
    """Ids without a target, Regions that do not exist, and files that never end are usage errors of one line."""
    with pytest.raises(UsageError) as refused:
        read_settings(options(**changes), None)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_pipe_is_not_read(tmp_path: Path) -> None:
    """A FIFO that nobody writes to is refused instead of waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for changes in ({"workload": str(pipe)}, {"gates": str(pipe)}, {"load_shape": f"day:{pipe}"}):
        with pytest.raises(UsageError, match="not a regular file"):
            read_settings(options(**changes), None)


def test_durations_are_seconds_with_or_without_a_unit() -> None:
    """A bare number counts seconds."""
    settings = read_settings(options("--max-late", "3", "--probe-time", "2m"), None)
    assert (settings.max_late, settings.probe_time) == (3.0, 120.0)


def test_participant_service_passes_the_guard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers' tokens of a lab run do not leave this machine, by option or by variable."""
    host = "http://127.0.0.1:8000"
    with pytest.raises(UsageError, match=r"--participant-host http://203\.0\.113\.9:9 is not this machine"):
        read_settings(options(participant_host="http://203.0.113.9:9"), host).resolve()
    with pytest.raises(UsageError, match="--participant-host 'gopher://x'"):
        read_settings(options(participant_host="gopher://x"), host).resolve()
    monkeypatch.setenv("AWS_ENDPOINT_URL_CONNECTPARTICIPANT", "http://203.0.113.9:9")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL_CONNECTPARTICIPANT http"):
        read_settings(options(), host).resolve()


LIVE = {"live": True, "approval": "case 1", "max_chats": 5}


def test_live_loopback_host_is_live_with_all_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel to AWS on this machine is believed to be live when the user says so."""
    host = "https://127.0.0.1:8443"
    for name, value in (("REGION", "eu-central-1"), ("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(UsageError, match="--live needs --approval"):
        read_settings(options(live=True), host).resolve()
    with pytest.raises(UsageError, match=r"--instance-id is missing: https://.* needs to know"):
        read_settings(options(**LIVE), host).resolve()
    ids = {"instance_id": "i-1", "contact_flow_id": "f-1"}
    target = read_settings(options(**LIVE, **ids), host).resolve()
    assert (target.live, target.region) == (True, "eu-central-1")
    assert target_line(target, "123456789012") == "LIVE account 123456789012, Region eu-central-1, instance i-1"
    lab = read_settings(options(), host).resolve()
    assert target_line(lab) == "LAB emulator https://127.0.0.1:8443"


def test_region_without_connect_is_refused_before_anything_is_called() -> None:
    """A Region that botocore does not know is a usage error with the nearest name, unless a host is given."""
    named = {**LIVE, "instance_id": "i", "contact_flow_id": "f", "region": "eu-centrall-1"}
    with pytest.raises(UsageError, match=r"--region 'eu-centrall-1': .* did you mean eu-central-1\?.*--host"):
        read_settings(options(**named), None).resolve()


def test_unknown_variables_are_named() -> None:
    """A mistyped CHATQUOTA_ variable is not ignored in silence."""
    assert unknown_variables({"CHATQUOTA_HODL": "30s", "CHATQUOTA_HOLD": "1s", "CHATQUOTA_WEB_USER": "ana"}) == [
        "the variable CHATQUOTA_HODL is not an option and is ignored; did you mean CHATQUOTA_HOLD?"
    ]
