"""Brings what a worker on another machine left into the run directory: its ledger and samples, the originals."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import UsageError
from harness.recording.format.layout import PARQUET, SAMPLES, ledger_path, segments, tally_path
from harness.recording.format.ledger import LedgerRecord, read_ledgers
from harness.recording.journal import recover
from harness.recording.tally import alive_workers


@dataclass
class Brought:
    """How many samples came in that were not there before, and a line to print for each worker."""

    rows: int = 0
    lines: list[str] = field(default_factory=list)


def bring_in(directory: Path, run_id: str, sources: list[Path]) -> Brought:
    """Bring in the files of run `run_id` from the directories `sources`, or from `<source>/<run_id>`. Safe to repeat.

    Raises UsageError for a source that holds nothing of this run, or that a process is still writing.
    """
    brought = Brought()
    (directory / SAMPLES).mkdir(exist_ok=True)
    for source in sources:
        here = source / run_id if (source / run_id).is_dir() else source
        records = [record for record in _ledgers(here) if record.header and record.header.run_id == run_id]
        if not records:
            raise UsageError(
                f"--from {source}: it holds no ledger of run {run_id}; name the directory that a worker left"
            )
        if alive := alive_workers(here / SAMPLES):
            raise UsageError(f"--from {source}: {', '.join(alive)} still at work there; end these processes first")
        for record in records:
            _bring_worker(directory, here, record, brought)
    return brought


def _ledgers(directory: Path) -> list[LedgerRecord]:
    return read_ledgers(directory) if directory.is_dir() else []


def _bring_worker(directory: Path, source: Path, record: LedgerRecord, brought: Brought) -> None:
    worker = record.worker
    recover(source / SAMPLES, worker)
    there, here = (segments(where / SAMPLES, PARQUET, worker) for where in (source, directory))
    # What came over during the run is the beginning of what the worker has; its own files replace it where they hold more.
    more = _rows(there) - _rows(here)
    if more > 0:
        staged = []
        for path in there:
            copy = directory / SAMPLES / f"{path.name}.new"
            shutil.copyfile(path, copy)
            staged.append(copy)
        for path in here:
            path.unlink()
        for copy in staged:
            copy.rename(copy.with_suffix(""))
        brought.rows += more
    tally = tally_path(source / SAMPLES, worker)
    if tally.exists():
        shutil.copyfile(tally, directory / SAMPLES / tally.name)
    ledger = ledger_path(directory, worker)
    if not ledger.exists() or ledger.stat().st_size < record.path.stat().st_size:
        shutil.copyfile(record.path, ledger)
    brought.lines.append(f"{worker}: {max(more, 0):,} samples and its ledger brought in from {source}")


def _rows(files: list[Path]) -> int:
    rows = 0
    for path in files:
        try:
            rows += pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError):
            continue
    return rows
