"""Run directories that version 0.1 wrote read as they did."""

import shutil
from pathlib import Path

import msgspec
import orjson
import pytest

from harness.command import main
from harness.errors import UsageError
from harness.recording.format.journal import read_journal
from harness.recording.format.layout import JOURNAL, PARQUET, SAMPLES, segments, workers_of
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import read_manifest, write_manifest
from harness.recording.journal import recover
from harness.recording.recovery import recovered_manifest
from tests.support.locust_runs import ROOT, samples

FINISHED = ROOT / "tests" / "golden" / "run-0.1"
KILLED = ROOT / "tests" / "golden" / "run-0.1-killed"


def test_a_manifest_of_0_1_is_read_and_written_back_without_loss(tmp_path: Path) -> None:
    """Every entry is there as a type or a table, none is called wrong, and what is written back is equal."""
    stored = read_manifest(FINISHED)
    assert (stored.problems, stored.schema) == ((), 1)
    assert (stored.contents.status, stored.contents.generator.sent, stored.contents.chats.started) == ("finished", 6, 4)
    assert stored.contents.target.instance_id == "11111111-aaaa-4aaa-8aaa-111111111111"
    write_manifest(tmp_path, stored.tables)
    assert (tmp_path / "run.json").read_bytes() == (FINISHED / "run.json").read_bytes()


def test_starts_whose_chats_were_searched_for_are_not_unanswered() -> None:
    """Two starts of the run got no answer; the cleanup found what became of them, so none is open to doubt."""
    ledgers = read_ledgers(FINISHED)
    chats = merge_ledgers(ledgers)
    assert [ledger.worker for ledger in ledgers] == ["cleanup", "local"]
    assert (len(chats.unanswered), chats.resolved, chats.unreadable) == (2, True, 0)
    assert chats.counts() == read_manifest(FINISHED).contents.chats


def test_report_and_cleanup_count_searched_chats_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A start that was unanswered and then searched for is in doubt to neither the report, the cleanup nor the recovery."""
    run = tmp_path / "run"
    shutil.copytree(FINISHED, run)
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    assert orjson.loads((run / "capacity.json").read_bytes())["chats"]["unanswered"] == 0
    assert main(["cleanup", str(run)]) == 0
    assert "no chat of this run is open" in capsys.readouterr().out
    chats = read_manifest(run).contents.chats
    assert chats.unanswered == 0
    recovered = recovered_manifest(run, read_manifest(run).tables, merge_ledgers(read_ledgers(run)))
    assert recovered["chats"] == msgspec.to_builtins(chats)


def test_a_killed_run_of_0_1_is_recovered(tmp_path: Path) -> None:
    """Its journal is read to the end, and becomes the parquet file that the killed process did not get to write."""
    run = tmp_path / "run"
    shutil.copytree(KILLED, run)
    (journal,) = segments(run / SAMPLES, JOURNAL)
    part = read_journal(journal)
    assert part.whole
    assert part.rows > 5
    assert (recover(run / SAMPLES).rows, workers_of(run)) == (part.rows, ["local"])
    assert len(segments(run / SAMPLES, PARQUET, "local")) == 1
    assert len(samples(run)) == part.rows
    assert not journal.exists()
    started = {row["contact_id"] for row in samples(run) if row["outcome"] == "started"}
    chats = merge_ledgers(read_ledgers(run))
    assert started == set(chats.open) | set(chats.ended)


def test_what_a_manifest_has_of_the_wrong_type_is_left_out_and_named(tmp_path: Path) -> None:
    """The rest is used, and entries that this version does not know stay."""
    tables = orjson.loads((FINISHED / "run.json").read_bytes())
    tables["generator"]["sent"] = "six"
    tables["generator"]["new_in_3"] = {"a": 1}
    tables["chats"] = 5
    tables["answers"].append("?")
    write_manifest(tmp_path, tables)
    stored = read_manifest(tmp_path)
    assert [problem.split(" is not")[0] for problem in stored.problems] == [
        "run.json: generator.sent",
        "run.json: chats",
    ]
    assert (stored.contents.generator.sent, stored.contents.generator.offered) == (0, 6)
    assert stored.section("generator")["new_in_3"] == {"a": 1}
    assert len(stored.contents.answers) == 1


def test_a_newer_manifest_is_refused_in_one_line(tmp_path: Path) -> None:
    """What a newer version wrote is not guessed at."""
    (tmp_path / "run.json").write_bytes(b'{"schema": 2}')
    with pytest.raises(
        UsageError, match=r"written by a newer chatquota \(schema 2, this one reads 1\); upgrade"
    ) as error:
        read_manifest(tmp_path)
    assert "\n" not in str(error.value)
