"""`chatquota demo` (`make run`): a run against the embedded emulator that meets both limits, and its capacity report."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from harness.cli.run import packaged_locustfile
from harness.errors import EXIT_USAGE, Parser
from harness.recording.format.layout import MANIFEST, new_run_id

# AWS's documented defaults of the TPS throttle; a quota of active chats that fills within ten seconds at that rate.
EMULATOR = "rate=5,burst=8,active_chats=50"
USERS = 12
SECONDS = 22
SHAPE = "waves:3,5s,3s"
"""In the first rest the bucket fills again: only a bucket that is seen full twice tells its size, the burst."""
HOLD = "uniform:14s,22s"
"""No chat ends for some seconds after the quota is met, which shows the most chats that were open; then some end while the
load goes on, so that the quota is met again and again: met once, it is only a range."""
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())


def main(argv: list[str]) -> int:
    """Run the demonstration; return Locust's exit code, or the report's."""
    parser = Parser(prog="chatquota demo", description=__doc__)
    parser.add_argument("--run-dir", help="directory to record the run in (default: runs/<UTC time>-demo)")
    parser.add_argument(
        "--seconds", type=_seconds, default=SECONDS, help="how long load is offered at most (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    directory = Path(arguments.run_dir or Path("runs") / new_run_id("demo").rsplit("-", 1)[0])
    print(
        f"Offering {USERS} chat starts/s in waves for {arguments.seconds} s to an emulated Amazon Connect ({EMULATOR}) ..."
    )
    with subprocess.Popen(_command(directory, arguments)) as load, _ended_together(load):
        _show_progress(load, arguments.seconds)
    if load.returncode == EXIT_USAGE or not (directory / MANIFEST).exists():  # what is there is of an earlier run
        return load.returncode or 1
    report = subprocess.run([sys.executable, "-P", "-m", "harness", "report", str(directory)], check=False)
    return load.returncode or report.returncode


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds from 1 to 999999")
    return int(text)


@contextmanager
def _ended_together(load: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Let what ends this process end `load` in order first, so that it does not go on by itself."""
    came: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        came.append(number)
        load.terminate()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        yield
    finally:
        load.wait()  # Ctrl-C reaches it without us
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is pass_on:
                signal.signal(number, signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])


def _show_progress(load: "subprocess.Popen[bytes]", seconds: int) -> None:
    """Show how long load is still offered; the bar for stopping the chats is the run's own."""
    quiet = not sys.stderr.isatty()
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("offering load", total=seconds)
        while not progress.finished and load.poll() is None:
            try:
                load.wait(0.2)
            except subprocess.TimeoutExpired:
                progress.update(task, completed=min(progress.tasks[task].elapsed or 0.0, seconds))


def _command(directory: Path, arguments: argparse.Namespace) -> list[str]:
    return [
        # Without Locust's logging its tables stay away, which the report says better; warnings and errors still show.
        *(sys.executable, "-P", "-m", "harness", "run", "StartChat"),
        *(
            "--headless",
            "--only-summary",
            "--no-summary",
            "--skip-log-setup",
            "--locustfile",
            str(packaged_locustfile()),
        ),
        *("--users", str(USERS), "--load-shape", SHAPE, "--run-time", f"{arguments.seconds}s"),
        *("--hold", HOLD, "--emulator", EMULATOR, "--run-dir", str(directory)),
    ]
