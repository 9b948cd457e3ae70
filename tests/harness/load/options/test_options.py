"""The options: where their values may come from, and what a wrong one is told."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from configargparse import ArgumentParser  # what Locust's own parser is built on

from harness.errors import UsageError
from harness.load.options.options import NAMES, add_options, read_settings, recorded_options


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
