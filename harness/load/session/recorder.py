"""Writes down what one process does: samples, ledger, tally. When the disk is full it says so once and goes on without."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import gevent
import pyarrow as pa
from gevent import get_hub
from gevent.event import Event

from harness.connect.client import ContactEnd
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.session.encoder import Encoder
from harness.recording.collector import Collector
from harness.recording.format.layout import SAMPLES
from harness.recording.format.schema import Sample
from harness.recording.journal import Journal
from harness.recording.ledger import Ledger
from harness.recording.summary import Cpu, Summary
from harness.recording.tally import Tally

FLUSH_EVERY = 0.5
FLUSH_PAUSE = 0.001
"""Seconds between the batches of a flush, in which calls are sent and answers read."""
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
        header: Mapping[str, object],
        on_trouble: Callable[[str], None],
        *,
        ship: Ship | None = None,
        mirror: Mirror | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self._directory = directory
        self._worker = worker
        self._on_trouble = on_trouble
        self._ship = ship
        self._clock = clock
        self.troubles: list[str] = []
        self._tally = Tally(directory / SAMPLES, worker)
        self._ledger = Ledger(directory, worker, header, mirror)
        self._encoder = Encoder()
        self._journal = Journal(directory / SAMPLES, worker, on_a_thread, self._encoder)
        self._encoder.be_ready()
        self._collector = Collector(self._write, self._tally.recorded)
        self._cpu = CpuMeter(clock.now)
        self._closing = Event()
        self._closed = False
        self._flusher = gevent.spawn(self._flush_until_closed)
        # Each call passes these, so they lead straight to what they mean: count an attempt that is about to be put on the
        # wire, note how many places of the budget are taken, record an attempt with its error's text, count its lateness.
        # `settle` does the part of recording that is cheaper for many attempts at once; nothing is lost without it.
        self.begun: Callable[[], None] = self._tally.begun
        self.places: Callable[[int], None] = self._tally.places
        self.attempt: Callable[[Sample, str], None] = self._collector.add
        self.late: Callable[[float], None] = self._collector.lateness.add
        self.settle: Callable[[], None] = self._collector.settle
        # The ledger's lines of the chats that are started between the two are written by the second.
        self.gather: Callable[[], None] = self._ledger.gather

    def commit(self) -> None:
        """Write the ledger's lines that have waited for each other since `gather`."""
        self._keep(self._ledger.commit)

    def started(self, contact_id: str, at: float) -> None:
        """Note that a chat was started."""
        try:
            self._ledger.started(contact_id, at)
        except OSError as error:
            self._fail(error)

    def ended(self, contact_id: str, how: str, end: ContactEnd | None = None) -> None:
        """Note how a chat has ended, and what the service says of its end where it was asked."""
        self._keep(
            lambda: self._ledger.ended(
                contact_id,
                self._clock.now(),
                how,
                reason=None if end is None else end.reason,
                service_times=None if end is None else end.times,
            )
        )

    def unanswered(self, client_token: str) -> None:
        """Note a start that got no answer: the chat may exist."""
        self._keep(lambda: self._ledger.unanswered(client_token, self._clock.now()))

    def load_is_over(self) -> None:
        """Note that the CPU from now on is not that of offering load."""
        self._cpu.stop()

    def summary(self) -> Summary:
        """Return what was recorded: outcomes, answers, lateness, samples and troubles, and the CPU that it cost."""
        collector = self._collector
        waiting = collector.waiting + self._tally.missing if self._closed else 0
        return Summary(
            worker=self._worker,
            outcomes=collector.outcome_counts(),
            answers=collector.error_texts(),
            lateness=collector.lateness.counts(),
            cpu=self._cpu.summary(),
            samples=collector.recorded,
            samples_lost=collector.lost + waiting,
            troubles=tuple(self.troubles),
        )

    def _keep(self, write: Callable[[], object]) -> bool:
        # False, and a trouble, when it fails.
        try:
            write()
        except OSError as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: OSError) -> None:
        if not self.troubles:
            said = (error.strerror or str(error)).lower()
            self.troubles.append(f"the run could not be recorded any more: {said} ({self._directory})")
            self._on_trouble(self.troubles[0])

    def close(self) -> None:
        """Write what is left and close the files; safe to call again."""
        if self._closed:
            return
        self._closing.set()
        self._flusher.join()
        complete = self._keep(self._collector.flush)
        complete = self._keep(self._journal.close) and complete
        self._encoder.stop()
        self._closed = True
        self._ledger.close()
        self._tally.close(remove=complete)

    def _write(self, batch: pa.RecordBatch) -> None:
        self._journal.append(batch)
        if self._ship is not None:
            self._ship(batch)

    def _pause(self) -> None:
        # Not 0: gevent would take this up again before it looks at a timer, and so would hold back the sends that are due.
        self._clock.sleep(FLUSH_PAUSE)

    def _flush_until_closed(self) -> None:
        while not self._clock.wait(self._closing, FLUSH_EVERY):
            self._keep(lambda: self._collector.flush(pause=self._pause))
            self._cpu.sample()


class CpuMeter:
    """The CPU of this thread, which is the loop that sends the calls, while load is offered."""

    def __init__(self, clock: Callable[[], float], busy: Callable[[], float] = time.thread_time) -> None:
        self._now = clock
        self._used = busy
        self._since = self._window = clock()
        self._busy = self._window_busy = busy()
        self._end: tuple[float, float] | None = None
        self._max = 0.0

    def sample(self) -> None:
        """Close the present window when it is over; to be called now and then."""
        at, busy = self._now(), self._used()
        if self._end is None and at - self._window >= CPU_WINDOW:
            self._max = max(self._max, 100 * (busy - self._window_busy) / (at - self._window))
            self._window, self._window_busy = at, busy

    def stop(self) -> None:
        """No load is offered any more: what the process does from now on does not count."""
        if self._end is None:
            self._end = (self._now(), self._used())

    def summary(self) -> Cpu:
        """Return busy seconds, seconds, and the highest percentage over a window (over all, before the first is full)."""
        at, busy = self._end or (self._now(), self._used())
        mean = 100 * (busy - self._busy) / max(at - self._since, 1e-9)
        return Cpu(busy - self._busy, at - self._since, max(self._max, mean))


def on_a_thread(work: Callable[[], object]) -> None:
    """Run `work` on a native thread while this greenlet waits: converting the last segment takes up to a second.

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
