"""Whatever signal ends a run, it is ended in order: every attempt is recorded, every chat ended or known."""

import signal
import time
from pathlib import Path

import pytest

from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import (
    BUSY,
    Finished,
    chatquota,
    compare,
    free_port,
    locust,
    manifest,
    processes,
    samples,
    started,
    wait_until_counted,
    wait_until_started,
)


def assert_ended_in_order(done: Finished, server: CountingServer, run: Path) -> None:
    """The run ended with 0 and without a traceback, holds every attempt, and no chat is open."""
    assert done.code == 0, done.said
    assert "Traceback" not in done.said
    assert compare(server, run) == (set(), set())
    assert server.count()["open"] == 0


@pytest.mark.slow
def test_interrupting_the_whole_process_group_loses_nothing(tmp_path: Path) -> None:
    """Ctrl-C, which reaches master and workers at once, ends the run in order: all samples in, no chat open, exit code 0."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *BUSY, "--run-dir", "run", *processes(2))
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group(signal.SIGINT)
            done = run.wait()
        assert_ended_in_order(done, server, tmp_path / "run")
        written = manifest(tmp_path / "run")
        assert (written["status"], written["ended_by"], written["exit_code"]) == ("finished", "signal", 0)
        assert written["chats"]["started"] == written["chats"]["stopped"] == server.count()["started"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_terminal_that_goes_away_ends_the_run_in_order(workers: int, tmp_path: Path) -> None:
    """SIGHUP, which the end of an SSH session sends to all processes of the run, leaves no chat open."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *BUSY, "--run-dir", "run", *(processes(workers) if workers else []))
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group(signal.SIGHUP)
            done = run.wait()
        assert_ended_in_order(done, server, tmp_path / "run")
        assert manifest(tmp_path / "run")["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_follows_a_load_shape(number: int, workers: int, tmp_path: Path) -> None:
    """Locust has no handler of SIGTERM while it follows a shape; the run is ended in order all the same, and at once."""
    shape = ("--load-shape", "soak:1h", *BUSY, "--run-dir", "run", *(processes(workers) if workers else []))
    with counting_server("--latency", "0.02") as server:
        with started(locust(server, *shape), tmp_path, server) as run:
            wait_until_started(server, 60)
            run.process.send_signal(number)
            done = run.wait()
        assert_ended_in_order(done, server, tmp_path / "run")
        written = manifest(tmp_path / "run")
        assert (written["status"], written["ended_by"]) == ("finished", "signal")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_master_that_waits_for_its_workers_can_be_ended(number: int, tmp_path: Path) -> None:
    """It leaves with exit code 4 and one line: nothing was started."""
    master = ("--master", "--master-bind-port", str(free_port()), "--expect-workers", "2", "--loglevel", "DEBUG")
    with counting_server() as server, started(locust(server, *master), tmp_path, server) as run:
        while "Waiting for workers" not in run.log.read_text("utf-8"):
            pass
        run.process.send_signal(number)
        done = run.wait()
    assert done.code == 4, done.said
    assert "ended before its workers came; nothing was started" in done.said
    assert "Traceback" not in done.said


@pytest.mark.slow
def test_nohup_keeps_a_run_going_when_its_terminal_goes_away(tmp_path: Path) -> None:
    """A process that was started to ignore SIGHUP ignores it: the run goes on to the end of its time."""
    with counting_server() as server:
        command = ["nohup", *locust(server, "-u", "20", "-r", "20", "-t", "5s", "--run-dir", "run")]
        with started(command, tmp_path, server) as run:
            wait_until_started(server, 10)
            run.signal_group(signal.SIGHUP)
            done = run.wait()
        assert done.code == 0, done.said
        assert manifest(tmp_path / "run")["ended_by"] == "run_time"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demonstration_that_is_ended_ends_its_load_first(number: int, tmp_path: Path) -> None:
    """A signal to `chatquota demo` alone ends in order the run that it started, and then itself."""
    with counting_server() as server:
        with started(chatquota("demo", "--run-dir", "run"), tmp_path, server) as demo:
            while not list((tmp_path / "run").glob("contacts.*")):
                pass
            demo.process.send_signal(number)
            done = demo.wait()
        assert done.code == -number
        written = manifest(tmp_path / "run")
        assert (written["status"], written["ended_by"]) == ("finished", "signal")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_sigterm_changes_nothing(workers: int, tmp_path: Path) -> None:
    """The ending that is under way goes on to its end, without a traceback; so it does where the signal comes at its end."""
    slow = [*BUSY[:-1], "20", *(processes(workers) if workers else [])]
    with counting_server("--latency", "0.02") as server:
        with started(locust(server, *slow, "--run-dir", "run"), tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group_twice(signal.SIGTERM, server)
            wait_until_counted(server, lambda count: count["open"] == 0)
            run.signal_group(signal.SIGTERM)
            done = run.wait()
        assert done.code == 0, done.said
        assert "Traceback" not in done.said
        assert server.count()["open"] == 0
        assert manifest(tmp_path / "run")["status"] == "finished"


@pytest.mark.slow
def test_a_second_interrupt_leaves_a_whole_ledger_that_cleanup_finishes(tmp_path: Path) -> None:
    """Impatience costs no knowledge: the run exits at once with code 5, and cleanup ends exactly the chats still open."""
    slow = [*BUSY[:-1], "2"]
    with counting_server("--latency", "0.02") as server:
        with started(locust(server, *slow, "--run-dir", "run"), tmp_path, server) as run:
            wait_until_started(server, 60)
            run.signal_group_twice(signal.SIGINT, server)
            done = run.wait()
        left = server.count()["open"]
        assert done.code == 5
        assert left > 0
        assert f"{left} chats are still open; `chatquota cleanup" in done.said
        assert "Traceback" not in done.said
        assert compare(server, tmp_path / "run") == (set(), set())
        with started(chatquota("cleanup", "run", "--stop-rate", "400"), tmp_path, server) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert f"{left} chats were open: {left} ended now, 0 still open" in cleaned.said
        assert server.count()["open"] == 0
        assert server.count()["gone"] == 0
        with started(chatquota("cleanup", "run"), tmp_path, server) as again:
            assert "no chat of this run is open" in again.wait().said


@pytest.mark.slow
@pytest.mark.parametrize("retries", ["off", "legacy"])
def test_a_second_interrupt_during_slow_calls_loses_no_chat(tmp_path: Path, retries: str) -> None:
    """Answers that would come too late are not waited for: each start is a sample, and cleanup finds and ends its chat."""
    slow = ("-u", "20", "-r", "20", "--hold", "60s", "--stop-rate", "400", "--sdk-retries", retries, "--run-dir", "run")
    with counting_server("--latency", "6") as server:
        with started(locust(server, *slow), tmp_path, server) as run:
            wait_until_started(server, 20)
            run.signal_group(signal.SIGINT)
            before = -1
            while (count := server.count()["started"]) != before:  # until the arrivals are over
                before = count
                time.sleep(0.5)
            run.signal_group(signal.SIGINT)
            done = run.wait()
        assert done.code == 5, done.said
        assert "Traceback" not in done.said
        chats = server.count()["started"]
        written = manifest(tmp_path / "run")
        assert written["chats"]["unanswered"] >= 20
        assert written["chats"]["unanswered"] + written["chats"]["started"] == chats
        assert len([row for row in samples(tmp_path / "run") if row["operation"] == "StartChatContact"]) == chats
        with started(chatquota("cleanup", "run", "--stop-rate", "400"), tmp_path, server) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert server.count()["open"] == 0


@pytest.mark.slow
def test_sigterm_drains_a_hundred_chats_within_a_grace_of_20_s(tmp_path: Path) -> None:
    """What a container engine does: SIGTERM, then 20 seconds, at the default pace of StopContact. Nothing is left."""
    with counting_server("--latency", "0.02") as server:
        command = locust(server, "-u", "10", "-r", "10", "--hold", "600s", "--run-dir", "run")
        with started(command, tmp_path, server, CHATQUOTA_NO_SUMMARY="false") as run:
            wait_until_started(server, 100)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(20) == 0
        assert server.count()["open"] == 0
        written = manifest(tmp_path / "run")
        assert written["chats"]["stopped"] == written["chats"]["started"] >= 100
        assert (written["ended_by"], written["exit_code"]) == ("signal", 0)
