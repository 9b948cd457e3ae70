"""Runs `chatquota runs`: the runs below a directory and their answers, newest first."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import UsageError
from harness.recording.format.layout import MANIFEST
from harness.recording.format.manifest import Manifest, read_manifest
from reports.capacity.load import load_capacity
from reports.capacity.model import ActiveChats, Interval, Tps
from reports.wording.numbers import number, utc


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


def list_runs(directory: Path, at_most: int) -> int:
    """Print the newest runs below `directory`; return 0. Raises UsageError where there is no such directory."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; name the one that holds run directories, such as runs")
    rows = sorted(filter(None, map(_row, directory.glob(f"*/{MANIFEST}"))), key=lambda row: row.began, reverse=True)
    console = Console()
    if not console.is_terminal:  # a pipe has no width to keep to
        console = Console(width=200)
    if not rows:
        console.print(f"no runs below {directory}/; `chatquota run` makes one")
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "began", "user class", "target", "end", "TPS limit", "active chats"):
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    for row in rows[:at_most]:
        began = utc(row.began) if row.began else "-"
        cells = (str(row.path), began, row.user_class, row.target, row.end, row.tps, row.active_chats)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if len(rows) > at_most:
        console.print(f"and {len(rows) - at_most} older; --all shows them")
    return 0


def _row(path: Path) -> Row | None:
    """The row of the run whose manifest is `path`; None where that cannot be read as one."""
    try:
        run = read_manifest(path.parent).contents
    except (UsageError, OSError):
        return None
    try:
        answer = load_capacity(path.parent)
        limits = (_tps(answer.tps), _limit(answer.active_chats, answer.active_chats))
    except UsageError:
        limits = ("no report yet", "")
    target = run.target.kind or ("live" if run.target.live else "lab")
    return Row(path.parent, run.started_at or 0.0, run.user_class, target, _end(run), *limits)


def _end(run: Manifest) -> str:
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
