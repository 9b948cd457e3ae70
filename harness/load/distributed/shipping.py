"""Brings samples and ledger lines from a worker whose disk is not the master's into the master's run directory.

Each item has a number. The worker keeps an item until the master has acknowledged that it is written, and sends it again
when that takes long; the master takes each number once, in order. So a connection that breaks loses and doubles nothing.
"""

import errno
import os
from collections import deque
from pathlib import Path

import pyarrow as pa

from harness.load.distributed.messages import BadMessage, Item
from harness.recording.format.files import open_plain
from harness.recording.format.layout import SAMPLES, ledger_path
from harness.recording.format.ledger import are_ledger_lines
from harness.recording.format.schema import JOURNAL_SCHEMA
from harness.recording.journal import Journal, Offload

SAMPLES_ITEM, LEDGER_ITEM = 0, 1
SEND_AGAIN_AFTER = 10.0
"""Seconds without an acknowledgement after which everything unacknowledged is sent again."""
_MOST_BYTES = 8 * 1024 * 1024  # in one message, so that no message keeps a heartbeat waiting

_MOST_LINES = 2_000  # in one item
_MOST_ROWS = 65_536  # in one batch

_MOST_UNPACKED = 256 * 1024 * 1024  # bytes in one item

_CODEC = pa.Codec("zstd")
_SIZE_BYTES = 8
_ON_THIS_THREAD = pa.ipc.IpcReadOptions(use_threads=False)  # handing columns to threads costs more than unpacking them


class Outbox:
    """The worker's side. Times are seconds on any one clock."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._batches: list[pa.RecordBatch] = []
        self._lines: list[bytes] = []
        self._last = 0
        self._sent = 0
        self._progress_at = 0.0

    def add_samples(self, batch: pa.RecordBatch) -> None:
        """Take a batch of samples to bring over."""
        self._batches.append(batch)

    def add_ledger_line(self, line: bytes) -> None:
        """Take a line of the ledger to bring over."""
        self._lines.append(line)

    def take(self, now: float) -> list[Item]:
        """Return the items for the next message: those not sent yet, or all again when no acknowledgement has come
        for long.
        """
        self._pack()
        if self._items and now - self._progress_at > SEND_AGAIN_AFTER:
            self._sent = self._items[0].number - 1
            self._progress_at = now
        taken: list[Item] = []
        size = 0
        for item in self._items:
            if item.number > self._sent:
                size += len(item.content)
                if taken and size > _MOST_BYTES:
                    break
                taken.append(item)
        if taken:
            self._sent = taken[-1].number
        return taken

    def acknowledged(self, number: int, now: float) -> None:
        """Note that the master has written every item up to `number`."""
        while self._items and self._items[0].number <= number:
            self._items.popleft()
        self._progress_at = now

    @property
    def empty(self) -> bool:
        """Whether everything that was added is written at the master's."""
        return not (self._items or self._batches or self._lines)

    @property
    def unsent(self) -> bool:
        """Whether the next `take` has something to give."""
        news = bool(self._batches or self._lines)
        return news or (bool(self._items) and self._items[-1].number > self._sent)

    def _pack(self) -> None:
        """Make one item of all batches that came since the last message, or a few of very many rows, and one of all lines:
        what each costs the master is for the item more than for what is in it.
        """
        if self._lines:
            lines, self._lines = self._lines, []
            for first in range(0, len(lines), _MOST_LINES):
                self._add(LEDGER_ITEM, b"".join(lines[first : first + _MOST_LINES]))
        if self._batches:
            batches, self._batches = self._batches, []
            for batch in pa.Table.from_batches(batches).combine_chunks().to_batches(max_chunksize=_MOST_ROWS):
                self._add(SAMPLES_ITEM, _packed(batch))

    def _add(self, kind: int, content: bytes) -> None:
        if not self._items:
            self._sent = self._last
        self._last += 1
        self._items.append(Item(self._last, kind, content))


class Inbox:
    """The master's side for one worker: writes what comes into the run directory. Raises OSError when that fails; the
    items that were not written stay unacknowledged.
    """

    def __init__(self, directory: Path, worker: str, offload: Offload) -> None:
        self._worker = worker
        self._directory = directory
        self._offload = offload
        self._journal: Journal | None = None
        self._ledger = -1
        self.rows = 0
        self.number = 0

    def receive(self, items: list[Item]) -> int:
        """Write the items that are new and follow on; return the number up to which everything is written.

        Raises BadMessage for an item that holds neither samples nor a line of a ledger; nothing of it is written.
        """
        for item in items:
            if item.number != self.number + 1:
                continue
            if item.kind == SAMPLES_ITEM:
                self._receive_samples(item.content)
            else:
                self._receive_lines(item.content)
            self.number = item.number
        return self.number

    def close(self) -> None:
        """Finish the files."""
        if self._journal is not None:
            self._journal.close()
        if self._ledger >= 0:
            os.close(self._ledger)
            self._ledger = -1

    def _receive_samples(self, content: bytes) -> None:
        batches = _read_samples(content)
        if self._journal is None:
            self._journal = Journal(self._directory / SAMPLES, self._worker, self._offload)
        for batch in batches:
            self._journal.append(batch)
            self.rows += batch.num_rows

    def _receive_lines(self, lines: bytes) -> None:
        if not are_ledger_lines(lines):
            raise BadMessage(f"{self._worker}: lines that are not those of a ledger")
        if self._ledger < 0:
            path = ledger_path(self._directory, self._worker)
            self._ledger = open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        written = os.write(self._ledger, lines)
        if written != len(lines):
            os.ftruncate(self._ledger, os.fstat(self._ledger).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _packed(batch: pa.RecordBatch) -> bytes:
    """Return a stream of one batch, compressed as one piece, behind its length: Arrow would compress each column of 17 by
    itself, which takes the master five times as long to unpack.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    plain = sink.getvalue()
    return len(plain).to_bytes(_SIZE_BYTES, "little") + bytes(_CODEC.compress(plain, asbytes=True))


def _unpacked(content: bytes) -> pa.Buffer:
    size = int.from_bytes(content[:_SIZE_BYTES], "little")
    if size > _MOST_UNPACKED:
        raise ValueError(f"they are of another version, or {size:,} bytes in one item")
    return _CODEC.decompress(memoryview(content)[_SIZE_BYTES:], size)


def _read_samples(content: bytes) -> list[pa.RecordBatch]:
    try:
        with pa.ipc.open_stream(_unpacked(content), options=_ON_THIS_THREAD) as stream:
            if stream.schema != JOURNAL_SCHEMA:
                raise BadMessage("samples with other columns than this version's")
            batches = list(stream)
            for batch in batches:
                batch.validate(full=True)
            return batches
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BadMessage(f"samples that cannot be read: {(str(error).splitlines() or ['?'])[0]}") from error
