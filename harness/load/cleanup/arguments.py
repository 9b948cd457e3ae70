"""The command line of `chatquota cleanup`."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Parser, UsageError
from harness.load.stopping.pace import DEFAULT_STOP_RATE


@dataclass(frozen=True)
class CleanupOptions:
    """What `chatquota cleanup` was asked for. `stop_rate` is calls per second (0: the default), times are in seconds."""

    run: Path | None
    sources: tuple[Path, ...]
    sweep: bool
    run_id: str
    host: str
    region: str
    instance_id: str
    stop_rate: float
    call_timeout: float
    wait: float
    yes: bool
    trust_ledger: bool


def read_arguments(argv: list[str]) -> CleanupOptions:
    """Return the options that `argv` gives. Ends with one line and exit code 2 where they are wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.run is None and not (given.sweep and given.run_id):
        parser.error("name a run directory, or give --sweep --run-id ID")
    if given.run is not None and not _is_directory(given.run):
        raise UsageError(f"{given.run}: no such directory; name one under runs/, or give --sweep --run-id ID")
    given.sources = tuple(given.sources)
    return CleanupOptions(**vars(given))


def _parser() -> Parser:
    parser = Parser(
        prog="chatquota cleanup", description="Stop the chats that a run left open and complete its record."
    )
    add = parser.add_argument
    add("run", nargs="?", type=Path, metavar="RUN", help="the run directory")
    add(
        "--from",
        dest="sources",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="a directory that a worker on another machine left for this run; may be given again",
    )
    add("--sweep", action="store_true", help="find the chats by their attribute instead of by a ledger")
    add("--run-id", default="", metavar="ID", help="the run to sweep; its directory is not needed")
    add("--host", default="", metavar="URL", help="the endpoint (default: the run's, or the Region's)")
    add("--region", default="", help="AWS Region (default: the run's, or the usual AWS configuration)")
    add("--instance-id", default="", help="Amazon Connect instance (default: the run's)")
    add(
        "--yes",
        action="store_true",
        help="stop chats of a live target or of another machine's run without asking",
    )
    add(
        "--trust-ledger",
        action="store_true",
        help="of another machine's run, stop chats too that a search by attribute does not show as its own",
    )
    add(
        "--stop-rate",
        type=_rate,
        default=0.0,
        metavar="RATE",
        help=f"StopContact calls per second (default: {DEFAULT_STOP_RATE:g})",
    )
    add("--call-timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for each call (default: 30)")
    add(
        "--wait",
        type=_rate,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for workers of the run that are still ending their part (default: 120)",
    )
    return parser


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or has a NUL in it
        return False


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more; give one such as 9")
    return number


def _seconds(text: str) -> float:
    number = _rate(text)
    if not number:
        raise argparse.ArgumentTypeError("0 is too short; give a number of seconds such as 30")
    return number
