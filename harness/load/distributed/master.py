"""A run over many processes, the master's side: workers offer the load, the master writes the directory.

Locust's own ending leaves workers half a second, and Ctrl-C reaches every process at once; so a worker ends its part by
itself too, once, whoever asks first. `harness.load.distributed.messages` says what travels.
"""

import logging
import time

import gevent
import msgspec
from gevent.event import Event

from harness.connect.client import Reply
from harness.connect.target import Target
from harness.errors import EXIT_INVALID
from harness.load.distributed.clocks import PATIENCE, Difference, WorkerClocks, begun, correction, ended, trouble
from harness.load.distributed.connections import MasterHost
from harness.load.distributed.lost_worker import take_over
from harness.load.distributed.messages import (
    Abandon,
    Ack,
    Announcement,
    Ask,
    BadMessage,
    Drain,
    Drained,
    End,
    Grant,
    Hopeless,
    Item,
    Report,
    Tock,
    Trouble,
    printable,
)
from harness.load.distributed.shipping import Inbox
from harness.load.options.options import Settings
from harness.load.run.coordinator import Coordinator
from harness.load.run.manifest import RunRecord
from harness.load.session.budget import Pool
from harness.load.session.recorder import on_a_thread
from harness.load.stopping.progress import drain_progress
from harness.recording.format.layout import SAMPLES
from harness.recording.format.manifest import WorkerClock
from harness.recording.tally import is_alive, read_counts

logger = logging.getLogger(__name__)

SILENCE_BEFORE_LOST = 10.0
"""Seconds without a heartbeat of a draining worker after which the master gives it up as lost."""
_WATCH_EVERY = 1.0


