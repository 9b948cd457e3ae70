"""Full segments of samples become parquet in a process of their own, while the next one is written."""

import os
import signal
from pathlib import Path
from typing import Any

import gevent
import pyarrow.parquet as pq
import pytest

from harness.load.session.encoder import Encoder
from harness.recording import journal as journals
from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal

ROWS = 10


class _Never:
    """An encoding that does not come to an end, as on a machine that has no time for it."""

    def is_over(self) -> bool:
        return False

    def stop(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_ROWS", ROWS)


def _fill(journal: Journal, segments: int) -> None:
    for number in range(segments * ROWS):
        journal.append(to_batch([Sample("StopContact", 0.0, 0.0, float(number), "ok")]))


def _received(directory: Path) -> list[float]:
    return [at for path in sorted(directory.glob("*.parquet")) for at in pq.read_table(path)["received"].to_pylist()]


def test_a_full_segment_is_encoded_by_a_process_and_none_is_lost(tmp_path: Path) -> None:
    """The process leaves the parquet file that the journal itself would have written, and the journal goes."""
    encoder = Encoder()
    journal = Journal(tmp_path, "local", elsewhere=encoder)
    encoder.be_ready()
    for segment in range(3):
        _fill(journal, 1)
        with gevent.Timeout(30):
            while (tmp_path / f"local-0000{segment}.arrows").exists() or not encoder.is_over():
                gevent.sleep(0.01)
    assert _received(tmp_path) == 3 * [float(number) for number in range(ROWS)]
    _fill(journal, 1)
    journal.close()
    assert len(_received(tmp_path)) == 4 * ROWS
    assert not list(tmp_path.glob("*.arrows"))


def test_one_process_encodes_all_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is begun ahead of the calls and of the first segment, and no other one while they are sent."""
    begun: list[str] = []
    spawn = os.posix_spawn

    def spawned(path: str, *arguments: Any, **named: Any) -> int:
        begun.append(path)
        return spawn(path, *arguments, **named)

    monkeypatch.setattr(os, "posix_spawn", spawned)
    encoder = Encoder()
    encoder.be_ready()
    assert len(begun) == 1
    journal = Journal(tmp_path, "local", elsewhere=encoder)
    for _ in range(2):
        _fill(journal, 1)
        with gevent.Timeout(30):
            while not encoder.is_over():
                gevent.sleep(0.01)
    assert len(_received(tmp_path)) == 2 * ROWS
    assert len(begun) == 1
    journal.close()
    encoder.stop()


def test_another_process_follows_one_that_has_ended(tmp_path: Path) -> None:
    """Where the process was killed, the next full segment is encoded by a new one."""
    encoder = Encoder()
    journal = Journal(tmp_path, "local", elsewhere=encoder)
    encoder.be_ready()
    assert encoder._pid is not None
    os.kill(encoder._pid, signal.SIGKILL)
    os.waitid(os.P_PID, encoder._pid, os.WEXITED | os.WNOWAIT)
    _fill(journal, 1)
    with gevent.Timeout(30):
        while (tmp_path / "local-00000.arrows").exists():
            gevent.sleep(0.01)
    journal.close()
    assert len(_received(tmp_path)) == ROWS


@pytest.mark.parametrize("busy", [False, True])
def test_another_process_follows_one_of_whose_end_gevent_took_note(tmp_path: Path, busy: bool) -> None:
    """Once a process was begun through gevent it takes note of every end: there is nobody left to kill then."""
    encoder = Encoder()
    journal = Journal(tmp_path, "local", elsewhere=encoder)
    encoder.be_ready()
    assert encoder._pid is not None
    if busy:
        encoder(tmp_path / "none.arrows")
    os.kill(encoder._pid, signal.SIGKILL)
    os.waitpid(encoder._pid, 0)
    if busy:
        assert encoder.is_over()
    _fill(journal, 1)
    with gevent.Timeout(30):
        while (tmp_path / "local-00000.arrows").exists():
            gevent.sleep(0.01)
    journal.close()
    encoder.stop()
    assert len(_received(tmp_path)) == ROWS


def test_a_stopped_encoder_leaves_its_journal_to_others(tmp_path: Path) -> None:
    """What is stopped at the end of a run is over at once, and the journal can be encoded by whoever stopped it."""
    journal = Journal(tmp_path, "local", elsewhere=lambda path: _Never())
    _fill(journal, 1)
    encoder = Encoder()(tmp_path / "local-00000.arrows")
    encoder.stop()
    assert encoder.is_over()
    journal.close()
    assert len(_received(tmp_path)) == ROWS


def test_encodings_that_do_not_end_hold_nothing_up_and_lose_nothing(tmp_path: Path) -> None:
    """Four full segments may wait; then the oldest is encoded here, and all that are left at the end."""
    journal = Journal(tmp_path, "local", elsewhere=lambda path: _Never())
    _fill(journal, 4)
    assert not _received(tmp_path)
    _fill(journal, 2)
    assert len(_received(tmp_path)) == 2 * ROWS
    journal.close()
    assert _received(tmp_path) == [float(number % (6 * ROWS)) for number in (*range(4 * ROWS), *range(2 * ROWS))]


def test_where_no_process_can_be_started_the_end_encodes(tmp_path: Path) -> None:
    """No process more is no reason to lose a sample, or to end a run."""

    def refuse(path: Path) -> Encoder:
        raise BlockingIOError("no process left")

    journal = Journal(tmp_path, "local", elsewhere=refuse)
    _fill(journal, 2)
    journal.close()
    assert len(_received(tmp_path)) == 2 * ROWS
