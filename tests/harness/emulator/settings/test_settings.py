"""The settings' text form, the command's mistakes, and the table in the documentation."""

import contextlib
import math
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.emulator.cli import main, settings_table
from harness.emulator.settings import documented
from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import Settings
from harness.emulator.settings.values import SettingsError

DOCS = Path(__file__).parents[4] / "docs" / "emulator.md"


def test_defaults_are_the_documented_quotas() -> None:
    """Without a setting the emulator has AWS's documented default quotas."""
    settings = parse_settings("")
    assert (settings.rate, settings.burst, settings.active_chats) == (5, 8, 500)
    assert settings.limit("StopContact") == documented.Limit(10, 15, "account")
    assert settings.limit("SendMessage") == documented.Limit(10, 15, "instance")


def test_values_are_read() -> None:
    """Numbers, durations, choices, flags and limits of operations are read; spaces do not matter."""
    settings = parse_settings(" rate=2.5, slot_lag=250ms,connect_timeout=5m , sigv4=off,StopContact.rate=inf,held=3")
    assert (settings.rate, settings.slot_lag, settings.connect_timeout) == (2.5, 0.25, 300.0)
    assert (settings.sigv4, settings.held) == (False, 3)
    assert math.isinf(settings.limit("StopContact").rate)


def test_quoted_values_hold_commas_and_quotes() -> None:
    """A value in double or single quotes may hold what separates settings."""
    settings = parse_settings(r'greeting="Hello, \"friend\"", rate=2', "throttle_message='a=b, c'")
    assert (settings.greeting, settings.rate, settings.throttle_message) == ('Hello, "friend"', 2, "a=b, c")


def test_latency_may_be_an_operations_own() -> None:
    """One operation may have another round trip than the rest."""
    settings = parse_settings("SendMessage.latency=200ms,latency=20ms,latency_sigma=0.5,contrary=1%")
    assert (settings.round_trip("SendMessage").median, settings.round_trip("SendMessage").sigma) == (0.2, 0.5)
    assert settings.round_trip("StopContact").median == 0.02
    assert settings.contrary == 0.01


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.25", 0.25), ("250ms", 0.25), ("30s", 30), ("5m", 300), ("25h", 90_000), ("7d", 604_800), ("never", math.inf)],
)
def test_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    """A duration has a unit, or is in seconds."""
    assert parse_settings(f"slot_lag={text}").slot_lag == seconds


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ratee=5", "no setting 'ratee'; did you mean 'rate'?"),
        ("StopContact.rat=1", ".rate, .burst and .scope"),
        ("StopContact.scope=instance", "share one bucket"),
        ("SendMessage.scope=galaxy", "account, instance"),
        ("rate", "'rate' is not key=value"),
        ("rate=-1", "rate=-1: wants a number of 0 or more"),
        ("rate=nan", "wants a number"),
        ("rate=fast", "wants a number"),
        ("held=1.5", "whole number"),
        ("slot_lag=5 parsecs", "duration"),
        ("slot_lag=s", "duration"),
        ("sigv4=maybe", "yes or no"),
        ("limiter=leaky", "token_bucket, fixed_window, sliding_window"),
        ("fault_500=1.5", "probability"),
        ("fault_500=0.6,fault_reset=0.6", "add up"),
        ("fault_operations=StartChat", "StartChatContact"),
        ("instances=0", "1 or more"),
        ("burst=1,shards=3", "lower shards"),
        ("instance_id=a/b", "identifier"),
        ("burst=0.5", "use 1 or more"),
        ("background=inf", "from 0 to 10000"),
        ("latency=never", "at most 7d"),
        ("nodes=4,shards=2", "leave out"),
        ("contrary=101%", "from 0 to 1"),
        ("shared=SendMessage+Send", "StartChatContact"),
        ("websockets=5:wait", "5:refuse or 5:close_oldest"),
        ("greeting=Hello, friend", "in quotes"),
        ('greeting="Hello', "has no end"),
        ("flow=/nowhere.toml", "flow=/nowhere.toml: cannot read it: No such file"),
        (f"active_chats={'9' * 5000}", "at most 15 digits"),
        (f"websockets={'9' * 5000}", "5:refuse or 5:close_oldest"),
        ("nodes=1000000000", "from 0 to 1000"),
        ("shards=1000000000,burst=inf", "from 0 to 1000"),
        ("instances=1000000000", "from 0 to 1000"),
        ("held=1000000000", "from 0 to 1000000"),
        ("stream_to=http://[::1", "wants an address"),
        ("stream_to=http://127.0.0.1:99999/", "wants an address"),
        ("stream_to=http://127.0.0.1:9000/a b", "wants an address"),
        ("slow_share=1,slow_length=1e-320", "at least 0.001ms"),
        ("arrival_timeout=0", "wants a duration above 0, such as 30s"),
        (f"rate={'x' * 5000}", "wants a number of 0 or more"),
        (f"{'x' * 5000}=1", "no setting"),
        (f"shared={'x' * 5000}", "StartChatContact"),
        (f"flow={'x' * 5000}", "cannot read"),
    ],
)
def test_mistake_is_told_in_one_line(spec: str, says: str) -> None:
    """A wrong setting is refused in one line that says what would be right."""
    with pytest.raises(SettingsError) as caught:
        parse_settings(spec)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@hypothesis_settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_settings_or_a_mistake(text: str) -> None:
    """No text makes the parser fail in another way."""
    with contextlib.suppress(SettingsError):
        assert isinstance(parse_settings(text), Settings)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--emulator", "ratee=5"], "did you mean"),
        (["--time-scale", "0"], "above 0"),
        (["--time-scale", "nan"], "above 0"),
        (["--time-scale", "1e9"], "below 1e+09"),
        (["--port", "70000"], "to 65535"),
        (["--bind", "203.0.113.7"], "give --bind an address of this machine"),
        (["--bind", ""], "--bind: wants an address"),
        (["--advertise", "http://chat.test"], "without scheme and port"),
        (["--advertise", "chat.test:8443"], "without scheme and port"),
        (["--advertise", ""], "without scheme and port"),
        (["--tls", "/dev/null"], "--tls /dev/null: File exists; give a directory"),
    ],
)
def test_wrong_command_line_exits_2_with_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake on the command line is one line on standard error and exit code 2."""
    assert main([*arguments, "--bind", "203.0.113.7"] if "--advertise" in arguments else arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert re.fullmatch(r"chatquota emulator: .+\n", printed.err)


def test_unknown_option_exits_2() -> None:
    """The parser's own errors are one line and exit code 2, too."""
    command = [sys.executable, "-m", "harness.emulator", "--prot", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_documentation_lists_every_setting() -> None:
    """The table in docs/emulator.md is the one that --list-settings prints."""
    assert settings_table() in DOCS.read_text(encoding="utf-8")


def test_every_setting_is_described() -> None:
    """Each setting says what it is."""
    assert all(item.metadata["about"] for item in fields(Settings) if item.metadata)
