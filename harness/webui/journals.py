"""Follows the samples of a run while they are being written: each call reads what came since the last one.

Samples are appended to journals (`samples/<worker>-<n>.arrows`); a full journal is turned into a parquet file of the same
stem and removed. What was not read before that happens is read from the parquet file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import UsageError
from harness.recording.format.files import check_plain
from harness.recording.format.journal import read_journal
from harness.recording.format.layout import JOURNAL, PARQUET, sample_files

COLUMNS = ["operation", "scheduled", "sent", "received", "outcome", "contact_id"]


@dataclass
class _Segment:
    """How far a segment has been read: its bytes while it is a journal, its rows, and whether nothing more can come."""

    end: int = 0
    schema: pa.Schema | None = None
    rows: int = 0
    done: bool = False


class Follower:
    """Reads the samples in `directory` once each, in the order in which each worker wrote them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: dict[str, _Segment] = {}

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yield the new rows, COLUMNS only."""
        for path in sample_files(self._directory):
            segment = self._segments.setdefault(path.stem, _Segment())
            if not segment.done:
                yield from _read_more(path.with_suffix(JOURNAL), segment)


def _read_more(journal: Path, segment: _Segment) -> Iterator[pa.RecordBatch]:
    try:
        part = read_journal(journal, segment.end, segment.schema)
    except FileNotFoundError:
        yield from _read_finished(journal.with_suffix(PARQUET), segment)
        return
    except (OSError, UsageError):
        return
    segment.end, segment.schema = part.end, part.schema
    for batch in part.batches:
        segment.rows += batch.num_rows
        yield batch.select(COLUMNS)


def _read_finished(path: Path, segment: _Segment) -> Iterator[pa.RecordBatch]:
    try:
        check_plain(path)
        table = pq.read_table(path, columns=COLUMNS)
    except (OSError, UsageError, pa.ArrowException):
        return  # not there yet
    segment.done = True
    yield from table.slice(segment.rows).to_batches()
