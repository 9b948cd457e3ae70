"""Samples on disk: an append-only journal while the run goes on, parquet files as it grows and at its end.

A parquet file is unreadable until its footer is written, so a killed run would lose all of it. Each batch of samples is
therefore first appended to an Arrow stream (`samples/<worker>.arrows`), of which every whole batch can be read back; full
segments and, at the end, the last one become `samples/<worker>-<n>.parquet`. `recover` finishes what a crash left.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.recording.format.schema import JOURNAL_SCHEMA, SAMPLE_SCHEMA

SEGMENT_ROWS = 262_144
ROW_GROUP_ROWS = 65_536
_SUFFIX = ".arrows"

Offload = Callable[[Callable[[], object]], None]
"""Runs a function to its end: in the caller, or on another thread while the caller's greenlet waits."""


def _here(work: Callable[[], object]) -> None:
    work()


class Journal:
    """Appends batches of samples of one worker to `directory`; `close` leaves parquet files only.

    Raises OSError when the disk is full or gone. What was appended before stays readable, and a batch that did not fit is
    taken back whole, so that a later one can follow when there is room again.
    """

    def __init__(self, directory: Path, worker: str, offload: Offload = _here) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._worker = worker
        self._offload = offload
        self._segment = -1
        self._rows = 0
        self.rows = 0
        self._fd = -1
        self._open()

    def append(self, batch: pa.RecordBatch) -> None:
        """Append a batch of JOURNAL_SCHEMA; it is in the file (the system's cache) when this returns."""
        self._write(batch.serialize())
        self._rows += batch.num_rows
        self.rows += batch.num_rows
        if self._rows >= SEGMENT_ROWS:
            self._roll()

    def close(self) -> None:
        """Turn what is left of the journal into parquet; safe to call again. After an OSError `recover` can finish it."""
        if self._fd < 0:
            return
        path, self._fd = self._path, self._shut()
        self._offload(lambda: _convert(path))

    def _roll(self) -> None:
        full, self._fd = self._path, self._shut()
        self._rows = 0
        self._open()
        self._offload(lambda: _convert(full))

    def _shut(self) -> int:
        os.close(self._fd)
        return -1

    def _open(self) -> None:
        # The next number that is free: an earlier process of the same name must not be written over.
        while True:
            self._segment += 1
            self._path = self._directory / f"{self._worker}-{self._segment:05d}{_SUFFIX}"
            if not self._path.with_suffix(".parquet").exists():
                try:
                    self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                    break
                except FileExistsError:
                    pass
        self._good = 0
        self._write(JOURNAL_SCHEMA.serialize())

    def _write(self, message: pa.Buffer) -> None:
        try:
            written = os.write(self._fd, message)
            if written != message.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._fd, self._good)
            os.lseek(self._fd, self._good, os.SEEK_SET)
            raise
        self._good += written


def recover(directory: Path, worker: str | None = None) -> int:
    """Turn the journals that a killed process left in `directory` into parquet; return the rows brought in.

    Takes every worker's journals, or only those of `worker`. Safe to repeat. The last batch of each, if it was being written
    at the kill, is cut off. Must not run beside a live process, whose journals it would take away.
    """
    for partial in directory.glob("*.partial"):
        partial.unlink(missing_ok=True)
    pattern = "*" if worker is None else f"{worker}-[0-9][0-9][0-9][0-9][0-9]"
    return sum(_convert(path) for path in sorted(directory.glob(pattern + _SUFFIX)))


def read_journal(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield each whole batch of the journal at `path`, and stop in silence where it was torn."""
    try:
        with pa.memory_map(os.fspath(path)) as source, pa.ipc.open_stream(source) as stream:
            yield from stream
    except (pa.ArrowInvalid, OSError):
        return


def _convert(path: Path) -> int:
    target = path.with_suffix(".parquet")
    partial = path.with_suffix(".partial")
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        pending: list[pa.RecordBatch] = []
        held = 0
        for batch in read_journal(path):
            pending.append(batch)
            held += batch.num_rows
            if held >= ROW_GROUP_ROWS:
                writer = _write(writer, partial, pending)
                rows, held, pending = rows + held, 0, []
        if pending:
            writer = _write(writer, partial, pending)
            rows += held
        if writer is not None:
            writer.close()
    except OSError:
        partial.unlink(missing_ok=True)  # the journal is still there
        raise
    if writer is not None:
        partial.replace(target)
    path.unlink(missing_ok=True)
    return rows


def _write(writer: pq.ParquetWriter | None, path: Path, batches: list[pa.RecordBatch]) -> pq.ParquetWriter:
    if writer is None:
        writer = pq.ParquetWriter(path, SAMPLE_SCHEMA, compression="zstd")
    table = pa.Table.from_batches(batches).combine_chunks().cast(SAMPLE_SCHEMA)
    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    return writer
