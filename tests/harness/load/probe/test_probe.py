"""The quota probe on real sockets, against a service that keeps its own count."""

import json
from pathlib import Path

import pytest

from tests.support.counting import counting_server
from tests.support.locust_runs import chatquota, locust, manifest, started


def test_both_limits_are_found_and_nothing_stays_open(tmp_path: Path) -> None:
    """One command finds rate, burst and chat quota, stops every chat, ends the run, and the report says the same."""
    limits = ("--rate", "20", "--burst", "26", "--active-chats", "45", "--latency", "0.01")
    with counting_server(*limits) as server:
        command = locust(server, "-u", "3", "--stop-rate", "300", "--run-dir", str(tmp_path / "run"), user="QuotaProbe")
        with started(command, tmp_path, server) as running:
            done = running.wait()
        assert done.code == 0, done.said
        assert server.open_chats() == []
        with started(chatquota("report", str(tmp_path / "run")), tmp_path, server) as running:
            assert running.wait().code == 0
    capacity = json.loads((tmp_path / "run" / "capacity.json").read_text())
    tps, chats = capacity["tps"], capacity["active_chats"]
    assert (tps["verdict"], tps["limiter"]) == ("explained", "token_bucket")
    assert tps["rate"]["estimate"] == pytest.approx(20.0, rel=0.01)
    assert tps["rate"]["low"] <= 20.0 <= tps["rate"]["high"]
    assert tps["burst"] == {"estimate": 26, "low": 26, "high": 26}
    assert (chats["estimate"], chats["low"], chats["high"]) == (45, 45, 45)
    assert tps["evidence"]["sentence"] in done.said
    assert chats["evidence"]["sentence"] in done.said
    run = manifest(tmp_path / "run")
    assert (run["ended_by"], run["status"]) == ("probe", "finished")
    assert run["chats"]["left_open"] == 0
    assert run["chats"]["started"] <= 47


def test_the_budget_ends_the_probe(tmp_path: Path) -> None:
    """With --max-chats the probe starts exactly that many, says a bound, and exits as a guard does."""
    with counting_server("--rate", "20", "--burst", "26", "--active-chats", "45") as server:
        command = locust(
            server,
            "-u",
            "1",
            "--max-chats",
            "31",
            "--stop-rate",
            "300",
            "--run-dir",
            str(tmp_path / "run"),
            user="QuotaProbe",
        )
        with started(command, tmp_path, server) as running:
            done = running.wait()
        assert done.code == 4, done.said
        assert server.open_chats() == []
        assert server.count()["started"] == 31
