"""Counts what is in the parquet files of a worker that was killed, which may be damaged or of another version."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.errors import UsageError
from harness.recording.format.files import MiB, check_plain
from harness.recording.format.schema import conform
from harness.recording.redact import redact_field
from harness.recording.summary import ErrorText, OutcomeCount
from harness.recording.validity import LatenessHistogram
from harness.vocabulary import START_CHAT

_COLUMNS = ("operation", "scheduled", "sent", "received", "outcome", "status", "error_code")
_LARGEST_ROW_GROUP = 1024 * MiB
_MOST_ERROR_TEXTS = 200
_LATEST = 1e11  # unix seconds: what lies beyond is not the time of a call

_ErrorKey = tuple[str, str, int, str | None]


class WorkerSamples:
    """What the samples of one worker add up to, in unix seconds; `unreadable` has a sentence for each damaged file."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.lateness = LatenessHistogram()
        self.rows = 0
        self.last_at = 0.0
        self.unreadable: list[str] = []
        self._first, self._last = math.inf, 0.0
        self._error_texts: dict[_ErrorKey, list[float]] = {}

    def read(self, path: Path) -> None:
        """Count the samples of a parquet file, as far as it can be read."""
        try:
            for table in _tables(path):
                self._add(table)
        except (pa.ArrowException, OSError, UsageError, ValueError, TypeError, LookupError, MemoryError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            self.unreadable.append(f"{path.name} cannot be read ({reason}): its samples are lost")

    @property
    def starts(self) -> int:
        """StartChatContact calls that were sent."""
        return sum(count for (operation, _), count in self.outcomes.items() if operation == START_CHAT)

    @property
    def seconds(self) -> float:
        """Seconds from the first StartChatContact call to the last."""
        return max(self._last - self._first, 0.0) if self._last else 0.0

    def outcome_counts(self) -> tuple[OutcomeCount, ...]:
        """Return how often each operation had each outcome."""
        return tuple(OutcomeCount(*key, count) for key, count in self.outcomes.items())

    def error_texts(self) -> tuple[ErrorText, ...]:
        """Return each distinct answer that was not a success; its text is in no file."""
        text = "(its text was lost in the crash)"
        return tuple(ErrorText(*key, text, int(count), first) for key, (count, first) in self._error_texts.items())

    def _add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self._count(table)
        self.last_at = max(self.last_at, float(_times(table["received"]).max(initial=0.0)))
        starts = table.filter(pc.equal(table["operation"], START_CHAT))
        sent, scheduled = starts["sent"].to_numpy(), starts["scheduled"].to_numpy()
        late = sent - scheduled
        self.lateness.add_many(late[np.isfinite(late)])
        if (times := _times(starts["sent"])).size:
            self._first, self._last = min(self._first, float(times.min())), max(self._last, float(times.max()))

    def _count(self, table: pa.Table) -> None:
        keys = ["operation", "outcome", "status", "error_code"]
        for group in table.group_by(keys).aggregate([("received", "count"), ("received", "min")]).to_pylist():
            operation, outcome = redact_field(group["operation"] or "?"), redact_field(group["outcome"] or "?")
            self.outcomes[operation, outcome] += group["received_count"]
            if group["error_code"] is not None:
                key: _ErrorKey = (operation, outcome, group["status"] or 0, redact_field(group["error_code"]))
                if key not in self._error_texts and len(self._error_texts) >= _MOST_ERROR_TEXTS:
                    key = (operation, outcome, 0, "(further codes)")
                first = group["received_min"] or 0.0
                seen = self._error_texts.setdefault(key, [0, first])
                seen[0] += group["received_count"]
                seen[1] = min(seen[1], first)


def _times(column: pa.ChunkedArray) -> "np.ndarray[Any, np.dtype[np.float64]]":
    values: np.ndarray[Any, np.dtype[np.float64]] = column.to_numpy()
    return values[(values > 0) & (values < _LATEST)]


def _tables(path: Path) -> Iterator[pa.Table]:
    check_plain(path)
    with pq.ParquetFile(path) as file:
        for number in range(file.metadata.num_row_groups):
            if file.metadata.row_group(number).total_byte_size > _LARGEST_ROW_GROUP:
                raise ValueError("a part of it unpacks to over 1 GiB")
        present = [name for name in _COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=present):
            table = conform(pa.Table.from_batches([batch])).select(list(_COLUMNS))
            plain = [pc.cast(c, pa.string()) if pa.types.is_dictionary(c.type) else c for c in table.columns]
            yield pa.Table.from_arrays(plain, names=table.column_names)
