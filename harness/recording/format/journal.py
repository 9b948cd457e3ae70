"""Reads the journals of samples, `samples/<worker>-<number>.arrows`: Arrow streams that grow and may be torn anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from harness.recording.format.files import MiB, read_part, too_long

LONGEST_JOURNAL = 1024 * MiB
_PIECE = MiB


@dataclass(frozen=True)
class JournalPart:
    """What was read of a journal: its whole batches, the offset after the last of them, the file's size then, and its schema
    (None where even that is torn).
    """

    batches: list[pa.RecordBatch]
    end: int
    size: int
    schema: pa.Schema | None

    @property
    def whole(self) -> bool:
        """Whether all of the file was read: nothing of it is torn or damaged."""
        return self.end == self.size

    @property
    def rows(self) -> int:
        """How many samples the batches hold."""
        return sum(batch.num_rows for batch in self.batches)


def read_journal(
    path: Path, offset: int = 0, schema: pa.Schema | None = None, length: int | None = None
) -> JournalPart:
    """Read the whole batches of a journal, up to where it is torn; from the `end` of an earlier part on, with its `schema`.

    With a `length`, only those that end within so many bytes. Raises OSError where it cannot be opened and UsageError where
    it is not a plain file, or longer than any run writes one.
    """
    content, size = read_part(path, offset, LONGEST_JOURNAL + 1 if length is None else length)
    if size - offset > LONGEST_JOURNAL:
        raise too_long(path, LONGEST_JOURNAL)
    source = pa.BufferReader(content)
    batches: list[pa.RecordBatch] = []
    end = 0
    try:
        if schema is None:
            schema = pa.ipc.read_schema(pa.ipc.read_message(source))
            end = source.tell()
        while end < len(content):
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)
            batch.validate(full=True)
            batches.append(batch)
            end = source.tell()
    except (pa.ArrowException, OSError, EOFError, ValueError, TypeError, MemoryError):
        pass  # `end` says where
    return JournalPart(batches, offset + end, size, schema)


class JournalReader:
    """Yields the batches of a journal, a piece of it in memory at a time; `unread` then says what is left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = self._size = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        schema, length = None, _PIECE
        while True:
            part = read_journal(self._path, self._end, schema, length)
            self._size = part.size
            if part.end > self._end:
                self._end, schema = part.end, part.schema
                yield from part.batches
            elif self._end + length < part.size:
                length *= 2  # a batch that is longer than the piece, or a damaged one
            else:
                return

    @property
    def unread(self) -> int:
        """Bytes at the end that are torn or damaged."""
        return self._size - self._end