class MasterCoordinator(Coordinator):
    """Begins and ends a run whose load comes from workers."""

    def __init__(self, host: MasterHost) -> None:
        super().__init__(host)
        self._locust = host
        self._inboxes: dict[str, Inbox] = {}
        self._heard: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._drained: set[str] = set()
        self._incomplete: set[str] = set()
        self._pool: Pool | None = None
        self._watcher: gevent.Greenlet | None = None
        self._progress = Event()
        self._clocks = WorkerClocks(host.send)
        self._moved: dict[str, float] = {}
        host.on_report(self._on_report)
        host.on_heartbeat(self._on_heartbeat)
        host.on(Drained, self._on_drained, concurrent=True)
        host.on(Ask, self._on_ask)
        host.on(Tock, self._clocks.answered)
        host.on(Hopeless, self._on_worker_hopeless, concurrent=True)
        host.on(End, self._on_end)
        host.on(Trouble, self._on_worker_trouble, concurrent=True)

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        workers = self._locust.workers()
        self._names = {worker: self._name_of(worker) for worker in workers}
        self._inboxes, self._drained, self._incomplete = {}, set(), set()
        self._locust.refusals.counts.clear()
        self._heard = dict.fromkeys(workers, time.monotonic())
        self._pool = Pool(settings.max_chats) if settings.max_chats else None
        measured = self._clocks.measure(record.run_id, workers)
        moves = {worker: correction(found) for worker, found in measured.items()}
        record.note_clocks(
            {self._names[each]: begun(measured.get(each), self._moved.get(each, 0.0)) for each in workers}
        )
        for worker, move in moves.items():
            self._moved[worker] = self._moved.get(worker, 0.0) + move
        self._locust.announce(
            Announcement(
                run_id=record.run_id,
                directory=str(record.directory),
                user_class=record.user_class,
                names=self._names,
                order=workers,
                workload=(settings.workload.text, settings.workload.source),
                lab=self._lab.announcement if self._lab else None,
                clocks=moves,
            )
        )
        self._watcher = gevent.spawn(self._watch)

    def _watch(self) -> None:
        """See to it that the places of a worker that died are not waited for."""
        while True:
            gevent.sleep(_WATCH_EVERY)
            if self._pool is not None:
                for worker in self._missing():
                    self._write_off(worker)
                if self._pool.spent:
                    self.on_budget_spent()
                    return

    def missing_workers(self) -> list[str]:
        """Return the names of the workers of this run that have gone, or were not heard of for a while."""
        return sorted(self._names[worker] for worker in self._missing())

    def _missing(self) -> list[str]:
        return [worker for worker in self._names if self._locust.is_missing(worker)]

    def _name_of(self, worker: str) -> str:
        """Return what a worker is called in the run directory: the name that it was given, not one that it says."""
        return f"worker-{self._locust.index_of(worker)}"

    def _write_off(self, worker: str) -> None:
        record, pool = self.record, self._pool
        if record is None or pool is None:
            return
        samples, name = record.directory / SAMPLES, self._names[worker]
        counts = None if is_alive(samples, name) else read_counts(samples, name)
        before = pool.left
        pool.write_off(worker, counts.places if counts else None)
        if pool.left > before:
            self._locust.send(Grant(run_id=record.run_id, granted=0, more=True))

    def abandon(self) -> None:
        """Do not wait for the chats that are still open, and tell the workers so."""
        super().abandon()
        self._leave_chats()

    def _leave_chats(self) -> None:
        if self.record is not None:
            self._locust.send(Abandon(run_id=self.record.run_id))

    # --- ending --------------------------------------------------------------------------------------------------------

    def _end_load(self) -> None:
        record = self.record
        assert record is not None
        if self._watcher is not None:
            self._watcher.kill(block=False)
        try:
            here = [worker for worker in self._names if self._locust.is_connected(worker)]
            look = gevent.spawn(self._clocks.measure, record.run_id, here)
            self._drain_workers(record)
            look.join(2 * PATIENCE)
            self._judge_clocks(record, look.value or {})
            for inbox in self._inboxes.values():
                inbox.close()
            lost = [name for w, name in self._names.items() if w not in self._drained or w in self._incomplete]
            record.troubles += [
                sentence
                for worker, name in self._names.items()
                if (sentence := self._locust.refusals.sentence(worker, name)) is not None
            ]
            for name in lost:
                record.workers_lost.add(name)
                record.events.note("worker_lost", note=name, at=self._last_heard(name))
                take_over(record, name, shipped=name in self._inboxes, abandoned=lambda: self.abandoned)
            if len(lost) == len(self._names):
                self.end_run("workers_lost", EXIT_INVALID)  # Locust would wait for new ones
        finally:
            self._inboxes = {}
            self._locust.announce(None)

    def _judge_clocks(self, record: RunRecord, found: dict[str, Difference]) -> None:
        """Note how far each worker's times were off at the end, and whether the run can be relied on."""
        for worker, name in self._names.items():
            clock = ended(record.clocks.get(name, WorkerClock()), found.get(worker))
            record.note_clocks({name: clock})
            # A process that writes into this directory is of this machine, however long a busy one lets it wait to answer.
            if (sentence := trouble(name, clock, elsewhere=name in self._inboxes)) is not None:
                record.troubles.append(sentence)

    def _drain_workers(self, record: RunRecord) -> None:
        waiting = set(self._names) - self._drained
        for worker in waiting:
            if self._locust.is_connected(worker):
                self._locust.send(Drain(run_id=record.run_id), worker)
        with drain_progress() as progress:
            while pending := waiting - self._drained:
                self._progress.clear()
                self._progress.wait(0.5)
                chats = record.chats
                ended = chats.stopped + chats.already_ended + chats.kept
                progress(ended, ended + chats.left_open)
                waiting -= {w for w in pending if self._is_lost(record, w)}

    def _last_heard(self, name: str) -> float:
        """When (unix s) the worker of that name was last heard of."""
        now = time.monotonic()
        heard = [self._heard.get(worker, now) for worker, known in self._names.items() if known == name]
        return time.time() - (now - max(heard, default=now))

    def _is_lost(self, record: RunRecord, worker: str) -> bool:
        silent = time.monotonic() - self._heard.get(worker, 0.0)
        if silent > SILENCE_BEFORE_LOST:
            return True
        # Dead for certain: its tally lies on this disk and nobody holds it. One that has just closed it speaks up at once.
        tally = read_counts(record.directory / SAMPLES, self._names[worker])
        return silent > 3.0 and tally is not None and not is_alive(record.directory / SAMPLES, self._names[worker])

    # --- what workers say ----------------------------------------------------------------------------------------------

    def _known(self, worker: str, run_id: str) -> RunRecord | None:
        """Return the present run, if that is what the worker speaks of. Raises BadMessage for one that is not a worker."""
        if self.record is None or self.record.run_id != run_id:
            return None
        if worker not in self._names and not self._locust.is_connected(worker):
            raise BadMessage("it is not one of the workers")
        return self.record

    def _on_heartbeat(self, worker: str) -> None:
        self._heard[worker] = time.monotonic()

    def _on_report(self, worker: str, report: Report) -> None:
        record = self._known(worker, report.run_id)
        if record is None:
            return
        name = self._names.get(worker) or self._name_of(worker)
        if report.summary.worker != name:
            raise BadMessage(f"it is {name} and reports as {report.summary.worker!r}")
        self._names[worker] = name
        troubles = tuple(printable(trouble) for trouble in report.summary.troubles)
        record.parts[name] = msgspec.structs.replace(report.summary, troubles=troubles)
        self._heard[worker] = time.monotonic()
        if report.items is not None:
            self._receive(record, worker, name, report.items)

    def _receive(self, record: RunRecord, worker: str, name: str, items: list[Item]) -> None:
        inbox = self._inboxes.get(name)
        if inbox is None:
            inbox = self._inboxes[name] = Inbox(record.directory, name, on_a_thread)
        try:
            inbox.receive(items)
        except OSError as error:
            self.on_trouble(f"the run could not be recorded any more: {(error.strerror or str(error)).lower()}")
        finally:
            record.samples_received[name] = inbox.rows
        self._locust.send(Ack(run_id=record.run_id, number=inbox.number), worker)

    def _on_drained(self, worker: str, said: Drained) -> None:
        record = self._known(worker, said.run_id)
        if record is None:
            return
        self._drained.add(worker)
        if self._ending is None and worker in self._names:
            name = self._names[worker]
            record.troubles.append(f"{name} left before the end of the run, so less was offered than asked for")
        if not said.complete:
            self._incomplete.add(worker)
        self._progress.set()

    def _on_ask(self, worker: str, said: Ask) -> None:
        record, pool = self._known(worker, said.run_id), self._pool
        if pool is None or record is None:
            return
        before = pool.left
        try:
            granted, more = pool.ask(worker, said.wanted, said.returned, said.kept)
        except ValueError as error:
            raise BadMessage(str(error)) from error
        self._locust.send(Grant(run_id=record.run_id, granted=granted, more=more), worker)
        if pool.left > before:
            self._locust.send(Grant(run_id=record.run_id, granted=0, more=True))
        if pool.spent and self._wanted_end is None and self._ending is None:
            self.on_budget_spent()

    def _on_worker_hopeless(self, worker: str, said: Hopeless) -> None:
        if self._known(worker, said.run_id) is not None and self._wanted_end is None:
            code = None if said.error_code is None else printable(said.error_code)
            reply = Reply(
                outcome=printable(said.outcome),
                sent=0.0,
                received=0.0,
                status=said.status,
                error_code=code,
                message=printable(said.message),
            )
            self.on_hopeless(reply)

    def _on_end(self, worker: str, said: End) -> None:
        if self._known(worker, said.run_id) is not None:
            self.end_run(said.why, said.exit_code)

    def _on_worker_trouble(self, worker: str, said: Trouble) -> None:
        record = self._known(worker, said.run_id)
        if record is not None and self._wanted_end is None:
            sentence = f"{self._names.get(worker) or self._name_of(worker)}: {printable(said.said)}"
            record.troubles.append(sentence)
            self.on_trouble(sentence)
