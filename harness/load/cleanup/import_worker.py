"""Copies what a worker on another machine left into the run directory: its ledger and samples, the originals."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.counting import counted
from harness.errors import UsageError
from harness.recording.format.files import check_own_directory, check_plain, open_plain
from harness.recording.format.layout import PARQUET, SAMPLES, is_worker_name, ledger_path, segments, tally_path
from harness.recording.format.ledger import LedgerRecord, read_ledgers
from harness.recording.journal import recover
from harness.recording.tally import alive_workers


@dataclass
class ImportedSamples:
    """How many samples were copied that were not there before, and a line to print for each worker."""

    rows: int = 0
    lines: list[str] = field(default_factory=list)


def import_workers(directory: Path, run_id: str, sources: Iterable[Path]) -> ImportedSamples:
    """Copy the files of run `run_id` from the directories `sources`, or from `<source>/<run_id>`. Safe to repeat.

    Raises UsageError for a source that holds nothing of this run, holds anything but plain files, calls its worker by
    something else than a name, or that a process is still writing.
    """
    imported = ImportedSamples()
    check_own_directory(directory / SAMPLES)
    (directory / SAMPLES).mkdir(exist_ok=True)
    for source in sources:
        here = source / run_id if is_worker_name(run_id) and (source / run_id).is_dir() else source
        if not here.is_dir():
            raise UsageError(f"--from {source}: no such directory; name the directory that a worker left")
        records = [record for record in read_ledgers(here) if record.header and record.header.run_id == run_id]
        if not records or not run_id:
            raise UsageError(
                f"--from {source}: it holds no ledger of run {run_id}; name the directory that a worker left"
            )
        check_own_directory(here / SAMPLES)
        if alive := alive_workers(here / SAMPLES):
            raise UsageError(f"--from {source}: {', '.join(alive)} still at work there; end these processes first")
        for record in records:
            _check_worker(record)
        for record in records:
            _import(directory, here, record, imported)
    return imported


def _check_worker(record: LedgerRecord) -> None:
    named = record.header.worker if record.header else ""
    if named != record.worker:
        raise UsageError(
            f"{record.path}: it calls its worker {named[:60]!r}; the name of the file says {record.worker!r}, so it is not "
            "a ledger that chatquota wrote"
        )


def _import(directory: Path, source: Path, record: LedgerRecord, imported: ImportedSamples) -> None:
    worker = record.worker
    imported.lines += recover(source / SAMPLES, worker).damaged
    there, here = (segments(where / SAMPLES, PARQUET, worker) for where in (source, directory))
    # What came over during the run is the beginning of what the worker has; its own files replace it where they hold more.
    more = _rows(there) - _rows(here)
    if more > 0:
        kept = {_copy(path, directory / SAMPLES) for path in there}
        for path in here:
            if path not in kept:
                path.unlink()
        imported.rows += more
    tally = tally_path(source / SAMPLES, worker)
    if tally.exists():
        _copy(tally, directory / SAMPLES)
    ledger = ledger_path(directory, worker)
    if not ledger.exists() or ledger.stat().st_size < record.path.stat().st_size:
        _copy(record.path, directory)
    imported.lines.append(f"{worker}: {counted(max(more, 0), 'sample')} and its ledger copied from {source}")


def _copy(path: Path, directory: Path) -> Path:
    """Copy a plain file into `directory`, under its own name, in one step; return where it is now."""
    fresh = directory / f".{path.name}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    try:
        with (
            os.fdopen(open_plain(path, os.O_RDONLY), "rb") as source,
            os.fdopen(open_plain(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        fresh.replace(directory / path.name)
    finally:
        fresh.unlink(missing_ok=True)
    return directory / path.name


def _rows(files: list[Path]) -> int:
    rows = 0
    for path in files:
        try:
            check_plain(path)
            rows += pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError, ValueError, MemoryError):
            continue
    return rows
