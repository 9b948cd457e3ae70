"""The probe of the participant's operations on real sockets, against an emulator that shares a bucket."""

import subprocess
from math import inf
from pathlib import Path

import pytest

from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, ask, command, environment
from tests.support.locust_runs import manifest

LIMITS = {
    "SendMessage": (40, 30),
    "GetTranscript": (50, 25),
    "CreateParticipantConnection": (30, 20),
    "DisconnectParticipant": (20, 10),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_limits_of_the_journey_are_found_with_a_handful_of_chats(tmp_path: Path) -> None:
    """One command finds each operation's rate and burst, and that messages and events share a bucket; nothing stays open."""
    spec = ",".join(f"{name}.rate={rate},{name}.burst={burst}" for name, (rate, burst) in LIMITS.items())
    with running(f"{spec},shared=SendMessage+SendEvent", STOPS_AT_ONCE) as emulator:
        options = ("--probe", "journey", "-u", "1", "-t", "4m", "--max-chats", "25")
        probing = command(emulator, "QuotaProbe", tmp_path / "run", *options)
        done = subprocess.run(
            probing, cwd=tmp_path, env=environment(emulator), capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "share one bucket" in done.stderr
        assert ask(emulator, "state")["open_chats"] == 0
    said = manifest(tmp_path / "run")
    found = said["journey_probe"]
    assert said["ended_by"] == "probe"
    assert said["chats"]["started"] <= 20
    for operation, (rate, burst) in {**LIMITS, "SendEvent": LIMITS["SendMessage"]}.items():
        limit = found["operations"][operation]
        assert limit["verdict"] == "explained", operation
        assert limit["rate"]["estimate"] == pytest.approx(rate, rel=0.1)
        most = limit["burst"]["high"]  # None: it was not seen full for certain, so only a lower bound is told
        assert limit["burst"]["low"] - 1 <= burst <= (inf if most is None else most + 1)
    assert found["messages_and_events_share"]["one_bucket"] == "yes"
    assert {one["one_bucket"] for one in found["chats_share"].values()} == {"yes"}
    assert found["calls_per_chat"]["SendMessage"] == 3.0
    assert found["binds_first"]["operation"] in ("SendMessage", "SendEvent")
