"""Locust's statistics say of many attempts at once what they would say of one after the other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.connect.client import Reply
from harness.load.session.locust_statistics import reporter
from harness.vocabulary import OK, SEND_MESSAGE, START_CHAT, TPS_THROTTLED

PROBE = Path(__file__).with_name("statistics_probe.py")


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What a process says in which Locust is loaded."""
    command = [sys.executable, str(PROBE)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=PROBE.parents[4], timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_attempts_added_together_are_as_if_the_event_had_been_fired_for_each(said: dict[str, Any]) -> None:
    """Counts, times, sizes, failures and the rows of errors are the same."""
    assert said["together"] == said["one_by_one"]
    total = said["together"][0]
    assert (total["num_requests"], total["num_failures"], total["num_reqs_per_sec"]) == (75, 25, 75)
    assert said["together"][-1] == {"error": TPS_THROTTLED, "name": START_CHAT, "times": 25}


def test_the_last_ten_seconds_are_as_if_the_event_had_been_fired_for_each(said: dict[str, Any]) -> None:
    """Also where calls are so few that one of them is all that the web page's percentiles are told from."""
    one_by_one, together = zip(*said["lately"], strict=True)
    assert together == one_by_one
    assert any(one_by_one)


def test_an_own_way_of_rounding_times_is_kept(said: dict[str, Any]) -> None:
    """Locust lets its user replace how response times are rounded."""
    assert said["rounded"] == [7]


def test_a_listener_hears_of_each_attempt(said: dict[str, Any]) -> None:
    """Once anybody but Locust listens, each attempt is an event, and the statistics count each once."""
    assert said["heard"] == {
        "heard": [[START_CHAT, "None"], [START_CHAT, TPS_THROTTLED], [SEND_MESSAGE, "None"]],
        "counted": 6,
    }


def test_a_listener_that_fails_is_told_of_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each attempt is reported, whatever became of the report before it."""
    told: list[str] = []

    def fire(name: str, **_: object) -> None:
        told.append(name)
        raise RuntimeError("a listener's fault")

    reply = Reply(outcome=OK, sent=0.0, received=1.0)
    reporter(fire, lambda: None)([(START_CHAT, reply), (SEND_MESSAGE, reply)])
    assert told == [START_CHAT, SEND_MESSAGE]
    assert len(caplog.records) == 2
