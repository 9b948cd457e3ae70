"""Samples on disk: an append-only journal while the run goes on, parquet files as it grows and at its end.

A parquet file is unreadable until its footer is written, so a killed run would lose all of it. Each batch of samples is
therefore first appended to an Arrow stream (`samples/<worker>.arrows`), of which every whole batch can be read back; full
segments and, at the end, the last one become `samples/<worker>-<n>.parquet`. `recover` finishes what a crash left.

`main` is what a process of the lowest priority does with full segments, so that they hold nobody up.
"""

import errno
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from harness.counting import counted
from harness.recording.format.files import check_own_directory, open_plain
from harness.recording.format.journal import JournalReader
from harness.recording.format.layout import DAMAGED, JOURNAL, PARQUET, PARTIAL, segment_path, segments
from harness.recording.format.schema import JOURNAL_SCHEMA, SAMPLE_SCHEMA, conform

SEGMENT_ROWS = 262_144
ROW_GROUP_ROWS = 65_536
_MOST_WAITING = 4
"""Full segments that may wait for others to encode them: then the disk is the better for their being encoded at once."""

Offload = Callable[[Callable[[], object]], None]
"""Runs a function to its end: in the caller, or on another thread while the caller's greenlet waits."""


class Encoding(Protocol):
    """A journal that is turned into parquet by somebody else."""

    def is_over(self) -> bool:
        """Tell whether nobody is at it any more, done or not."""

    def stop(self) -> None:
        """End it now, done or not."""


Elsewhere = Callable[[Path], Encoding]
"""Begins to turn a journal into parquet somewhere else. Raises OSError where it cannot."""


def _here(work: Callable[[], object]) -> None:
    work()


