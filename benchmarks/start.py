"""How long one waits before anything happens: `locust --list`, the first call of a headless run, and `chatquota report`.

Each is a fresh process, in turn with its rival: `locust --list` with a locustfile of one empty user class; the first call of
a headless run of a Locust user (FastHttpUser, one GET) against the same server; for the report the same command without
figures. Wall time and CPU (user and system, of the process and its children); the ratios are of CPU, which other work on the
machine changes less. The first call is timed by a server that answers each with a 404; the run is ended when it has come.
All is compiled before, as after an installation: bytecode goes to a place of its own, and a first round is not counted.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bench

_LIST = "from locust import User, task\n\n\nclass Bare(User):\n    @task\n    def nothing(self): pass\n"
_CALL = (
    "from locust import FastHttpUser, task\n\n\nclass Bare(FastHttpUser):\n"
    "    @task\n    def call(self): self.client.get('/')\n"
)
_NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)
_SECONDS = "60s"


@dataclass(frozen=True)
class Wait:
    """What one process took: seconds of the clock until what one waits for, and of CPU until then."""

    wall: float
    cpu: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 where a wait is over the ratio that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="alternated rounds of each (default: 7)")
    rounds = parser.parse_args(argv).rounds
    print(bench.machine())
    with tempfile.TemporaryDirectory(prefix="bench-start-") as scratch:
        directory = Path(scratch)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
        (directory / "list.py").write_text(_LIST)
        (directory / "call.py").write_text(_CALL)
        run = _small_run(directory)
        report = [sys.executable, "-m", "harness", "report", str(run), "--quiet"]
        rows, good = [], True
        pairs: list[tuple[str, str, float, Callable[[], Wait], Callable[[], Wait]]] = [
            (
                "locust --list",
                "one empty user class",
                1.41,
                lambda: _whole([sys.executable, "-m", "locust", "-f", str(bench.ROOT / "locustfile.py"), "--list"]),
                lambda: _whole([sys.executable, "-m", "locust", "-f", str(directory / "list.py"), "--list"]),
            ),
            (
                "first call of a headless run",
                "FastHttpUser",
                2.0,
                lambda: _first_call(
                    lambda url: bench.locust(["StartChat", *_headless(url), "--run-dir", _new(directory)])
                ),
                lambda: _first_call(lambda url: bench.locust(_headless(url), directory / "call.py")),
            ),
            (
                "chatquota report",
                "without figures",
                2.0,
                lambda: _whole(report),
                lambda: _whole([*report, "--no-figures"]),
            ),
        ]
        for name, rival_name, wanted, ours, rival in pairs:
            mine, theirs = [], []
            ours(), rival()
            for _ in range(rounds):
                mine.append(ours())
                theirs.append(rival())
            ratio = statistics.median(a.cpu / b.cpu for a, b in zip(mine, theirs, strict=True))
            good = good and ratio <= wanted
            rows.append([name, *_cells(mine), rival_name, *_cells(theirs), f"{ratio:.2f}", f"{wanted:g}"])
    print(bench.table(["", "wall s", "CPU s", "rival", "wall s", "CPU s", "ratio of CPU", "wanted"], rows))
    return 0 if good else 1


def _cells(waits: Sequence[Wait]) -> tuple[str, str]:
    return bench.spread([wait.wall for wait in waits], ".2f"), bench.spread([wait.cpu for wait in waits], ".2f")


def _headless(url: str) -> list[str]:
    return ["--host", url, "-u", "1", "-r", "1", "-t", _SECONDS, "--only-summary", "--exit-code-on-error", "0"]


def _new(directory: Path) -> str:
    return tempfile.mkdtemp(dir=directory) + "/run"


def _whole(command: Sequence[str]) -> Wait:
    """Wait for the end of `command`."""
    cpu, began = _children_cpu(), time.perf_counter()
    subprocess.run(command, cwd=bench.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Wait(time.perf_counter() - began, _children_cpu() - cpu)


def _first_call(command: Callable[[str], Sequence[str]]) -> Wait:
    """Wait for the first call that `command(url)` makes, and end it then. Raises RuntimeError where none comes."""
    came = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server, came), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.perf_counter()
        process = subprocess.Popen(command(url), cwd=bench.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not came.wait(60):
                raise RuntimeError("no call came")
            return Wait(time.perf_counter() - began, bench.cpu_seconds(process.pid))
        finally:
            process.kill()
            process.wait()


def _answer(server: socket.socket, came: threading.Event) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            try:
                if connection.recv(65536):
                    came.set()
                connection.sendall(_NOT_FOUND)
            except OSError:
                pass


def _small_run(directory: Path) -> Path:
    """Make a run of a few seconds against the embedded emulator."""
    run = directory / "small"
    emulator = subprocess.Popen(
        [sys.executable, "-m", "harness.emulator", "--lifeline"],
        cwd=bench.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert emulator.stdout is not None
        endpoint = emulator.stdout.readline().split('"endpoint": "')[1].split('"')[0]
        arguments = ["StartChat", "--host", endpoint, "-u", "20", "-r", "20", "-t", "8s", "--run-dir", str(run)]
        subprocess.run(
            bench.locust(arguments), cwd=bench.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
    finally:
        emulator.terminate()
        emulator.wait(10)
    return run


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
