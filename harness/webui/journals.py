"""Follows the samples of a run while they are being written: each call reads what came since the last one.

Samples are appended to journals (`samples/<worker>-<n>.arrows`); a full journal is turned into a parquet file of the same
stem and removed. What was not read before that happens is read from the parquet file.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.recording.journal import read_journal

COLUMNS = ["operation", "scheduled", "sent", "received", "outcome", "contact_id"]


class Follower:
    """Reads the samples in `directory` once each, in the order in which each worker wrote them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._batches: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._done: set[str] = set()

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yield the new rows, COLUMNS only."""
        stems = sorted({path.stem for path in self._directory.glob("*-*") if path.suffix in (".arrows", ".parquet")})
        for stem in stems:
            if stem not in self._done:
                yield from self._read(stem)

    def _read(self, stem: str) -> Iterator[pa.RecordBatch]:
        journal = self._directory / f"{stem}.arrows"
        known = self._batches.get(stem, 0)
        if journal.exists():
            for number, batch in enumerate(read_journal(journal)):
                if number >= known:
                    self._batches[stem] = number + 1
                    self._rows[stem] = self._rows.get(stem, 0) + batch.num_rows
                    yield batch.select(COLUMNS)
            return
        whole = journal.with_suffix(".parquet")
        try:
            table = pq.read_table(whole, columns=COLUMNS)
        except (OSError, pa.ArrowException):
            return  # not there yet
        self._done.add(stem)
        yield from table.slice(self._rows.get(stem, 0)).to_batches()
