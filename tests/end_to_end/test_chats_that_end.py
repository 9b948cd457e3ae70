"""A run whose chats the service ends by itself, as Amazon Connect does after five minutes without a connection."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.emulator.support import running
from tests.support.emulated import STOPS_AT_ONCE, load


@pytest.mark.slow
def test_the_quota_is_found_although_every_chat_ended_by_itself(tmp_path: Path) -> None:
    """Chats that are held for longer than the service lets them live are placed by what DescribeContact says of them."""
    run = tmp_path / "run"
    with running("rate=20,burst=20,active_chats=15,connect_timeout=4", STOPS_AT_ONCE) as emulator:
        manifest = load(emulator, "StartChat", run, "-u", "10", "-r", "10", "-t", "10s", "--hold", "1m")
    assert manifest["chats"]["already_ended"] >= 15
    subprocess.run([sys.executable, "-m", "harness", "report", str(run), "--no-figures"], check=True, timeout=60)
    found = json.loads((run / "capacity.json").read_bytes())["active_chats"]
    assert found["low"] is not None, found["evidence"]["sentence"]
    assert 13 <= found["low"] <= 15 <= found["high"] <= 16, found["evidence"]["sentence"]
    assert found["evidence"]["most_open"] <= 17
