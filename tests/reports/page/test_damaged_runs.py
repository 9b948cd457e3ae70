"""What a report says of runs that are not whole: killed, cut off, damaged, empty."""

import json

import pyarrow as pa

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.reporting import report
from tests.reports.synthetic import SCHEMA, Scenario, simulate


def test_lost_samples_make_a_run_invalid(make_run: MakeRun) -> None:
    """A record that holds fewer rows than the harness wrote is not valid, whatever the harness said."""
    generator = {"offered": 179, "samples_recorded": 999, "valid": True, "reasons": []}
    answer = report(make_run(generator=generator))
    assert answer["generator"]["valid"] is False
    assert "209 rows where 999 were recorded" in answer["generator"]["reasons"][0]
    assert answer["active_chats"]["estimate"] is None


def test_an_empty_run_is_reported_as_empty(make_run: MakeRun) -> None:
    """No samples: an honest page without figures, and no numbers out of nothing."""
    path = make_run(rows=[])
    answer = report(path)
    assert answer["run"]["samples"] == 0
    assert answer["first_limit"] is None
    assert answer["crossover_s"] is None
    html = (path / "report.html").read_text()
    assert "No chat start was recorded" in html
    assert "<figure>" not in html


def test_a_killed_run_is_reported_with_what_is_missing(make_run: MakeRun) -> None:
    """A run cut off midway is reported from what it left, says it did not end in order, and names its open chats."""
    path = make_run(status="running", ended_at=None, generator=None, chats=None, answers=None, ended_by=None)
    ledger = path / "contacts.local.jsonl"
    started = [line for line in ledger.read_text().splitlines() if "started" in line]
    ledger.write_text("\n".join(started[:10]) + '\n{"event":')
    answer = report(path)
    assert answer["outcomes"]["started"] == 30
    assert answer["chats"]["left_open"] == 10
    assert answer["generator"]["valid"] is False
    assert "did not end in order" in (path / "report.html").read_text()


def test_the_journal_of_a_killed_run_is_read(make_run: MakeRun) -> None:
    """Samples that never became parquet are read from the Arrow stream that holds them, up to where it was torn."""
    rows = simulate(Scenario())
    path = make_run(rows=rows, files=1, status="running")
    (path / "samples" / "local-0.parquet").unlink()
    plain = pa.schema(
        [(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type) for field in SCHEMA]
    )
    journal = path / "samples" / "local-0.arrows"
    with journal.open("wb") as file, pa.ipc.new_stream(file, plain) as stream:
        for first in range(0, len(rows), 50):
            stream.write_batch(pa.RecordBatch.from_pylist(rows[first : first + 50], schema=plain))
    journal.write_bytes(journal.read_bytes()[:-2000])
    answer = report(path)
    assert answer["run"]["samples"] == len(rows) // 50 * 50
    assert any("cut off" in problem for problem in answer["problems"])


def test_a_truncated_parquet_file_is_named(make_run: MakeRun) -> None:
    """One torn file costs its rows: the report is made from the others, names the file, and is not valid."""
    path = make_run(files=3)
    torn = path / "samples" / "local-1.parquet"
    torn.write_bytes(torn.read_bytes()[:-40])
    answer = report(path)
    assert answer["run"]["samples"] < 209
    assert any("samples/local-1.parquet is torn" in problem for problem in answer["problems"])
    assert answer["generator"]["valid"] is False
    assert (answer["tps"]["verdict"], answer["active_chats"]["verdict"]) == ("not_explained", "not_explained")
    assert "cannot be told from a part of the decisions" in (path / "report.md").read_text()
    assert "samples/local-1.parquet is torn" in (path / "report.html").read_text()


def test_garbage_inside_a_parquet_file_is_named(make_run: MakeRun) -> None:
    """Damage in the middle of a file costs its row groups, not the report."""
    path = make_run(files=1)
    file = path / "samples" / "local-0.parquet"
    content = bytearray(file.read_bytes())
    content[40:400] = b"\xff" * 360
    file.write_bytes(bytes(content))
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    answer = json.loads((path / "capacity.json").read_text())
    assert any("damaged" in problem for problem in answer["problems"])
