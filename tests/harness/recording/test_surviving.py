"""What is on disk survives: kills, full disks, torn files, newer versions."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from harness.errors import UsageError
from harness.recording.collector import Collector
from harness.recording.format.layout import SAMPLES, ledger_path, workers_of
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import Chats, read_manifest, write_manifest
from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal, recover
from harness.recording.ledger import KEPT, STOPPED, Ledger
from harness.recording.lock import Locked, RunLock
from harness.recording.recovery import recovered_manifest, summarise
from harness.recording.summary import OutcomeCount
from harness.recording.tally import Tally, alive_workers, is_alive, read_counts
from tests.support.locust_runs import ROOT, samples

HEADER = {"run_id": "r", "endpoint": "http://127.0.0.1:1", "region": "us-east-1", "instance_id": "i"}


def _sample(number: int, operation: str = "StartChatContact", outcome: str = "started", **more: Any) -> Sample:
    return Sample(operation, 10.0 + number, 10.01 + number, 10.1 + number, outcome, 200, request_id=str(number), **more)


def test_a_ledger_line_cut_off_by_a_full_disk_costs_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write raises at once, and the next line that fits is not glued to the torn one."""
    ledger = Ledger(tmp_path, "w", HEADER)
    ledger.started("a", 1.0)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:10]))
    with pytest.raises(OSError, match="No space left") as raised:
        ledger.started("b", 2.0)
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "write", real)
    ledger.started("c", 3.0)
    ledger.ended("a", 4.0, STOPPED)
    ledger.close()
    record = read_ledgers(tmp_path)[0]
    assert (record.open, record.ended, record.unreadable) == ({"c": 3.0}, {"a": STOPPED}, 1)


def test_a_torn_ledger_is_carried_on_by_the_next_process(tmp_path: Path) -> None:
    """A line torn by a kill stays one unreadable line when the same ledger is opened again."""
    ledger_path(tmp_path, "w").write_bytes(b'{"ledger":1,"worker":"w"}\n{"event":"started","at":1,"conta')
    ledger = Ledger(tmp_path, "w", HEADER)
    ledger.started("b", 2.0)
    ledger.close()
    record = read_ledgers(tmp_path)[0]
    assert record.open == {"b": 2.0}
    assert record.unreadable == 1


def test_ledgers_add_up_over_processes(tmp_path: Path) -> None:
    """A chat that one process started and another ended is ended; a kept one is open on purpose."""
    for worker, starts in (("a", ("1", "2")), ("b", ("3",))):
        ledger = Ledger(tmp_path, worker, HEADER)
        for contact in starts:
            ledger.started(contact, 1.0)
        ledger.unanswered(f"token-{worker}", 1.0)
        ledger.close()
    cleanup = Ledger(tmp_path, "cleanup", HEADER)
    cleanup.ended("1", 2.0, STOPPED)
    cleanup.ended("3", 2.0, KEPT)
    cleanup.close()
    chats = merge_ledgers(read_ledgers(tmp_path))
    assert chats.open == {"2": 1.0}
    assert chats.counts() == Chats(started=3, stopped=1, already_ended=0, kept=1, left_open=2, unanswered=2)
    cleanup = Ledger(tmp_path, "cleanup", HEADER)
    cleanup.resolved(3.0, 0)
    cleanup.close()
    assert merge_ledgers(read_ledgers(tmp_path)).counts().unanswered == 0


