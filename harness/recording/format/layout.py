"""Every name in a run directory: what its files are called, which names are its own, and how a new directory is made."""

import os
import re
import secrets
import time
from pathlib import Path

from harness.errors import UsageError

RUN_SCHEMA = 1
"""Version of the run directory: of `run.json`, of the ledger and of the columns of samples."""

MANIFEST = "run.json"
SAMPLES = "samples"
LOCK = ".lock"

JOURNAL = ".arrows"
"""A journal: an Arrow stream that grows while the run goes on (`samples/<worker>-<number>.arrows`)."""
PARQUET = ".parquet"
"""A finished segment of samples, of the same stem as the journal that it was made from."""
PARTIAL = ".partial"
"""A parquet file that is being written."""
DAMAGED = ".damaged"
"""A journal of which a part cannot be read: kept under this name after what could be read was converted."""
TALLY = ".tally"
"""The counters of a process (`samples/<worker>.tally`)."""

WORKER_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z"
_WORKER = re.compile(WORKER_PATTERN)
_LEDGER = re.compile(r"contacts\.(.+)\.jsonl", re.DOTALL)
_SEGMENT = re.compile(r"(.+)-(\d{5,9})", re.DOTALL)


def is_worker_name(name: str) -> bool:
    """Return whether `name` may be a worker's: letters, digits, `_`, `-` and `.`, no leading dot, 200 at most.

    Workers' names become file names, so nothing else is ever used as one, wherever it comes from.
    """
    return _WORKER.match(name) is not None


def check_worker_name(name: str, where: object) -> str:
    """Return `name`, or raise UsageError where it may not be a worker's; `where` says what named it."""
    if not is_worker_name(name):
        shown = name[:60] + ("..." if len(name) > 60 else "")
        raise UsageError(f"{where}: {shown!r} cannot be a worker's name; use letters, digits, '_', '-' and '.'")
    return name


def ledger_path(directory: Path, worker: str) -> Path:
    """Return where the ledger of `worker` is in a run directory."""
    return directory / f"contacts.{check_worker_name(worker, directory)}.jsonl"


def ledger_paths(directory: Path) -> dict[str, Path]:
    """Return the ledgers of a run directory by worker. Raises UsageError for one whose name holds no worker's."""
    found: dict[str, Path] = {}
    for path in _entries(directory):
        if match := _LEDGER.fullmatch(path.name):
            found[check_worker_name(match[1], directory)] = path
    return found


def tally_path(samples: Path, worker: str) -> Path:
    """Return where the counters of `worker` are, in the directory of the samples."""
    return samples / f"{check_worker_name(worker, samples)}{TALLY}"


def segment_path(samples: Path, worker: str, number: int, suffix: str) -> Path:
    """Return the name of segment `number` of a worker's samples."""
    return samples / f"{check_worker_name(worker, samples)}-{number:05d}{suffix}"


def segments(samples: Path, suffix: str, worker: str | None = None) -> list[Path]:
    """Return the segments with `suffix` (all, or those of `worker`) that chatquota itself may have named, in order."""
    found = []
    for path in _entries(samples):
        owner = _owner(path.stem)
        if path.suffix == suffix and owner is not None and worker in (None, owner):
            found.append(path)
    return found


def sample_files(samples: Path) -> list[Path]:
    """Return one file for each segment: its parquet file, or the journal that a killed run did not get to convert."""
    found: dict[str, Path] = {}
    for path in _entries(samples):
        if path.suffix == PARQUET or (path.suffix == JOURNAL and path.stem not in found):
            found[path.stem] = path
    return [found[stem] for stem in sorted(found)]


def workers_of(directory: Path) -> list[str]:
    """Return the workers that left samples or counters in a run directory."""
    found = set(workers_with_tally(directory / SAMPLES))
    for path in _entries(directory / SAMPLES):
        if path.suffix in (JOURNAL, PARQUET, DAMAGED) and (owner := _owner(path.stem)) is not None:
            found.add(owner)
    return sorted(found)


def workers_with_tally(samples: Path) -> list[str]:
    """Return the workers whose counters lie in the directory of the samples."""
    return [path.stem for path in _entries(samples) if path.suffix == TALLY and is_worker_name(path.stem)]


def _owner(stem: str) -> str | None:
    match = _SEGMENT.fullmatch(stem)
    return match[1] if match and is_worker_name(match[1]) else None


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def new_run_id(user_class: str, at: float | None = None) -> str:
    """Return a run's id: UTC time, user class and a random part, so that two machines never share one."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return f"{stamp}-{_slug(user_class)}-{secrets.token_hex(3)}"


def check_run_directory(chosen: str) -> None:
    """Raise UsageError when `chosen` (or the default, `runs/`) already holds a run or cannot be made or written to."""
    path = Path(chosen or "runs")
    try:
        if chosen and (path / MANIFEST).exists():
            raise UsageError(f"--run-dir {chosen}: it already holds a run; name a new directory")
        there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not there.is_dir():
            raise UsageError(f"--run-dir {path}: {there} is not a directory; name a new one")
        if not os.access(there, os.W_OK | os.X_OK) or there.absolute().is_relative_to("/proc"):
            raise UsageError(f"--run-dir {path}: {there} cannot be written to; name a writable one")
    except (OSError, ValueError) as error:
        raise UsageError(f"--run-dir {chosen!r}: {error}; name a writable one") from error


def create_run_directory(chosen: str, run_id: str) -> Path:
    """Create and return the directory of a run: `chosen`, or by default `runs/<UTC time>-<user class>`.

    Raises UsageError when `chosen` already holds a run or cannot be made.
    """
    try:
        if chosen:
            path = Path(chosen)
            if (path / MANIFEST).exists():
                raise UsageError(f"--run-dir {chosen}: it already holds a run; name a new directory")
            path.mkdir(parents=True, exist_ok=True)
            return path.resolve()
        base = Path("runs") / run_id.rsplit("-", 1)[0]
        for attempt in range(1, 1000):
            path = base if attempt == 1 else base.with_name(f"{base.name}-{attempt}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return path.resolve()
    except OSError as error:
        where = chosen or "runs/"
        raise UsageError(
            f"--run-dir {where}: {(error.strerror or 'cannot be made').lower()}; name a writable one"
        ) from error
    raise UsageError("runs/ holds a thousand runs of this second; give --run-dir")


def _slug(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
