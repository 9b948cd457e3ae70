"""Streams the samples of a run: batches of numpy columns from any number of parquet files, whole or torn."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.counting import counted
from harness.errors import one_line
from harness.recording.format.files import MiB
from harness.recording.format.journal import read_journal
from harness.recording.format.layout import JOURNAL
from harness.recording.format.schema import conform

Codes = NDArray[np.int32] | NDArray[np.int64]

TIMES = ("scheduled", "sent", "received")
COUNTS = ("attribute_bytes", "attribute_count", "message_bytes", "duration_minutes")
COLUMNS = ("operation", "outcome", "content_types", "kind", *TIMES, "attribute_bytes")
"""The columns that a report reads of every row."""

DRAWN = ("attribute_count", "message_bytes", "duration_minutes")
"""The columns that are read of a part of the rows, where there are many."""

_IDS = ["contact_id"]
"""Texts that the files do not have as codes into a list of words, and that are read as such."""
_REQUIRED = frozenset({"operation", "outcome", *TIMES})
_BATCH_ROWS = 1 << 18
FAR = 2.0**40
"""Unix seconds: no run is from then."""
_UNREADABLE = (OSError, pa.ArrowException, ValueError, TypeError, LookupError, MemoryError, OverflowError)
"""What reading a damaged file may raise; names of columns may not even be UTF-8."""
_KEPT_ROWS = 300_000
"""Up to so many rows are read once and kept; of more, the parts that an inference needs are read again."""
_MOST_DRAWN = 400_000
"""Rows that have the columns DRAWN, about: nobody needs narrower intervals than so many allow."""
_MOST_UNPACKED = 200
"""A file that would unpack to over so many times its size (and over 64 MiB) is not read; samples pack at about 5 to 1."""


@dataclass(frozen=True)
class Batch:
    """Some rows of the record. Texts are `codes` into the `words` of that column; all arrays have one length.

    `times` are unix seconds, not-a-number where there is none.
    """

    words: dict[str, list[str]]
    codes: dict[str, Codes]
    times: dict[str, NDArray[np.float64]]
    counts: dict[str, Codes]

    def __len__(self) -> int:
        return len(self.times["sent"])

    def rows(self, chosen: NDArray[np.bool_]) -> "Batch":
        """The rows for which `chosen` is true."""
        codes = {name: column[chosen] for name, column in self.codes.items()}
        times = {name: column[chosen] for name, column in self.times.items()}
        return Batch(self.words, codes, times, {name: column[chosen] for name, column in self.counts.items()})


@dataclass(frozen=True)
class Damage:
    """A part of the record that could not be read, in one sentence; a `hole` has rows before and after it."""

    text: str
    hole: bool = True


class Samples:
    """The rows of a run: `only_pass` yields all of them, and `read` an excerpt that an inference needs.

    Of a run of up to 300,000 rows each file is read once; its rows are kept. Of a longer one each row is read once, but for
    those of the excerpts, which nobody can choose before all rows are counted. `with_chats` yields a longer one's ids of
    chats, too.
    """

    def __init__(self, files: tuple[Path, ...], *, with_chats: bool = False) -> None:
        parts = {file: _rows_and_span(file) for file in files}
        self.rows = sum(rows for rows, _ in parts.values())
        self._files = files
        self._spans = {file: span for file, (_, span) in parts.items() if span is not None}
        self._kept: list[Batch | Damage] | None = [] if self.rows <= _KEPT_ROWS else None
        self.with_chats = with_chats and self._kept is None

    def only_pass(self) -> Iterator["Batch | Damage"]:
        """Yield every row in bounded batches, and a `Damage` for whatever cannot be read; to be called once.

        All rows of a short run have the columns DRAWN, of a longer one those of some row groups, evenly spread.
        """
        columns = (*COLUMNS, "contact_id") if self.with_chats or self._kept is not None else COLUMNS
        rows = 0
        for part in read_batches(self._files, columns, drawn=max(1, self.rows // _MOST_DRAWN)):
            rows += len(part) if isinstance(part, Batch) else 0
            if rows > _KEPT_ROWS:  # journals do not say beforehand how many rows they have
                self._kept = None
            if self._kept is not None:
                self._kept.append(part)
            yield part

    def read(self, columns: tuple[str, ...], window: tuple[float, float] | None = None) -> Iterator["Batch | Damage"]:
        """Yield the rows again, with `columns`; those of calls outside of a `window` (unix s) may be left out."""
        if self._kept is not None:
            return iter(self._kept)
        files = self._files
        if window is not None:  # to open each of many files takes longer than to read what is wanted of a few
            files = tuple(file for file in files if _meet(self._spans.get(file, window), window))
        return read_batches(files, columns, window)


def _rows_and_span(file: Path) -> tuple[int, tuple[float, float] | None]:
    """How many rows a file says it holds, and when its first and last call were sent (unix s); None if it does not tell."""
    try:
        metadata = pq.read_metadata(file)
        rows = int(metadata.num_rows)
        spans = [_span(metadata, number) for number in range(metadata.num_row_groups)]
    except _UNREADABLE:
        return 0, None
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return rows, None
    return rows, (min(first for first, _ in known), max(last for _, last in known))


def read_batches(
    files: tuple[Path, ...],
    columns: tuple[str, ...] = COLUMNS,
    window: tuple[float, float] | None = None,
    drawn: int = 0,
) -> Iterator[Batch | Damage]:
    """Yield the rows of `files` in bounded batches, and a `Damage` for whatever cannot be read.

    With a `window` (unix s), row groups that hold no call sent within it are skipped; of the others come the rows from the
    first to the last that was sent or answered within it. With `drawn` one row group in that many has the columns DRAWN as
    well. Without a window a second thread decompresses the next batches while the caller works on this one; the few of a
    window are read sooner than threads are woken.
    """

    def rows() -> Iterator[Batch | Damage]:
        draw = _Draw(drawn)
        for file in files:
            yield from _read_file(file, columns, window, draw)

    if window is not None:
        yield from rows()
        return
    feed = _Feed()
    threading.Thread(target=feed.produce, args=(rows(),), name="read-samples", daemon=True).start()
    try:
        while (item := feed.ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        feed.abandoned.set()


@dataclass
class _Draw:
    """Which row groups have the columns DRAWN too: one in `every`, counted over all files, however few each has; 0: none."""

    every: int
    seen: int = 0

    def has(self, group: int) -> bool:
        """Whether it is one of them; `group` is its number in the file that is read."""
        return self.every > 0 and (self.seen + group) % self.every == 0


class _Feed:
    """Hands what one thread reads to another, a few batches ahead; None is the end, an exception is raised there."""

    def __init__(self) -> None:
        self.ready: queue.Queue[Batch | Damage | BaseException | None] = queue.Queue(maxsize=3)
        self.abandoned = threading.Event()

    def produce(self, items: Iterator[Batch | Damage]) -> None:
        """Put everything into the queue, until nobody wants it any more."""
        try:
            for item in items:
                if self.abandoned.is_set():
                    return
                self._put(item)
            self._put(None)
        except BaseException as error:  # handed to the reader, who raises it
            self._put(error)

    def _put(self, item: Batch | Damage | BaseException | None) -> None:
        while not self.abandoned.is_set():
            try:
                self.ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue


def _read_file(
    file: Path, columns: tuple[str, ...], window: tuple[float, float] | None, draw: _Draw
) -> Iterator[Batch | Damage]:
    if file.suffix == JOURNAL:
        yield from _read_journal(file, (*columns, *DRAWN) if draw.every else columns)
        return
    name = one_line(f"samples/{file.name}")  # which may be no text at all
    try:
        parquet = _open(file)
    except _UNREADABLE:
        yield Damage(f"{name} is torn or not a parquet file: its rows are missing")
        return
    with parquet:
        present = set(parquet.schema_arrow.names)
        if why := _unreadable(parquet, file.stat().st_size):
            yield Damage(f"{name} {why}: its rows are left out")
            return
        groups = [number for number in range(parquet.num_row_groups) if _overlaps(parquet.metadata, number, window)]
        for some in _chunks(parquet.metadata, groups, draw):
            names = (*columns, *DRAWN) if draw.has(some[0]) else columns
            try:
                for record in _records(parquet, some, [name for name in names if name in present], window is None):
                    yield _columns(record if window is None else _within(record, window), names)
            except _UNREADABLE:
                lost = sum(int(parquet.metadata.row_group(number).num_rows) for number in some)
                yield Damage(f"{name} is damaged: up to {lost:,} of its rows are missing")
        draw.seen += parquet.num_row_groups


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, read_dictionary=_IDS)
    except KeyError:  # it has no such column, or one of another shape
        return pq.ParquetFile(file)


def _unreadable(parquet: pq.ParquetFile, size: int) -> str | None:
    """Why a file cannot hold samples, or None: columns missing or there twice, or much more in it than its size."""
    names = parquet.schema_arrow.names
    if missing := sorted(_REQUIRED - set(names)):
        return f"lacks the columns {', '.join(missing)}"
    if len(set(names)) != len(names):
        return "holds a column twice"
    metadata = parquet.metadata
    unpacked = sum(max(0, metadata.row_group(number).total_byte_size) for number in range(metadata.num_row_groups))
    if metadata.num_rows > 64 * size or unpacked > max(64 * MiB, _MOST_UNPACKED * size):
        return f"would unpack to {counted(metadata.num_rows, 'row')} from {size:,} bytes, as no run writes it"
    return None


def _chunks(metadata: Any, groups: list[int], draw: _Draw) -> Iterator[list[int]]:
    """Row groups, taken together so that small ones do not cost a batch each; those that are drawn apart from the others."""
    some: list[int] = []
    rows = 0
    for number in groups:
        size = int(metadata.row_group(number).num_rows)
        if some and (rows + size > _BATCH_ROWS or draw.has(some[0]) != draw.has(number)):
            yield some
            some, rows = [], 0
        some.append(number)
        rows += size
    if some:
        yield some


def _records(parquet: pq.ParquetFile, groups: list[int], columns: list[str], threads: bool) -> Iterator[pa.RecordBatch]:
    if len(groups) == 1:  # it may be of any size
        yield from parquet.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns, use_threads=threads)
    else:
        read = parquet.read_row_groups(groups, columns=columns, use_threads=threads)
        yield from read.unify_dictionaries().combine_chunks().to_batches()


def _read_journal(file: Path, columns: tuple[str, ...]) -> Iterator[Batch | Damage]:
    """The rows of a journal that a killed run left: an Arrow stream whose end may be torn."""
    part = read_journal(file)
    name = one_line(f"samples/{file.name}")  # which may be no text at all
    if part.batches:
        try:
            for record in conform(pa.Table.from_batches(part.batches)).combine_chunks().to_batches():
                yield _columns(record, columns)
        except _UNREADABLE:
            yield Damage(f"{name} is a journal that holds no samples: its rows are left out")
            return
    if not part.whole:
        rows = counted(part.rows, "row is", "rows are")
        yield Damage(f"{name} is a journal that was cut off: its first {rows} read", hole=False)


def _overlaps(metadata: Any, group: int, window: tuple[float, float] | None) -> bool:
    """Whether a row group may hold calls sent within the window; True where the file does not tell."""
    return window is None or _meet(_span(metadata, group) or window, window)


def _span(metadata: Any, group: int) -> tuple[float, float] | None:
    """When (unix s) the first and the last call of a row group were sent; None where the file does not tell."""
    row_group = metadata.row_group(group)
    for number in range(row_group.num_columns):
        column = row_group.column(number)
        if column.path_in_schema == "sent" and column.is_stats_set and column.statistics.has_min_max:
            first, last = column.statistics.min, column.statistics.max
            return (first, last) if isinstance(first, (int, float)) and isinstance(last, (int, float)) else None
    return None


def _meet(span: tuple[float, float], window: tuple[float, float]) -> bool:
    """Whether two spans of time have a moment in common."""
    return bool(span[0] <= window[1] and span[1] >= window[0])


def _within(record: pa.RecordBatch, window: tuple[float, float]) -> pa.RecordBatch:
    """The rows from the first to the last of those that were sent or answered within the window."""
    times = (_numbers(record, name, "float64") for name in ("sent", "received"))
    inside = np.logical_or(*((window[0] <= time) & (time <= window[1]) for time in times))
    rows = np.flatnonzero(inside)
    return record.slice(rows[0], rows[-1] - rows[0] + 1) if len(rows) else record.slice(0, 0)


def _columns(record: pa.RecordBatch, columns: tuple[str, ...]) -> Batch:
    words: dict[str, list[str]] = {}
    codes: dict[str, Codes] = {}
    times: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, Codes] = {}
    for name in columns:
        if name in TIMES:
            times[name] = _times(record, name)
        elif name in COUNTS:
            counts[name] = _numbers(record, name, "int64")
        else:
            words[name], codes[name] = _text(record, name)
    return Batch(words, codes, times, counts)


def _text(record: pa.RecordBatch, name: str) -> tuple[list[str], Codes]:
    """The distinct texts of a column and each row's index into them; null and an absent column are the empty text."""
    if name not in record.schema.names:
        return [""], np.zeros(record.num_rows, dtype=np.int64)
    column = record.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    known, (indices, absent) = column.dictionary, _stored(column.indices, "int64")
    if len(known) > len(indices):  # these are some of the rows that it has the words of
        used = indices if absent is None else indices[~absent]
        low, high = (int(used.min()), int(used.max())) if len(used) else (0, -1)
        known, indices = known.slice(low, high - low + 1), indices - low
    known = known.cast(pa.string()) if pa.types.is_binary(known.type) else known
    distinct = [word if isinstance(word, str) else "" for word in known.to_pylist()]
    if absent is not None:
        distinct.append("")
        indices = np.where(absent, len(distinct) - 1, indices)
    return distinct or [""], indices


