"""Runs Locust as its users do, in processes of its own, against a counting server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.support.counting import CountingServer

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
BUSY = ("-u", "80", "-r", "80", "--hold", "60s", "--stop-rate", "400")
"""80 chats a second, of which none ends by itself for a minute."""


@dataclass
class Finished:
    """A process that has ended: its exit code and everything that it printed."""

    code: int
    said: str


@contextmanager
def started(command: list[str], cwd: Path, server: CountingServer, **environment: str) -> Iterator["Running"]:
    """Start a command, in a process group of its own, with the server's credentials; killed with its group at the end."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCUST_", "CHATQUOTA_"))},
        "AWS_ACCESS_KEY_ID": server.announcement["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": server.announcement["secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "CHATQUOTA_NO_SUMMARY": "true",  # a second a run, which only the tests of the table need
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    log = cwd / f"printed-{time.monotonic_ns()}.txt"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    running = Running(process, log)
    try:
        yield running
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@dataclass
class Running:
    """A process under test."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all its children, as Ctrl-C in a terminal does."""
        os.killpg(self.process.pid, number)

    def signal_group_twice(self, number: int, server: CountingServer) -> None:
        """Send it, and once more when chats are being stopped: the end that is under way meets another signal."""
        self.signal_group(number)
        wait_until_counted(server, lambda count: count["stopped"] > 0)
        self.signal_group(number)

    def wait(self, patience: float = PATIENCE) -> Finished:
        """Wait for its end, `patience` seconds at most."""
        return Finished(self.process.wait(patience), self.log.read_text("utf-8", "replace"))


def locust(server: CountingServer, *options: str, user: str = "StartChat") -> list[str]:
    """The command line of a headless Locust against the server."""
    return [*LOCUST, "--headless", user, "--host", server.endpoint, "--only-summary", *options]


def chatquota_environment(**environment: str) -> dict[str, str]:
    """The environment of a child process: nothing of the developer's own AWS, Locust or chatquota settings."""
    foreign = ("AWS_", "LOCUST_", "CHATQUOTA_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        **environment,
    }


LOCUST = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfile.py")]


def chatquota(*arguments: str) -> list[str]:
    """The command line of `chatquota`."""
    return [sys.executable, "-m", "harness", *arguments]


def wait_until_started(server: CountingServer, chats: int) -> None:
    """Wait until the server has started that many chats."""
    wait_until_counted(server, lambda count: count["started"] >= chats)


def wait_until_counted(server: CountingServer, enough: Callable[[dict[str, int]], bool]) -> None:
    """Wait until the server's count is `enough`."""
    give_up = time.monotonic() + PATIENCE
    while not enough(server.count()):
        assert time.monotonic() < give_up, f"only {server.count()} after {PATIENCE:g} s"
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    """The processes that a process started and that live."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes(workers: int) -> list[str]:
    """The options for that many worker processes, on a port that no other test's master has."""
    port = str(free_port())
    return ["--processes", str(workers), "--master-bind-port", port, "--master-port", port]


def manifest(directory: Path) -> dict[str, Any]:
    """The run's manifest."""
    read: dict[str, Any] = json.loads((directory / "run.json").read_bytes())
    return read


def samples(directory: Path) -> list[dict[str, Any]]:
    """Every sample in a run directory."""
    rows: list[dict[str, Any]] = []
    for path in sorted((directory / "samples").glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def compare(server: CountingServer, directory: Path) -> tuple[set[str], set[str]]:
    """(requests that the server took and the record lacks, requests that the record has and the server never saw)."""
    took = {entry["request_id"] for entry in server.record() if "did" in entry}
    ours = [row["request_id"] for row in samples(directory) if row["request_id"]]
    assert len(ours) == len(set(ours)), "a sample is there twice"
    return took - set(ours), set(ours) - took
