"""A run with `--otel`, and what an OTLP receiver gets of it."""

from collections import Counter
from pathlib import Path

import pytest

from tests.harness.telemetry.receiver import Received, receiver
from tests.support.counting import counting_server
from tests.support.locust_runs import locust, manifest, processes, samples, started

BUSY = ("-u", "30", "-r", "30", "-t", "12s", "--hold", "1s", "--stop-rate", "400", "--run-dir", "run")
LIMITED = ("--latency", "0.01", "--rate", "10", "--burst", "10")


def exported_by(directory: Path, *options: str, otel: bool = True) -> Received:
    """Make a run that is refused now and then, and return what was exported."""
    with counting_server(*LIMITED) as server, receiver() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        command = locust(server, *BUSY, *options, *(("--otel",) if otel else ()))
        with started(command, directory, server, **environment) as run:
            done = run.wait()
        assert "run recorded" in done.said, done.said  # a busy machine may have made it late, which is not judged here
    return received


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_receiver_counts_attempts_by_outcome_as_the_record_does(tmp_path: Path, workers: int) -> None:
    """Refusals stay apart, every attempt is counted once, with workers too, and the resource says which run it was."""
    received = exported_by(tmp_path, *(processes(workers) if workers else ()))
    recorded = Counter((row["operation"], row["outcome"]) for row in samples(tmp_path / "run"))
    assert recorded["StartChatContact", "tps_throttled"] > 0
    wanted = {frozenset({("operation", name), ("outcome", outcome)}): n for (name, outcome), n in recorded.items()}
    assert received.values["chatquota.attempts"] == wanted
    assert received.values["chatquota.duration"] == wanted
    run = manifest(tmp_path / "run")
    ours = [each for each in received.resources if "chatquota.run_id" in each][-1]
    assert ours["chatquota.run_id"] == run["run_id"]
    assert ours["chatquota.user_class"] == "StartChat"
    assert ours["chatquota.target"].startswith("LAB emulator http://127.0.0.1:")
    assert received.exports > 2


@pytest.mark.slow
def test_every_instrument_that_is_documented_is_exported(tmp_path: Path) -> None:
    """Rates, chats, lateness, and the limit with its bounds are there; durations count from when a call was due."""
    received = exported_by(tmp_path)
    for name in ("chats.open", "chats.to_stop", "rate.offered", "rate.admitted", "lateness", "arrivals.dropped"):
        assert f"chatquota.{name}" in received.values, name
    limit = frozenset({("limit", "StartChatContact.rate")})
    low, high = (received.values[f"chatquota.limit.{bound}"][limit] for bound in ("low", "high"))
    assert low <= 10 <= high
    rows = [row for row in samples(tmp_path / "run") if row["outcome"] == "started"]
    key = frozenset({("operation", "StartChatContact"), ("outcome", "started")})
    waited = sum(row["received"] - row["scheduled"] for row in rows)
    assert received.sums["chatquota.duration"][key] == pytest.approx(waited)


@pytest.mark.slow
def test_locusts_own_metrics_tell_refusals_apart(tmp_path: Path) -> None:
    """`error.type` of Locust's histogram is the outcome, and starts that were served have none."""
    received = exported_by(tmp_path)
    recorded = Counter((row["operation"], row["outcome"]) for row in samples(tmp_path / "run"))
    started_ = received.values["locust.client.duration"][frozenset({("name", "StartChatContact")})]
    throttled = frozenset({("name", "StartChatContact"), ("error.type", "tps_throttled")})
    assert started_ == recorded["StartChatContact", "started"]
    assert received.values["locust.client.duration"][throttled] == recorded["StartChatContact", "tps_throttled"]


@pytest.mark.slow
def test_nothing_is_exported_unless_asked_for(tmp_path: Path) -> None:
    """Without `--otel` the receiver hears nothing, whatever the variables say."""
    assert exported_by(tmp_path, otel=False).exports == 0
