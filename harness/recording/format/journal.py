"""Reads the journals of samples, `samples/<worker>-<number>.arrows`: Arrow streams that grow and may be torn anywhere."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from harness.recording.format.files import MiB, read_plain

LONGEST_JOURNAL = 1024 * MiB


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


def read_journal(path: Path, offset: int = 0, schema: pa.Schema | None = None) -> JournalPart:
    """Read the whole batches of a journal, up to where it is torn; from the `end` of an earlier part on, with its `schema`.

    Raises OSError where it cannot be opened and UsageError where it is not a plain file.
    """
    content = read_plain(path, LONGEST_JOURNAL, offset)
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
    return JournalPart(batches, offset + end, offset + len(content), schema)