class Journal:
    """Appends batches of samples of one worker to `directory`; `close` leaves parquet files only.

    Full segments are encoded `elsewhere`, one at a time, while the next one is written; without it, or where that does not
    come to an end, by `offload`. Raises OSError when the disk is full or gone. What was appended before stays readable, and
    a batch that did not fit is taken back whole, so that a later one can follow when there is room again.
    """

    def __init__(
        self, directory: Path, worker: str, offload: Offload = _here, elsewhere: Elsewhere | None = None
    ) -> None:
        check_own_directory(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._worker = worker
        self._offload = offload
        self._elsewhere = elsewhere
        self._full: deque[Path] = deque()  # segments that are not known to be parquet
        self._tried: set[Path] = set()  # what was begun elsewhere once
        self._encoding: Encoding | None = None
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
        elif self._encoding is not None and self._encoding.is_over():
            self._encode_next()

    def close(self) -> None:
        """Turn what is left of the journal into parquet; safe to call again. After an OSError `recover` can finish it."""
        if self._fd < 0:
            return
        self._full.append(self._path)
        self._fd = self._shut()
        self._encode_here(0)

    def _roll(self) -> None:
        self._full.append(self._path)
        self._fd = self._shut()
        self._rows = 0
        self._open()
        most = 0 if self._elsewhere is None else _MOST_WAITING
        if len(self._full) > most:
            self._encode_here(most)
        elif self._encoding is None or self._encoding.is_over():
            self._encode_next()

    def _encode_next(self) -> None:
        """Have the next full segment encoded elsewhere. One with which that has failed is left for the end."""
        assert self._elsewhere is not None
        self._encoding = None
        self._full = deque(path for path in self._full if path.exists())
        path = next((path for path in self._full if path not in self._tried), None)
        if path is not None:
            self._tried.add(path)
            with suppress(OSError):
                self._encoding = self._elsewhere(path)

    def _encode_here(self, rest: int) -> None:
        """Encode the oldest of the full segments until `rest` are left."""
        if self._encoding is not None:
            self._encoding.stop()
            self._encoding = None
        while len(self._full) > rest:
            path = self._full[0]
            if path.exists():
                self._offload(lambda: _convert(path))  # noqa: B023 - it has ended when this returns
            self._full.popleft()

    def _shut(self) -> int:
        os.close(self._fd)
        return -1

    def _open(self) -> None:
        # The next number that is free: an earlier process of the same name must not be written over.
        while True:
            self._segment += 1
            self._path = segment_path(self._directory, self._worker, self._segment, JOURNAL)
            if not any(self._path.with_suffix(other).exists() for other in (PARQUET, DAMAGED)):
                try:
                    self._fd = open_plain(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
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


@dataclass
class Recovered:
    """How many samples were converted, and a sentence for each journal of which a part cannot be read."""

    rows: int = 0
    damaged: list[str] = field(default_factory=list)


def recover(directory: Path, worker: str | None = None) -> Recovered:
    """Turn the journals that a killed process left in `directory`, the samples of a run, into parquet.

    Takes every worker's journals, or only those of `worker`. Safe to repeat. A journal that cannot be read to its end (its
    last batch was being written at the kill, or the file is damaged) is kept beside the parquet file under another name.
    Must not run beside a live process, whose journals it would take away. Raises UsageError where `directory` or a
    journal is a link, and OSError where nothing can be written.
    """
    check_own_directory(directory)
    for partial in segments(directory, PARTIAL, worker):
        partial.unlink(missing_ok=True)
    found = Recovered()
    for path in segments(directory, JOURNAL, worker):
        rows, damage = _convert(path)
        found.rows += rows
        found.damaged += [damage] if damage else []
    return found


def _convert(path: Path) -> tuple[int, str]:
    """Turn a journal into parquet; return its samples and a sentence on what could not be read, or ""."""
    journal = JournalReader(path)
    partial = path.with_suffix(PARTIAL)
    partial.unlink(missing_ok=True)
    try:
        rows, readable = _write(partial, journal)
        if rows:
            partial.replace(path.with_suffix(PARQUET))
    finally:
        partial.unlink(missing_ok=True)  # after an OSError the journal is still there
        pa.default_memory_pool().release_unused()  # or this thread's part of it keeps up to 80 MB
    if not journal.unread and readable:
        path.unlink(missing_ok=True)
        return rows, ""
    kept = path.with_suffix(DAMAGED)
    path.replace(kept)
    lost = f"its last {journal.unread:,} bytes" if readable else "some of its batches"
    read = counted(rows, "sample was", "samples were")
    return rows, f"{kept.parent.name}/{kept.name}: {lost} cannot be read; {read} read, the file is kept"


def _write(path: Path, batches: Iterable[pa.RecordBatch]) -> tuple[int, bool]:
    """Write what of `batches` are samples to the parquet file `path`: how many, and whether that was all."""
    import pyarrow.parquet as pq  # which nothing needs before a segment is full

    rows, readable = 0, True
    with pq.ParquetWriter(path, SAMPLE_SCHEMA, compression="zstd") as writer:
        for table in _row_groups(batches):
            try:
                samples = conform(table)
            except (ValueError, TypeError, pa.ArrowException):
                readable = False
                continue
            writer.write_table(samples, row_group_size=ROW_GROUP_ROWS)
            rows += samples.num_rows
    return rows, readable


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the batches put together into tables of about ROW_GROUP_ROWS."""
    pending: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        pending.append(batch)
        held += batch.num_rows
        if held >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(pending).combine_chunks()
            pending, held = [], 0
    if pending:
        yield pa.Table.from_batches(pending).combine_chunks()


def main(first: bytes) -> None:
    """Turn the journals whose names come on standard input, each with a zero byte behind it, into parquet, and write a byte
    after each. `first` was read already; the process ends with its input, whatever it is at.
    """
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    names: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_names, args=(first, names), daemon=True).start()
    while True:
        with suppress(OSError):  # such as a full disk: the journal is there still
            _convert(Path(os.fsdecode(names.get())))
        os.write(1, b".")


def _read_names(rest: bytes, names: "queue.SimpleQueue[bytes]") -> None:
    while True:
        *whole, rest = rest.split(b"\0")
        for name in whole:
            names.put(name)
        more = os.read(0, 65536)
        if not more:
            os._exit(1)
        rest += more
