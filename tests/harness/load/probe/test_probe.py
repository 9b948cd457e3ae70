"""The quota probe on real sockets, against a service that keeps its own count."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import chatquota, locust, manifest, started


def probed(tmp_path: Path, server: CountingServer, *options: str) -> tuple[dict[str, Any], str]:
    """Probe the server to the end, with nothing left open; returns capacity.json and what was said."""
    command = locust(server, *options, "--stop-rate", "300", "--run-dir", str(tmp_path / "run"), user="QuotaProbe")
    with started(command, tmp_path, server) as running:
        done = running.wait(110)
    assert done.code == 0, done.said
    assert server.open_chats() == []
    with started(chatquota("report", str(tmp_path / "run")), tmp_path, server) as running:
        assert running.wait().code == 0
    run = manifest(tmp_path / "run")
    assert (run["ended_by"], run["status"], run["chats"]["left_open"]) == ("probe", "finished", 0)
    return json.loads((tmp_path / "run" / "capacity.json").read_text()), done.said


@pytest.mark.slow
def test_the_tps_limit_is_found_and_the_stages_are_written_down(tmp_path: Path) -> None:
    """One command finds rate and burst, ends the run, and the report says the same; each part of the record is told."""
    with counting_server("--rate", "40", "--burst", "26", "--active-chats", "9999", "--latency", "0.01") as server:
        capacity, said = probed(tmp_path, server, "-u", "3", "--probe", "tps")
    tps = capacity["tps"]
    assert (tps["verdict"], tps["limiter"]) == ("explained", "token_bucket")
    assert tps["rate"]["low"] <= 40.0 <= tps["rate"]["high"]
    assert tps["rate"]["estimate"] == pytest.approx(40.0, rel=0.01)
    assert tps["burst"] == {"estimate": 26, "low": 26, "high": 26}
    assert tps["evidence"]["sentence"] in said
    assert "starts a second under pressure" in said
    kinds = [stage["kind"] for stage in manifest(tmp_path / "run")["probe"]["stages"]]
    assert set(kinds) - {"again"} == {"pressure", "volley", "check"}
    assert kinds.count("volley") >= 5


@pytest.mark.slow
def test_the_chat_quota_is_found_and_nothing_stays_open(tmp_path: Path) -> None:
    """The quota is met, confirmed and told, for hardly more chats than it holds."""
    with counting_server("--rate", "40", "--burst", "26", "--active-chats", "45", "--latency", "0.01") as server:
        capacity, said = probed(tmp_path, server, "-u", "1", "--probe", "active-chats")
    chats = capacity["active_chats"]
    assert (chats["estimate"], chats["low"], chats["high"]) == (45, 45, 45)
    assert chats["evidence"]["sentence"] in said
    assert manifest(tmp_path / "run")["chats"]["started"] <= 47


@pytest.mark.slow
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
