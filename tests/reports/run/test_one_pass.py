"""A report reads the samples of its run once, however many of its parts look at them."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.command import main
from harness.recording.format.layout import sample_files
from reports.run import samples
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, attempt

Row = dict[str, Any]


def conversations(count: int) -> list[Row]:
    """The samples of `count` chats whose customers are greeted, write and leave, and of a throttled start beside each."""
    rows: list[Row] = []
    for number in range(count):
        at, contact = BEGAN + number * 0.25, f"contact-{number}"
        asked = {"kind": "rich" if number % 2 else "plain", "message_bytes": number % 7}
        rows.append(attempt("StartChatContact", at, at, at + 0.05, "started", 200, None, contact) | asked)
        rows.append(
            attempt("StartChatContact", at, at, at + 0.02, "tps_throttled", 429, "TooManyRequests", None) | asked
        )
        for name, after in (("CreateParticipantConnection", 0.1), ("Greeting", 0.5), ("SendMessage", 1), ("Reply", 2)):
            rows.append(attempt(name, at + after, at + after, at + after + 0.3, "ok", 200, None, contact))
        rows.append(attempt("DisconnectParticipant", at + 5, at + 5, at + 5.1, "ok", 200, None, contact))
    return rows


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often each column of each row group is read, of a run with one file."""
    found: Counter[tuple[str, int]] = Counter()
    one, some = pq.ParquetFile.iter_batches, pq.ParquetFile.read_row_groups

    def counted_batches(self: Any, size: int, *, row_groups: list[int], columns: list[str], use_threads: bool) -> Any:
        found.update((column, group) for group in row_groups for column in columns)
        return one(self, size, row_groups=row_groups, columns=columns, use_threads=use_threads)

    def counted_groups(self: Any, groups: list[int], *, columns: list[str], use_threads: bool) -> Any:
        found.update((column, group) for group in groups for column in columns)
        return some(self, groups, columns=columns, use_threads=use_threads)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted_batches)
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted_groups)
    return found


def answer_of(path: Path) -> dict[str, Any]:
    """Report the run and return what it says, but for the path."""
    assert main(["report", str(path), "--no-figures", "--quiet"]) == 0
    found: dict[str, Any] = json.loads((path / "capacity.json").read_text())
    return found


def test_each_row_is_read_once(make_run: MakeRun, reads: Counter[tuple[str, int]]) -> None:
    """Totals, both limits, the journey, waits for answers and variety of a run all come from one reading of its file."""
    answer = answer_of(make_run(rows=conversations(200), files=1, user_class="ChatConversation"))
    assert answer["answered"]["replied"] == 200
    assert answer["variety"]
    assert answer["operations"]["SendMessage"]["calls_per_chat"] == 1
    assert set(reads.values()) == {1}
    assert {group for _, group in reads} == set(range(7))


