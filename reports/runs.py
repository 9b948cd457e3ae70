"""Runs `chatquota runs`: the runs below a directory and their answers, newest first."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.counting import counted
from harness.errors import UsageError, one_line
from harness.recording.format.layout import MANIFEST, SAMPLES
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import Manifest, read_manifest
from harness.recording.lock import is_held
from reports.capacity.load import load_capacity
from reports.capacity.model import ActiveChats, Interval, Tps
from reports.wording.numbers import number, utc

_WIDEST = 200
"""Characters of the widest line, where a terminal or a pipe sets none."""


@dataclass(frozen=True)
class Row:
    """One run of the list: `end` is its exit code or what became of it, the limits are as a reader should see them."""

    path: Path
    began: float
    user_class: str
    target: str
    end: str
    tps: str
    active_chats: str
    open: bool
    """Whether it left chats open."""


def list_runs(directory: Path, at_most: int) -> int:
    """Print the newest runs below `directory`; return 0. Raises UsageError where there is no such directory."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; name the one that holds run directories, such as runs")
    rows = sorted(map(_row, _runs_below(directory)), key=lambda row: row.began, reverse=True)
    console = Console()
    if not console.is_terminal:  # a pipe has no width to keep to
        console = Console(width=_WIDEST)
    if not rows:
        console.print(f"no runs below {directory}/; `chatquota run` makes one")
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "began", "user class", "target", "end", "TPS limit", "active chats"):
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    for row in rows[:at_most]:
        cells = (
            one_line(str(row.path)),
            utc(row.began),
            row.user_class,
            row.target,
            row.end,
            row.tps,
            row.active_chats,
        )
        table.add_row(*(Text(cell) for cell in cells))
    # What the terminal has no room for goes on in its next line: cells that are folded to a few characters nobody reads.
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    if needed > console.width:
        console = Console(width=needed)
    console.print(table, crop=False)
    if len(rows) > at_most:
        console.print(f"and {len(rows) - at_most} older; --all shows them")
    if any(row.open for row in rows[:at_most]):
        console.print("`chatquota cleanup RUN` stops what a run left open")
    return 0


def _runs_below(directory: Path) -> list[Path]:
    return [each for each in directory.glob("*/") if (each / MANIFEST).exists() or (each / SAMPLES).is_dir()]


def _row(path: Path) -> Row:
    """The row of the run in the directory `path`."""
    try:
        run = read_manifest(path).contents
    except (UsageError, OSError):
        end = f"{MANIFEST} cannot be read" if (path / MANIFEST).exists() else f"{MANIFEST} is missing"
        return Row(path, _changed(path), "-", "-", end, "-", "-", open=False)
    try:
        answer = load_capacity(path)
        limits = (_tps(answer.tps), _limit(answer.active_chats, answer.active_chats))
    except UsageError:
        limits = ("no report yet", "")
    target = run.target.kind or ("live" if run.target.live else "lab")
    going_on = run.status == "running" and is_held(path)
    left = 0 if going_on else _left_open(path, run)
    end = "running" if going_on else _end(run)
    if left:
        end += f", {counted(left, 'chat')} open"
    return Row(path, run.started_at or _changed(path), run.user_class, target, end, *limits, open=left > 0)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _left_open(path: Path, run: Manifest) -> int:
    """How many chats the run left open, by its record, or where that was not completed by its ledgers."""
    if run.status != "running":
        return run.chats.left_open
    try:
        return len(merge_ledgers(read_ledgers(path)).open)
    except (UsageError, OSError):
        return 0


def _end(run: Manifest) -> str:
    if run.status == "running":
        return "killed"
    if run.status != "finished":
        return run.status or "unknown"
    if run.exit_code:
        return f"exit code {run.exit_code}"
    return "valid" if run.generator.valid else "not valid"


def _tps(tps: Tps) -> str:
    if not tps.exact and tps.sustained is not None:
        return f"sustains {number(tps.sustained.estimate)}/s"
    return _limit(tps.rate, tps, "/s")


def _limit(entry: Interval, limit: Tps | ActiveChats, unit: str = "") -> str:
    """A limit in few words: the estimate, or the bound of one that was not reached or not explained."""
    if limit.verdict == "explained" and entry.estimate is not None:
        return f"{number(entry.estimate)}{unit}"
    if entry.low:
        return f"at least {number(entry.low)}{unit}"
    return "not explained" if limit.verdict == "not_explained" else "-"
