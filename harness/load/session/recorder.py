"""Writes down what one process does: samples, ledger, tally. When the disk is full it says so once and goes on without."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import pyarrow as pa
from gevent import get_hub
from gevent.event import Event

from harness.recording.collector import Collector
from harness.recording.format.layout import SAMPLES
from harness.recording.journal import Journal
from harness.recording.ledger import Ledger
from harness.recording.summary import Cpu
from harness.recording.tally import Tally

FLUSH_EVERY = 0.5
CPU_WINDOW = 5.0
"""Seconds over which the generator's CPU is measured: a shorter peak is caught up with."""

Ship = Callable[[pa.RecordBatch], None]
Mirror = Callable[[bytes], None]


class Recorder:
    """The files of `worker` in the run directory `directory`. `header` goes into the ledger.

    `ship` gets a copy of every batch of samples and `mirror` of every ledger line. `on_trouble(sentence)` is called once,
    when something cannot be written; `troubles` is then not empty and no further chat should be started. Raises OSError
    when the directory cannot be written at all.
    """

    def __init__(
        self,
        directory: Path,
        worker: str,
        header: dict[str, Any],
        on_trouble: Callable[[str], None],
        ship: Ship | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._directory = directory
        self._on_trouble = on_trouble
        self._ship = ship
        self.troubles: list[str] = []
        self.tally = Tally(directory / SAMPLES, worker)
        self.ledger = Ledger(directory, worker, header, mirror)
        self.journal = Journal(directory / SAMPLES, worker, on_a_thread)
        self.collector = Collector(self._write, self.tally.recorded)
        self.cpu = CpuMeter()
        self._closing = Event()
        self.closed = False
        self._flusher = gevent.spawn(self._flush_until_closed)

    def keep(self, write: Callable[[], object]) -> bool:
        """Do a write to disk; False, and a trouble, when it fails."""
        try:
            write()
        except OSError as error:
            if not self.troubles:
                said = (error.strerror or str(error)).lower()
                self.troubles.append(f"the run could not be recorded any more: {said} ({self._directory})")
                self._on_trouble(self.troubles[0])
            return False
        return True

    @property
    def samples_lost(self) -> int:
        """Samples that were taken and could not be written."""
        return self.collector.lost + (self.collector.waiting if self.closed else 0)

    def close(self) -> None:
        """Write what is left and close the files; safe to call again."""
        if self.closed:
            return
        self._closing.set()
        self._flusher.join()
        complete = self.keep(self.collector.flush)
        complete = self.keep(self.journal.close) and complete
        self.closed = True
        self.ledger.close()
        self.tally.close(remove=complete)

    def _write(self, batch: pa.RecordBatch) -> None:
        self.journal.append(batch)
        if self._ship is not None:
            self._ship(batch)

    def _flush_until_closed(self) -> None:
        while not self._closing.wait(FLUSH_EVERY):
            self.keep(lambda: self.collector.flush(pause=lambda: gevent.sleep(0)))
            self.cpu.sample()


class CpuMeter:
    """The CPU of this thread, which is the loop that sends the calls, while load is offered."""

    def __init__(self) -> None:
        self._since = self._window = time.monotonic()
        self._busy = self._window_busy = time.thread_time()
        self._end: tuple[float, float] | None = None
        self._max = 0.0

    def sample(self) -> None:
        """Close the present window when it is over; to be called now and then."""
        at, busy = time.monotonic(), time.thread_time()
        if self._end is None and at - self._window >= CPU_WINDOW:
            self._max = max(self._max, 100 * (busy - self._window_busy) / (at - self._window))
            self._window, self._window_busy = at, busy

    def stop(self) -> None:
        """No load is offered any more: what the process does from now on does not count."""
        if self._end is None:
            self._end = (time.monotonic(), time.thread_time())

    def summary(self) -> Cpu:
        """Return busy seconds, seconds, and the highest percentage over a window (over all, before the first is full)."""
        at, busy = self._end or (time.monotonic(), time.thread_time())
        mean = 100 * (busy - self._busy) / max(at - self._since, 1e-9)
        return Cpu(busy - self._busy, at - self._since, max(self._max, mean))


def on_a_thread(work: Callable[[], object]) -> None:
    """Run `work` on a native thread while this greenlet waits: converting a segment takes a second.

    Where the system can tell threads apart, that thread gives way to the one that sends the calls. What `work` raises is
    raised here; gevent, which would print it too, does not see it.
    """

    def behind_the_sends() -> Exception | None:
        if hasattr(os, "SCHED_BATCH"):
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # of this thread alone
        try:
            work()
        except Exception as error:
            return error
        return None

    failed: Exception | None = get_hub().threadpool.apply(behind_the_sends)
    if failed is not None:
        raise failed
