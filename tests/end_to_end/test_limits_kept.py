"""What a run may not do: overspend its budget, go live unguarded, or go on when it cannot be recorded."""

import json
import resource
import sys
from pathlib import Path

import pytest

from tests.support.counting import counting_server
from tests.support.locust_runs import LOCUST, chatquota, compare, locust, manifest, processes, started

LIVE = "http://0.0.0.0:"
"""This machine by a name that the harness takes for another one's, so that it is live."""


@pytest.mark.parametrize(
    ("workers", "users"),
    [
        (1, ("-u", "120", "-r", "120")),
        pytest.param(2, ("-u", "120", "-r", "120"), marks=pytest.mark.slow),
        pytest.param(3, ("-u", "1", "--starts-per-user", "120"), marks=pytest.mark.slow),
    ],
)
def test_the_budget_is_spent_to_the_last_chat_and_never_overshot(
    tmp_path: Path, workers: int, users: tuple[str, ...]
) -> None:
    """`--max-chats 137` starts exactly 137 with one, two and three workers, even where one of three has all the load, and
    where calls fail on the way; the run ends with exit code 4.
    """
    with counting_server("--latency", "0.02", "--faults", "0.2") as server:
        several = processes(workers) if workers > 1 else ()
        options = (*users, "--max-chats", "137", "--hold", "60s", "--stop-rate", "400", "--run-dir", "run", *several)
        with started(locust(server, *options), tmp_path, server) as run:
            done = run.wait()
        assert done.code == 4, done.said
        assert server.count()["started"] == 137
        assert server.count()["faults"] > 0
        assert server.count()["open"] == 0
        assert compare(server, tmp_path / "run") == (set(), set())
        assert manifest(tmp_path / "run")["ended_by"] == "budget"


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_still_stops_every_chat(tmp_path: Path) -> None:
    """When ledger or samples cannot be written the run says one line, starts nothing more, drains, and exits with 5."""
    script = f"import resource, sys; resource.setrlimit({resource.RLIMIT_FSIZE}, (12000, 12000)); " + (
        "import locust.main; sys.argv = sys.argv[1:]; locust.main.main()"
    )
    with counting_server("--latency", "0.01") as server:
        options = ("-u", "100", "-r", "100", "-t", "20s", "--stop-rate", "400", "--run-dir", "run", "--hold", "60s")
        command = [sys.executable, "-c", script, *locust(server, *options)[2:]]
        with started(command, tmp_path, server) as run:
            # The log is a file as well, and short: what matters is printed before it is full.
            done = run.wait()
        assert done.code == 5, done.said
        assert done.said.count("the run could not be recorded any more: ") == 1
        assert "Traceback" not in done.said
        assert server.count()["open"] == 0
        generator = manifest(tmp_path / "run")["generator"]
        missing, unknown = compare(server, tmp_path / "run")
        assert not unknown
        assert len(missing) == generator["samples_lost"]
        assert not generator["valid"]


@pytest.mark.slow
def test_a_live_run_says_what_it_will_do_before_its_first_call(tmp_path: Path) -> None:
    """Account, Region, instance, flow, load and the most that it may cost stand there before anything is started."""
    with counting_server() as server:
        announced = server.announcement
        host = server.endpoint.replace("http://127.0.0.1:", LIVE)
        options = ["--instance-id", announced["instance_id"], "--contact-flow-id", announced["contact_flow_id"]]
        options += ["--region", "us-east-1", "--live", "--approval", "CASE-7", "--max-chats", "5", "--any-hour"]
        options += ["-u", "20", "-r", "20", "--hold", "60s", "--run-dir", "run", "--price-per-message", "0.02"]
        command = [*LOCUST, "--headless", "StartChat", "--host", host, "--only-summary", *options]
        elsewhere = {f"AWS_ENDPOINT_URL_{name}": server.endpoint for name in ("STS", "SERVICE_QUOTAS", "CLOUDWATCH")}
        with started(command, tmp_path, server, **elsewhere) as run:
            done = run.wait()
        assert done.code == 4, done.said
        assert server.count()["started"] == 5
        assert server.count()["open"] == 0
    said = done.said[: done.said.index("recording in")]
    for part in (
        "account   000000000000",
        f"Region    us-east-1 ({host})",
        f"instance  {announced['instance_id']}",
        f"flow      {announced['contact_flow_id']}",
        "approval  CASE-7",
        "up to 20 starts/s (20 users x 1); at most 5 chats in all",
        "at most about 0.20 USD = 5 chats x 2 messages x 0.02 USD a message",
    ):
        assert part in said
    written = manifest(tmp_path / "run")
    assert written["target"]["live"] is True
    assert written["target"]["approval"] == "CASE-7"
    assert "error" in written["declared"]["tps"]  # it was asked for; this server does not know it


@pytest.mark.slow
def test_a_target_that_refuses_every_signature_ends_the_run_without_leaking_the_session_token(tmp_path: Path) -> None:
    """AWS echoes the signed request, token and all; neither the line that says so nor the manifest repeats it."""
    token = "session-token-" + "S3cr3t" * 12
    with counting_server("--deny") as server:
        command = locust(server, "-u", "50", "-r", "50", "--run-dir", "run", "-L", "DEBUG")
        with started(command, tmp_path, server, AWS_SESSION_TOKEN=token) as run:
            done = run.wait()
        assert done.code == 3, done.said
        assert "the target refuses every call, SignatureDoesNotMatch" in done.said
        secrets = server.secrets()
        assert token in secrets
    answers = manifest(tmp_path / "run")["answers"]
    assert answers[0]["message"].startswith("The request signature we calculated does not match")
    for text in (done.said, json.dumps(answers)):
        assert not any(secret in text for secret in secrets)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "name a run directory, or give --sweep --run-id ID"),
        (("nowhere",), "nowhere: no such directory; name one under runs/, or give --sweep --run-id ID"),
        (("empty",), "not a run directory: it holds neither run.json nor a ledger"),
        (("newer",), "written by a newer chatquota (schema 99, this one reads 1); upgrade"),
        (
            ("empty", "--stop-rate", "fast"),
            "argument --stop-rate: 'fast' is not a number of 0 or more; give one such as 9",
        ),
    ],
)
def test_cleanup_says_what_is_wrong_in_one_line(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    """A mistake on the command line is one line with what to do and exit code 2."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "run.json").write_text('{"schema": 99}')
    with counting_server() as server, started(chatquota("cleanup", *arguments), tmp_path, server) as run:
        done = run.wait()
    assert done.code == 2
    assert line in done.said
    assert len(done.said.strip().splitlines()) == 1
