"""However a run ends, the master's directory holds every attempt, and every chat is ended or known."""

import os
import re
import shlex
import signal
import time
from pathlib import Path

import boto3
import pytest

from tests.support.counting import counting_server
from tests.support.locust_runs import (
    BUSY,
    LOCUST,
    chatquota,
    children_of,
    compare,
    free_port,
    locust,
    manifest,
    processes,
    samples,
    started,
    wait_until_started,
)


@pytest.mark.slow
def test_commands_that_are_told_can_be_copied(tmp_path: Path) -> None:
    """A run in a directory whose name holds a space tells commands that a shell takes as they stand."""
    slow = [*BUSY[:-1], "2", "--run-dir", "my run"]
    with counting_server("--latency", "0.02") as server:
        with started(locust(server, *slow), tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group_twice(signal.SIGINT, server)
            done = run.wait()
        told = re.findall(r"`chatquota ([^`]*)`", done.said)
        assert {shlex.split(line)[0] for line in told} == {"cleanup", "report"}
        assert {shlex.split(line)[1] for line in told} == {str(tmp_path / "my run")}
        assert all(len(shlex.split(line)) == 2 for line in told)


@pytest.mark.parametrize("searchable", [True, False])
def test_a_run_killed_with_chats_open_is_finished_by_cleanup(tmp_path: Path, searchable: bool) -> None:
    """After kill -9 only calls on the wire may be unknown, and a search finds their chats; what is lost is counted."""
    options = () if searchable else ("--no-search",)
    with counting_server("--latency", "0.03", *options) as server:
        with started(locust(server, *BUSY, "--run-dir", "run"), tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group(signal.SIGKILL)
        killed_with = server.count()["open"]
        with started(chatquota("cleanup", "run", "--stop-rate", "400"), tmp_path, server) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        generator = manifest(tmp_path / "run")["generator"]
        missing, unknown = compare(server, tmp_path / "run")
        assert not unknown
        on_the_wire = len(missing) - generator["samples_lost"]
        assert 0 <= on_the_wire <= 10
        if searchable:
            assert server.count()["open"] == 0
        else:
            assert "could not be looked up" in cleaned.said
            assert server.count()["open"] <= on_the_wire
        assert server.count()["stopped"] >= killed_with - on_the_wire
        written = manifest(tmp_path / "run")
        assert (written["status"], written["ended_by"], written["exit_code"]) == ("recovered", "crash", 5)
        assert not generator["valid"]
        assert generator["samples_recorded"] == len(samples(tmp_path / "run"))


@pytest.mark.slow
def test_a_killed_worker_is_counted_and_its_chats_are_stopped_by_the_master(tmp_path: Path) -> None:
    """A worker killed on the master's machine: its journal is read, its chats end, its loss is exact, exit code 5."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *BUSY, "--run-dir", "run", *processes(2))
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 60)
            os.kill(children_of(run.process.pid)[0], signal.SIGKILL)
            wait_until_started(server, server.count()["started"] + 40)
            run.process.send_signal(signal.SIGTERM)
            done = run.wait()
        assert done.code == 5, done.said
        missing, unknown = compare(server, tmp_path / "run")
        generator = manifest(tmp_path / "run")["generator"]
        assert not unknown
        assert 0 <= len(missing) - generator["samples_lost"] <= 10
        assert len(generator["workers_lost"]) == 1
        assert server.count()["open"] <= len(missing) - generator["samples_lost"]
        with started(chatquota("cleanup", "run"), tmp_path, server) as cleanup:
            assert cleanup.wait().code == 0
        assert server.count()["open"] == 0


@pytest.mark.slow
def test_a_headless_master_ends_with_its_last_worker(tmp_path: Path) -> None:
    """A worker that was silent for so long that Locust stopped the load, and comes back: nobody waits for another run."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *BUSY, "--run-dir", "run", *processes(1))
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 60)
            worker = children_of(run.process.pid)[0]
            os.kill(worker, signal.SIGSTOP)
            while "The last worker went missing" not in run.log.read_text():
                assert run.process.poll() is None
                time.sleep(0.1)
            os.kill(worker, signal.SIGCONT)
            done = run.wait()
        assert done.code == 5, done.said
        assert "Traceback" not in done.said
        assert not manifest(tmp_path / "run")["generator"]["valid"]
        with started(chatquota("cleanup", "run"), tmp_path, server) as cleanup:
            assert cleanup.wait().code == 0
        assert server.count()["open"] == 0


@pytest.mark.slow
def test_workers_whose_master_is_killed_end_by_themselves(tmp_path: Path) -> None:
    """Workers stop offering load and stop their chats; cleanup waits for them and then has every sample."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *BUSY, "--run-dir", "run", *processes(2))
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 60)
            os.kill(run.process.pid, signal.SIGKILL)
            with started(chatquota("cleanup", "run", "--stop-rate", "400"), tmp_path, server) as cleanup:
                cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert "waiting for worker-0, worker-1" in cleaned.said
        assert server.count()["open"] == 0
        assert compare(server, tmp_path / "run") == (set(), set())
        assert manifest(tmp_path / "run")["status"] == "recovered"


@pytest.mark.slow
def test_cleanup_refuses_a_run_that_is_going_on(tmp_path: Path) -> None:
    """Cleanup never takes the journals of a live run away: one line, exit code 2, and the run goes on unharmed."""
    with counting_server() as server, started(locust(server, *BUSY, "--run-dir", "run"), tmp_path, server) as run:
        wait_until_started(server, 10)
        with started(chatquota("cleanup", "run"), tmp_path, server) as cleanup:
            refused = cleanup.wait()
        run.signal_group(signal.SIGINT)
        done = run.wait()
        assert refused.code == 2
        assert f"this run is still going on (process {run.process.pid}); end it first" in refused.said
        assert done.code == 0
        assert compare(server, tmp_path / "run") == (set(), set())


@pytest.mark.slow
def test_workers_on_other_machines_ship_everything_and_leak_nothing(tmp_path: Path) -> None:
    """Workers with disks of their own: the master's directory equals the server's record to the last call, and no secret of
    either side is in anything that was written or printed at DEBUG.
    """
    port = str(free_port())
    places = [tmp_path / name for name in ("master", "first", "second")]
    for place in places:
        place.mkdir()
    token = "session-token-" + "S3cr3t" * 12
    with counting_server("--rate", "60", "--burst", "20", "--faults", "0.1", "--fault-kinds", "500,503") as server:
        master = [*locust(server, "-u", "80", "-r", "80", "-t", "4s", "--hold", "1s", "--stop-rate", "400")]
        master += ["--master", "--master-bind-port", port, "--expect-workers", "2"]
        master += ["-L", "DEBUG", "--html", "page.html", "--csv", "table", "--json-file", "numbers"]
        worker = [*LOCUST, "--worker", "--master-port", port, "--run-dir", "mine", "-L", "DEBUG"]
        secret = {"AWS_SESSION_TOKEN": token}
        with (
            started(master, places[0], server, **secret) as run,
            started(worker, places[1], server, **secret),
            started(worker, places[2], server, **secret),
        ):
            done = run.wait()
        assert done.code == 0, done.said
        directory = next((places[0] / "runs").iterdir())
        assert compare(server, directory) == (set(), set())
        assert server.count()["open"] == 0
        outcomes = [row["outcome"] for row in samples(directory) if row["operation"] == "StartChatContact"]
        for outcome, counted in (
            ("started", "started"),
            ("tps_throttled", "tps_throttled"),
            ("service_error", "faults"),
        ):
            assert outcomes.count(outcome) == server.count()[counted]
        secrets = [secret.encode() for secret in server.secrets()]
        assert token.encode() in secrets
        assert len(secrets) > 50
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "page.html" for path in files)
    for path in files:
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), path
        assert b"AWS4-HMAC" not in content, path


@pytest.mark.slow
def test_a_killed_worker_elsewhere_is_completed_from_its_own_directory(tmp_path: Path) -> None:
    """What a worker on another machine had not shipped when it was killed comes in with `cleanup --from`."""
    port = str(free_port())
    places = [tmp_path / name for name in ("master", "first", "second")]
    for place in places:
        place.mkdir()
    with counting_server("--latency", "0.01") as server:
        master = [*locust(server, *BUSY, "--run-dir", "run"), "--master", "--master-bind-port", port]
        worker = [*LOCUST, "--worker", "--master-port", port, "--run-dir", "mine"]
        with (
            started([*master, "--expect-workers", "2"], places[0], server) as run,
            started(worker, places[1], server) as first,
            started(worker, places[2], server),
        ):
            wait_until_started(server, 60)
            first.signal_group(signal.SIGKILL)
            run.process.send_signal(signal.SIGINT)
            done = run.wait()
        assert done.code == 5, done.said
        back = chatquota("cleanup", "run", "--from", "../first/mine", "--from", "../second/mine", "--stop-rate", "400")
        with started(back, places[0], server) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert server.count()["open"] == 0
        missing, unknown = compare(server, places[0] / "run")
        assert not unknown
        assert len(missing) < 60


@pytest.mark.slow
@pytest.mark.parametrize("instance", [(), ("--not-searchable",)])
def test_a_sweep_finds_the_chats_of_a_run_of_which_nothing_is_left(instance: tuple[str, ...], tmp_path: Path) -> None:
    """Without a ledger the run's attribute is enough to find and stop its chats, searchable or not, and no other chat."""
    with counting_server(*instance) as server:
        client = boto3.client(
            "connect",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=server.announcement["access_key_id"],
            aws_secret_access_key=server.announcement["secret_access_key"],
        )
        customer = client.start_chat_contact(
            InstanceId=server.announcement["instance_id"],
            ContactFlowId="f",
            ParticipantDetails={"DisplayName": "somebody"},
            Attributes={"loadtest-run": "another-run"},
        )
        keep = locust(
            server, "-u", "30", "-r", "30", "--max-chats", "20", "--hold", "60s", "--keep-chats", "--run-dir", "run"
        )
        with started(keep, tmp_path, server) as run:
            assert run.wait().code == 4
        assert server.count()["open"] == 21
        run_id = manifest(tmp_path / "run")["run_id"]
        where = (
            "--host",
            server.endpoint,
            "--region",
            "us-east-1",
            "--instance-id",
            server.announcement["instance_id"],
        )
        with started(chatquota("cleanup", "--sweep", "--run-id", run_id, *where), tmp_path, server) as sweep:
            swept = sweep.wait()
        assert swept.code == 0, swept.said
        assert "20 stopped, 0 still open" in swept.said
        assert server.open_chats() == [customer["ContactId"]]


@pytest.mark.slow
def test_the_chats_of_an_embedded_emulator_end_with_it(tmp_path: Path) -> None:
    """A killed run of the lab leaves no chat behind: cleanup says so, completes the record, and has nothing to do again."""
    with counting_server() as server:  # for its credentials only; the run brings its own emulator
        command = [*LOCUST, "--headless", "StartChat", *BUSY, "--run-dir", "run", "--emulator", "rate=100,burst=100"]
        with started(command, tmp_path, server) as run:
            ledger = tmp_path / "run" / "contacts.local.jsonl"
            while not ledger.exists() or ledger.read_bytes().count(b"started") < 20:
                assert run.process.poll() is None, run.log.read_text()
            run.signal_group(signal.SIGKILL)
        with started(chatquota("cleanup", "run"), tmp_path, server) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert "chats ended with the run, and what it held with it" in cleaned.said
        assert manifest(tmp_path / "run")["chats"]["left_open"] == 0
        with started(chatquota("cleanup", "run"), tmp_path, server) as again:
            assert "no chat of this run is open" in again.wait().said