def _numbers(record: pa.RecordBatch, name: str, kind: str) -> NDArray[Any]:
    """A column as numbers; null is not-a-number in a column of times and 0 in one of counts, as an absent column is."""
    if name not in record.schema.names:
        return np.zeros(record.num_rows, dtype=np.int64)
    values, absent = _stored(record.column(name), kind)
    return values if absent is None else np.where(absent, np.nan if kind == "float64" else 0, values)


def _times(record: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    """A column of times; what is no time of any run, such as infinity, is not-a-number as what is null."""
    values: NDArray[np.float64] = _numbers(record, name, "float64")
    if len(values) and values.min() > -FAR and values.max() < FAR:  # false where one is not-a-number
        return values
    return np.where(np.abs(values) < FAR, values, np.nan)


def _stored(column: pa.Array, kind: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The numbers of a column as `kind` of numpy or int32, and which of them are null, None if none is.

    They are taken from Arrow's buffers: its own functions load `pyarrow.compute`, and pandas for a single number, which
    takes longer than a small report.
    """
    exact = {"int64": ("int8", "int16", "int32", "int64"), "float64": ("double",)}[kind]
    if str(column.type) not in exact:
        column = column.cast(pa.int64() if kind == "int64" else pa.float64())
    here, count = column.offset, len(column)
    nulls, stored = column.buffers()
    dtype = np.dtype(kind if kind == "float64" else str(column.type))
    values = np.frombuffer(stored or b"", dtype, count if stored else 0, here * dtype.itemsize if stored else 0)
    absent = None
    if column.null_count:
        absent = np.unpackbits(np.frombuffer(nulls, np.uint8), count=here + count, bitorder="little")[here:] == 0
    return values if values.dtype.itemsize >= 4 else values.astype(kind), absent