@pytest.mark.slow
def test_a_long_run_is_gone_through_once(
    make_run: MakeRun, reads: Counter[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run too long to be kept, only excerpts for the limits are read again; what is said of it is the same."""
    rows = conversations(200)
    short = answer_of(make_run(rows=rows, files=1, user_class="ChatConversation"))
    reads.clear()
    monkeypatch.setattr(samples, "_KEPT_ROWS", 0)
    long = answer_of(make_run(rows=rows, files=1, user_class="ChatConversation"))
    assert {reads[column, group] for column in ("kind", "attribute_count") for group in range(7)} == {1}
    assert {**long, "run": None} == {**short, "run": None}


def test_what_is_drawn_is_spread_over_all_files(make_run: MakeRun) -> None:
    """One row group in so many has the columns that a part of the rows is enough for, however few groups a file has."""
    files = sample_files(make_run(rows=conversations(200), files=8) / "samples")
    batches = list(samples.read_batches(tuple(files), drawn=4 * row_groups(files[0])))
    drawn = [batch for batch in batches if isinstance(batch, samples.Batch) and "message_bytes" in batch.counts]
    assert len(files) == 8
    assert len(drawn) == 2


def test_of_a_window_only_its_rows_are_read(make_run: MakeRun) -> None:
    """Ids of chats are texts of their own for nearly every row: those of other rows of a group are not made."""
    files = tuple(sample_files(make_run(rows=conversations(200), files=1) / "samples"))
    columns = ("operation", "sent", "received", "contact_id")
    whole = [row for batch in batches_of(samples.read_batches(files, columns)) for row in rows_of(batch)]
    begin, end = whole[len(whole) // 3][1], whole[len(whole) // 2][1]
    batches = batches_of(samples.read_batches(files, columns, (begin, end)))
    some = [row for batch in batches for row in rows_of(batch)]
    inside = {row for row in whole if begin <= row[1] <= end or (begin <= row[2] <= end and row in some)}
    assert 0 < len(inside) <= len(some) < len(whole)
    assert inside <= set(some) <= set(whole)
    assert all(len(batch.words["contact_id"]) <= len(batch) + 1 for batch in batches)


def test_of_a_window_only_the_files_that_hold_some_of_it_are_opened(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many files, to open each takes longer than to read what is wanted of a few."""
    monkeypatch.setattr(samples, "_KEPT_ROWS", 0)
    rows = sorted(conversations(200), key=lambda row: float(row["sent"]))
    files: list[Path] = []
    for number in range(8):
        path = make_run(rows=rows[number * len(rows) // 8 : (number + 1) * len(rows) // 8], files=1)
        files.append(path.rename(path.with_name(f"part-{number}")) / "samples")
    run = samples.Samples(tuple(file for folder in files for file in sample_files(folder)))
    opened: list[Path] = []
    open_one = samples._open

    def noted(file: Path) -> pq.ParquetFile:
        opened.append(file)
        return open_one(file)

    monkeypatch.setattr(samples, "_open", noted)
    window = (rows[len(rows) // 2 + 5]["sent"], rows[len(rows) // 2 + 50]["sent"])
    found = batches_of(run.read(("operation", "sent", "received"), window))
    assert len(opened) == 1
    assert sum(len(batch) for batch in found) >= 45


@pytest.mark.parametrize("kind", [pa.string(), pa.date64()], ids=["texts", "dates"])
def test_times_of_another_kind_are_damage_for_an_excerpt_too(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    """What a file says of its times may be no numbers: its rows are named as missing, and the report is made."""
    monkeypatch.setattr(samples, "_KEPT_ROWS", 0)
    path = make_run(rows=conversations(40), files=2, user_class="ChatConversation")
    file = sample_files(path / "samples")[1]
    table = pq.read_table(file)
    times = pa.array(["now"] * len(table)) if kind == pa.string() else pa.array([0] * len(table), kind)
    pq.write_table(table.set_column(table.schema.get_field_index("sent"), "sent", times), file)
    assert any("damaged" in problem for problem in answer_of(path)["problems"])


def batches_of(parts: Iterable[samples.Batch | samples.Damage]) -> list[samples.Batch]:
    return [part for part in parts if isinstance(part, samples.Batch)]


def rows_of(batch: samples.Batch) -> list[tuple[str, float, float, str]]:
    """Operation, sent, received and the chat's id of each row."""
    operations, contacts = (np.array(batch.words[name])[batch.codes[name]] for name in ("operation", "contact_id"))
    return list(zip(operations, batch.times["sent"], batch.times["received"], contacts, strict=True))


def row_groups(file: Path) -> int:
    """How many row groups a file has."""
    return int(pq.read_metadata(file).num_row_groups)


def test_ids_of_chats_are_read_where_they_are_looked_at(
    make_run: MakeRun, reads: Counter[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long run whose users only start chats, ids are read for the limits alone, not in the pass over all rows."""
    monkeypatch.setattr(samples, "_KEPT_ROWS", 0)
    rows = [row for row in conversations(200) if row["operation"] == "StartChatContact"]
    answer_of(make_run(rows=[row for row in rows if row["outcome"] == "started"], files=1, user_class="StartChat"))
    assert reads["contact_id", 0] < reads["sent", 0]


def _nested(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("contact_id")
    return table.set_column(at, "contact_id", pa.array([["x"]] * table.num_rows))


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda table: table.drop_columns("contact_id"), True),
        (lambda table: table.rename_columns([name.replace("contact_id", "x") for name in table.schema.names]), True),
        (_nested, False),
    ],
    ids=["absent", "renamed", "nested"],
)
def test_ids_of_chats_may_be_absent_or_of_another_shape(
    change: Callable[[pa.Table], pa.Table], rows: bool, make_run: MakeRun
) -> None:
    """Without the column the starts are counted all the same; where it holds no texts the file is named as damaged."""
    path = make_run(rows=conversations(20), user_class="ChatConversation")
    for file in (path / "samples").iterdir():
        pq.write_table(change(pq.read_table(file)), file)
    answer = answer_of(path)
    assert (sum(answer["outcomes"].values()) > 0) == rows
    assert any("damaged" in problem for problem in answer["problems"]) != rows


def test_a_file_of_samples_whose_name_is_no_text_is_named_with_escapes(make_run: MakeRun) -> None:
    """A name of any bytes stands in the report as what can be printed of it."""
    path = make_run(rows=conversations(5))
    (path / "samples" / os.fsdecode(b"\xff-00000.parquet")).write_bytes(b"no parquet")
    assert any("udcff-00000.parquet" in problem for problem in answer_of(path)["problems"])
