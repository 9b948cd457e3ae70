"""The recorder in virtual time: what is written when, what a full disk costs, and the CPU of the load."""

import errno
import os
from pathlib import Path
from typing import Any

import gevent
import pytest

from harness.load.session.recorder import CPU_WINDOW, FLUSH_EVERY, CpuMeter, Recorder
from harness.recording.format.journal import read_journal
from harness.recording.format.layout import JOURNAL, SAMPLES, segments
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.schema import Sample
from harness.recording.ledger import STOPPED
from tests.support.locust_runs import samples
from tests.support.virtual_time import VirtualTime

HEADER = {"run_id": "r", "endpoint": "http://127.0.0.1:1", "region": "us-east-1", "instance_id": "i"}


def _sample(number: int) -> Sample:
    return Sample("StartChatContact", 1.0, 1.0, 1.1, "started", 200, request_id=str(number))


def _ledger_text(directory: Path) -> str:
    return (directory / "contacts.w.jsonl").read_text()


def _close(time: VirtualTime, recorder: Recorder) -> None:
    time.finish(gevent.spawn(recorder.close))


def test_samples_are_on_disk_half_a_second_later_and_chats_at_once(tmp_path: Path) -> None:
    """A kill costs half a second of samples, which the tally counts, and no chat."""
    time = VirtualTime()
    recorder = Recorder(tmp_path, "w", HEADER, pytest.fail, clock=time.clock)
    time.run(0.1)
    recorder.started("c-1", time.at)
    recorder.begun()
    recorder.attempt(_sample(1), "")
    assert merge_ledgers(read_ledgers(tmp_path)).open.keys() == {"c-1"}
    journal = segments(tmp_path / SAMPLES, JOURNAL)[0]
    assert read_journal(journal).rows == 0
    time.run(FLUSH_EVERY * 1.5)
    assert read_journal(journal).rows == 1
    recorder.ended("c-1", STOPPED)
    recorder.begun()
    recorder.attempt(_sample(2), "")
    _close(time, recorder)
    assert len(samples(tmp_path)) == 2
    assert merge_ledgers(read_ledgers(tmp_path)).ended == {"c-1": STOPPED}
    assert (recorder.summary().samples, recorder.summary().samples_lost) == (2, 0)


def test_chats_that_start_together_are_written_together_and_in_order(tmp_path: Path) -> None:
    """Between `gather` and `commit` a started chat waits, but for what is written after it; then each is written at once."""
    time = VirtualTime()
    recorder = Recorder(tmp_path, "w", HEADER, pytest.fail, clock=time.clock)

    def lines() -> list[str]:
        return [line.split('"contact_id":"')[-1][:3] for line in _ledger_text(tmp_path).splitlines()[1:]]

    recorder.gather()
    recorder.started("c-1", time.at)
    recorder.started("c-2", time.at)
    assert lines() == []
    recorder.ended("c-1", STOPPED)
    assert lines() == ["c-1", "c-2", "c-1"]
    recorder.started("c-3", time.at)
    recorder.commit()
    recorder.started("c-4", time.at)
    assert lines() == ["c-1", "c-2", "c-1", "c-3", "c-4"]
    recorder.commit()
    _close(time, recorder)
    merged = merge_ledgers(read_ledgers(tmp_path))
    assert merged.open.keys() == {"c-2", "c-3", "c-4"}


def test_chats_that_wait_for_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that cannot be written together are a trouble of the run, as each by itself is."""
    time, told = VirtualTime(), list[str]()
    recorder = Recorder(tmp_path, "w", HEADER, told.append, clock=time.clock)
    recorder.gather()
    recorder.started("c-1", time.at)
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) // 2)
    recorder.commit()
    monkeypatch.undo()
    assert len(told) == 1
    recorder.started("c-2", time.at)
    _close(time, recorder)
    assert "c-2" in merge_ledgers(read_ledgers(tmp_path)).open


def test_a_full_disk_is_told_once_and_what_is_lost_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often writing fails, the listener hears of it once; the summary says how many samples are lost."""
    time, told = VirtualTime(), list[str]()
    recorder = Recorder(tmp_path, "w", HEADER, told.append, clock=time.clock)
    time.run(0.1)

    def full(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    for number in range(5):
        recorder.begun()
        recorder.attempt(_sample(number), "")
        recorder.started(f"c-{number}", time.at)
        time.run(1.0)
    assert len(told) == 1
    assert "no space left on device" in told[0]
    _close(time, recorder)
    summary = recorder.summary()
    assert (summary.samples, summary.samples_lost) == (0, 5)
    assert summary.troubles == tuple(told)


def test_the_cpu_is_that_of_offering_load() -> None:
    """A busy five seconds show as the maximum; what comes after the end of the load counts for nothing."""
    at, busy = [0.0], [0.0]
    meter = CpuMeter(lambda: at[0], lambda: busy[0])
    for share in (0.2, 0.9, 0.1):
        at[0] += CPU_WINDOW
        busy[0] += share * CPU_WINDOW
        meter.sample()
    meter.stop()
    at[0] += 100.0
    busy[0] += 100.0
    meter.sample()
    cpu = meter.summary()
    assert cpu.max == pytest.approx(90.0)
    assert [cpu.busy, cpu.seconds] == pytest.approx([1.2 * CPU_WINDOW, 3 * CPU_WINDOW])