def test_a_batch_that_does_not_fit_is_taken_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed append the journal is as before it, and goes on when there is room again."""
    journal = Journal(tmp_path, "w")
    journal.append(to_batch([_sample(1)]))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, memoryview(data)[:100]))
    with pytest.raises(OSError, match="No space left"):
        journal.append(to_batch([_sample(2)]))
    monkeypatch.setattr(os, "write", real)
    journal.append(to_batch([_sample(3)]))
    journal.close()
    rows = pq.read_table(tmp_path / "w-00000.parquet").to_pylist()
    assert [row["request_id"] for row in rows] == ["1", "3"]
    assert journal.rows == 2


def test_a_collector_keeps_what_could_not_be_written(tmp_path: Path) -> None:
    """Samples wait for the disk to have room again; none is written twice."""
    written: list[str] = []
    full = [True]

    def write(batch: Any) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "full")
        written.extend(batch.column("request_id").to_pylist())

    collector = Collector(write)
    for number in range(1100):
        collector.add(_sample(number))
    with pytest.raises(OSError, match="full"):
        collector.flush()
    assert collector.waiting == 1100
    full[0] = False
    collector.flush()
    assert written == [str(number) for number in range(1100)]
    assert (collector.recorded, collector.waiting, collector.lost) == (1100, 0, 0)


def test_a_journal_torn_anywhere_gives_back_every_whole_batch(tmp_path: Path) -> None:
    """Wherever the file is cut, recovery reads the batches before the cut, keeps what it cannot read, and repeats safely."""
    journal = Journal(tmp_path / "whole", "w")
    boundaries = {(tmp_path / "whole" / "w-00000.arrows").stat().st_size}
    sizes = []
    for number in range(4):
        journal.append(to_batch([_sample(number)]))
        sizes.append((tmp_path / "whole" / "w-00000.arrows").stat().st_size)
    boundaries |= set(sizes)
    content = (tmp_path / "whole" / "w-00000.arrows").read_bytes()
    for cut in range(0, len(content) + 1, 97):
        place = tmp_path / str(cut)
        place.mkdir()
        (place / "w-00000.arrows").write_bytes(content[:cut])
        whole = sum(size <= cut for size in sizes)
        found = recover(place)
        assert found.rows == whole
        assert recover(place).rows == 0
        assert len(list(place.glob("*.parquet"))) == (whole > 0)
        # What is torn off is kept and named; a cut between two batches takes nothing with it that could be known.
        torn = list(place.glob("*.damaged"))
        assert len(torn) == len(found.damaged) == (cut not in {0, *boundaries})
        assert all(path.read_bytes() == content[:cut] for path in torn)
    journal.close()


def test_a_second_journal_of_the_same_worker_writes_over_nothing(tmp_path: Path) -> None:
    """Cleanup may run twice, and a worker may come back: earlier segments stay."""
    for number in range(3):
        journal = Journal(tmp_path / SAMPLES, "cleanup")
        journal.append(to_batch([_sample(number)]))
        journal.close()
    assert [row["request_id"] for row in samples(tmp_path)] == ["0", "1", "2"]


_COUNTING = """
import sys, time
from pathlib import Path
from harness.recording.tally import Tally
tally = Tally(Path(sys.argv[1]), "w")
for _ in range(7): tally.begun()
for _ in range(5): tally.recorded()
tally.places(3)
print("counted", flush=True)
time.sleep(60)
"""


def test_a_tally_survives_kill_9_and_says_whether_its_process_lives(tmp_path: Path) -> None:
    """The last counts are there after SIGKILL, and the lock goes with the process."""
    process = subprocess.Popen([sys.executable, "-c", _COUNTING, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"counted\n"
    assert is_alive(tmp_path, "w")
    assert alive_workers(tmp_path) == ["w"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not is_alive(tmp_path, "w")
    counts = read_counts(tmp_path, "w")
    assert counts is not None
    assert (counts.begun, counts.recorded, counts.places) == (7, 5, 3)


def test_a_tally_that_is_closed_counts_no_more(tmp_path: Path) -> None:
    """An answer that comes after the end is not counted and harms nothing; a complete tally leaves no file."""
    tally = Tally(tmp_path, "w")
    tally.close(remove=True)
    tally.begun()
    tally.recorded()
    tally.places(1)
    assert read_counts(tmp_path, "w") is None
    assert not is_alive(tmp_path, "w")


def test_a_run_directory_is_locked_for_one_process(tmp_path: Path) -> None:
    """Who comes second is told who came first."""
    lock = RunLock(tmp_path)
    with pytest.raises(Locked) as raised:
        RunLock(tmp_path)
    assert raised.value.holder == str(os.getpid())
    lock.release()
    lock.release()
    RunLock(tmp_path).release()


def test_a_killed_runs_record_is_put_together_from_its_files(tmp_path: Path) -> None:
    """Outcomes, lateness, chats, what was lost and what was on the wire: all from the files, and never valid."""
    tally = Tally(tmp_path / SAMPLES, "local")
    ledger = Ledger(tmp_path, "local", HEADER)
    journal = Journal(tmp_path / SAMPLES, "local")
    rows = [_sample(n, contact_id=f"c{n}") for n in range(3)]
    rows.append(_sample(3, outcome="tps_throttled", error_code="TooManyRequestsException"))
    journal.append(to_batch(rows))
    for _ in range(8):
        tally.begun()
    for _ in range(6):
        tally.recorded()
    for n in range(3):
        ledger.started(f"c{n}", 10.0)
    tally.close(remove=False)
    ledger.close()
    (tmp_path / SAMPLES / "local-00007.parquet").write_bytes(b"PAR1 cut off")
    assert recover(tmp_path / SAMPLES).rows == 4
    assert workers_of(tmp_path) == ["local"]
    chats = merge_ledgers(read_ledgers(tmp_path))
    manifest: dict[str, Any] = recovered_manifest(tmp_path, {"run_id": "r", "status": "running"}, chats)
    generator = manifest["generator"]
    assert (manifest["status"], manifest["ended_by"], manifest["exit_code"]) == ("recovered", "crash", 5)
    assert (generator["sent"], generator["samples_recorded"], generator["samples_lost"]) == (4, 4, 2)
    assert generator["lateness_ms_p50"] == pytest.approx(10.0, rel=0.05)
    assert generator["valid"] is False
    reasons = " / ".join(generator["reasons"])
    assert "the run was killed" in reasons
    assert "local: 2 calls were on the wire when it was killed" in reasons
    assert "local-00007.parquet cannot be read" in reasons
    assert manifest["chats"]["left_open"] == 3
    assert manifest["answers"][0]["error_code"] == "TooManyRequestsException"
    summary, _ = summarise(tmp_path, "local")
    assert OutcomeCount("StartChatContact", "started", 3) in summary.outcomes


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no run.json there; name a run directory"),
        (b"{", "not valid JSON"),
        (b"[]", "not the manifest of a run"),
        (b'{"schema": 2}', "written by a newer chatquota (schema 2, this one reads 1); upgrade"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_clear_line(tmp_path: Path, content: bytes | None, line: str) -> None:
    """Missing, damaged, foreign or newer: the line says which, and what to do."""
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_manifest(tmp_path)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_ledger_of_a_newer_version_is_one_clear_line(tmp_path: Path) -> None:
    """Chats that this version cannot understand are not guessed at."""
    ledger_path(tmp_path, "w").write_bytes(orjson.dumps({"ledger": 2}) + b"\n")
    with pytest.raises(UsageError, match=r"newer chatquota \(schema 2, this one reads 1\); upgrade"):
        read_ledgers(tmp_path)


def test_a_manifest_is_replaced_in_one_step(tmp_path: Path) -> None:
    """A reader sees the old manifest or the new one, and no partial file stays."""
    write_manifest(tmp_path, {"run_id": "a"})
    write_manifest(tmp_path, {"run_id": "b"})
    assert read_manifest(tmp_path).contents.run_id == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
