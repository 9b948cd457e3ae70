"""The retry lab: what the SDK's own retries do to a load, seen attempt by attempt."""

from collections import Counter
from pathlib import Path

import pytest

from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, ask, load, outcomes
from tests.support.locust_runs import samples


@pytest.mark.slow
def test_every_attempt_of_the_sdk_is_a_sample_and_the_run_stays_valid(tmp_path: Path) -> None:
    """Samples equal the attempts that the service counted; calls, attempts and goodput fit together."""
    run = tmp_path / "run"
    with running("rate=5,burst=2", STOPS_AT_ONCE) as emulator:
        said = load(emulator, "StartChat", run, "-u", "10", "-r", "10", "-t", "4s", "--sdk-retries", "legacy")
        theirs = ask(emulator, "state")["counts"]["StartChatContact"]
    lab, ours = said["retry_lab"], outcomes(run)["StartChatContact"]
    assert said["generator"]["valid"], said["generator"]["reasons"]
    assert ours.total() == sum(theirs.values()) == lab["attempts"]
    assert lab["calls"] == said["generator"]["sent"] < lab["attempts"]
    assert ours["started"] == theirs["ok"] == lab["started"] == said["chats"]["started"]
    assert lab["calls"] == lab["started"] + sum(lab["gave_up"].values())
    assert 1 < max(int(attempts) for attempts in lab["attempts_by_call"]) <= 5
    assert lab["added_latency_ms"]["p99"] > 0
    assert said["chats"]["left_open"] == 0


@pytest.mark.slow
def test_adaptive_waiting_is_added_latency_and_no_lateness_of_the_generator(tmp_path: Path) -> None:
    """The SDK's client-side waiting shows as added latency; the generator's own lateness stays small."""
    run = tmp_path / "run"
    with running("rate=5,burst=2", STOPS_AT_ONCE) as emulator:
        said = load(emulator, "StartChat", run, "-u", "12", "-r", "12", "-t", "4s", "--sdk-retries", "adaptive")
    lab = said["retry_lab"]
    assert lab["added_latency_ms"]["p95"] > 300
    assert said["generator"]["lateness_ms_p99"] < lab["added_latency_ms"]["p95"]
    late = Counter(row["sent"] - row["scheduled"] > 0.5 for row in samples(run))
    assert not late[True]


@pytest.mark.slow
def test_answers_that_boto3_cannot_parse_are_samples_too(tmp_path: Path) -> None:
    """Half of the answers are garbage: each attempt is recorded, none is lost, and nothing is left open."""
    run = tmp_path / "run"
    with running("rate=50,burst=50,fault_garbage=0.5", STOPS_AT_ONCE) as emulator:
        done = load(emulator, "StartChat", run, "-u", "5", "-r", "5", "-t", "4s", "--sdk-retries", "standard")
        theirs = ask(emulator, "state")["counts"]["StartChatContact"]
    ours = outcomes(run)["StartChatContact"]
    assert ours["service_error"] > 0
    assert ours.total() == sum(theirs.values()) == done["retry_lab"]["attempts"]
    assert done["generator"]["samples_lost"] == 0
