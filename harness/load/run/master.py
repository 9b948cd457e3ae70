"""A run over many processes, the master's side: workers offer the load, the master writes the directory.

What travels, over Locust's own connections (all values plain):

- master to workers with the spawn message, in the parsed options: RUN (run id, directory, names, target).
- worker to master in each of Locust's reports: REPORT with the worker's summary and, where the worker's disk is not the
  master's, its new samples and ledger lines; the master answers each with ACK (`harness.load.run.shipping`).
- worker to master: ASK for places in the budget of chats, answered with GRANT (`harness.load.session.budget`).
- master to workers at the end: DRAIN. Each worker stops arrivals, lets its calls end, stops its chats, sends what it still
  has, then DRAINED on the same connection, so that nothing can arrive after it.

Locust's own ending leaves workers half a second, and Ctrl-C reaches every process at once; so a worker ends its part by
itself too, once, whoever asks first.
"""

import logging
import time
from typing import Any

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.connect.target import Target
from harness.errors import EXIT_INVALID
from harness.load.options.options import Settings
from harness.load.run.coordinator import Coordinator
from harness.load.run.lost_worker import take_over
from harness.load.run.manifest import RunRecord
from harness.load.run.shipping import Inbox
from harness.load.session.budget import Pool
from harness.load.session.recorder import on_a_thread
from harness.load.stopping.progress import drain_progress
from harness.recording.format.layout import SAMPLES
from harness.recording.tally import is_alive, read_counts

logger = logging.getLogger(__name__)

RUN, REPORT, ACK = "chatquota_run", "chatquota", "chatquota_ack"
DRAIN, DRAINED, ABANDON = "chatquota_drain", "chatquota_drained", "chatquota_abandon"
ASK, GRANT = "chatquota_ask", "chatquota_grant"
HOPELESS, TROUBLE, END = "chatquota_hopeless", "chatquota_trouble", "chatquota_end"
SILENCE_BEFORE_LOST = 10.0
"""Seconds without a heartbeat of a draining worker after which the master gives it up as lost."""
_WATCH_EVERY = 1.0


class MasterCoordinator(Coordinator):
    """Begins and ends a run whose load comes from workers."""

    def __init__(self, environment: Any, runner: Any) -> None:
        super().__init__(environment)
        self._runner = runner
        self._inboxes: dict[str, Inbox] = {}
        self._heard: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._drained: set[str] = set()
        self._incomplete: set[str] = set()
        self._pool: Pool | None = None
        self._watcher: gevent.Greenlet | None = None
        self._progress = Event()
        environment.events.worker_report.add_listener(self._on_report)
        environment.events.heartbeat_sent.add_listener(self._on_heartbeat)
        runner.register_message(DRAINED, self._on_drained, concurrent=True)
        runner.register_message(ASK, self._on_ask)
        runner.register_message(HOPELESS, self._on_hopeless, concurrent=True)
        runner.register_message(END, self._on_end)
        runner.register_message(TROUBLE, self._on_worker_trouble, concurrent=True)

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        clients = self._runner.clients
        workers = [client.id for client in clients.ready + clients.running + clients.spawning]
        workers.sort(key=self._runner.get_worker_index)
        self._names = {worker: f"worker-{self._runner.get_worker_index(worker)}" for worker in workers}
        self._inboxes, self._drained, self._incomplete = {}, set(), set()
        self._heard = dict.fromkeys(workers, time.monotonic())
        self._pool = Pool(settings.max_chats) if settings.max_chats else None
        run = {
            "run_id": record.run_id,
            "directory": str(record.directory),
            "names": self._names,
            "order": workers,
            "workload": [settings.workload.text, settings.workload.source],
            "lab": self._lab.announcement if self._lab else None,
        }
        setattr(self.environment.parsed_options, RUN, run)
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

    def _missing(self) -> list[str]:
        return [w for w in self._names if w not in self._runner.clients or self._runner.clients[w].state == "missing"]

    def _write_off(self, worker: str) -> None:
        record, pool = self.record, self._pool
        if record is None or pool is None:
            return
        samples, name = record.directory / SAMPLES, self._names[worker]
        counts = None if is_alive(samples, name) else read_counts(samples, name)
        before = pool.left
        pool.write_off(worker, counts.places if counts else None)
        if pool.left > before:
            self._runner.send_message(GRANT, {"run_id": record.run_id, "granted": 0, "more": True})

    def abandon(self) -> None:
        """Do not wait for the chats that are still open, and tell the workers so."""
        super().abandon()
        self._leave_chats()

    def _leave_chats(self) -> None:
        if self.record is not None:
            self._runner.send_message(ABANDON, {"run_id": self.record.run_id})

    # --- ending --------------------------------------------------------------------------------------------------------

    def _end_load(self) -> None:
        record = self.record
        assert record is not None
        if self._watcher is not None:
            self._watcher.kill(block=False)
        try:
            self._drain_workers(record)
            for inbox in self._inboxes.values():
                inbox.close()
            lost = [name for w, name in self._names.items() if w not in self._drained or w in self._incomplete]
            for name in lost:
                record.workers_lost.add(name)
                take_over(record, name, shipped=name in self._inboxes, abandoned=lambda: self.abandoned)
            if len(lost) == len(self._names):
                self.end_run("workers_lost", EXIT_INVALID)  # Locust would wait for new ones
        finally:
            self._inboxes = {}
            self.environment.parsed_options.__dict__.pop(RUN, None)

    def _drain_workers(self, record: RunRecord) -> None:
        waiting = set(self._names) - self._drained
        for worker in waiting:
            if worker in self._runner.clients:
                self._runner.send_message(DRAIN, {"run_id": record.run_id}, worker)
        with drain_progress() as progress:
            while pending := waiting - self._drained:
                self._progress.clear()
                self._progress.wait(0.5)
                chats = record.chats
                ended = chats["stopped"] + chats["already_ended"] + chats["kept"]
                progress(ended, ended + chats["left_open"])
                waiting -= {w for w in pending if self._is_lost(record, w)}

    def _is_lost(self, record: RunRecord, worker: str) -> bool:
        silent = time.monotonic() - self._heard.get(worker, 0.0)
        if silent > SILENCE_BEFORE_LOST:
            return True
        # Dead for certain: its tally lies on this disk and nobody holds it. One that has just closed it speaks up at once.
        tally = read_counts(record.directory / SAMPLES, self._names[worker])
        return silent > 3.0 and tally is not None and not is_alive(record.directory / SAMPLES, self._names[worker])

    # --- what workers say ----------------------------------------------------------------------------------------------

    def _on_heartbeat(self, client_id: str, **_: Any) -> None:
        self._heard[client_id] = time.monotonic()

    def _on_report(self, client_id: str, data: dict[str, Any]) -> None:
        record, part = self.record, data.pop(REPORT, None)
        if part is None or record is None or part["run_id"] != record.run_id:
            return
        name = part["summary"]["worker"]
        self._names.setdefault(client_id, name)
        record.parts[name] = part["summary"]
        self._heard[client_id] = time.monotonic()
        if part["items"] is None:
            return
        inbox = self._inboxes.get(name)
        if inbox is None:
            inbox = self._inboxes[name] = Inbox(record.directory, name, on_a_thread)
        try:
            inbox.receive(part["items"])
        except OSError as error:
            self.on_trouble(f"the run could not be recorded any more: {(error.strerror or str(error)).lower()}")
        record.samples_received[name] = inbox.rows
        self._runner.send_message(ACK, {"run_id": record.run_id, "number": inbox.number}, client_id)

    def _on_drained(self, environment: Any, msg: Any, **_: Any) -> None:
        if self.record is not None and msg.data["run_id"] == self.record.run_id:
            self._drained.add(msg.node_id)
            if self._ending is None and msg.node_id in self._names:
                name = self._names[msg.node_id]
                self.record.troubles.append(
                    f"{name} left before the end of the run, so less was offered than asked for"
                )
            if not msg.data["complete"]:
                self._incomplete.add(msg.node_id)
            self._progress.set()

    def _on_ask(self, environment: Any, msg: Any, **_: Any) -> None:
        pool, record, said = self._pool, self.record, msg.data
        if pool is None or record is None or said["run_id"] != record.run_id:
            return
        before = pool.left
        granted, more = pool.ask(msg.node_id, said["wanted"], said["returned"], said["kept"])
        self._runner.send_message(GRANT, {"run_id": record.run_id, "granted": granted, "more": more}, msg.node_id)
        if pool.left > before:
            self._runner.send_message(GRANT, {"run_id": record.run_id, "granted": 0, "more": True})
        if pool.spent and self._wanted_end is None and self._ending is None:
            self.on_budget_spent()

    def _on_hopeless(self, environment: Any, msg: Any, **_: Any) -> None:
        if self._wanted_end is None:
            self.on_hopeless(Reply(sent=0.0, received=0.0, **msg.data))

    def _on_end(self, environment: Any, msg: Any, **_: Any) -> None:
        if self.record is not None and msg.data["run_id"] == self.record.run_id:
            self.end_run(msg.data["why"], msg.data["exit_code"])

    def _on_worker_trouble(self, environment: Any, msg: Any, **_: Any) -> None:
        if self.record is not None and self._wanted_end is None:
            name = self._names.get(msg.node_id, msg.node_id)
            self.record.troubles.append(f"{name}: {msg.data['said']}")
            self.on_trouble(f"{name}: {msg.data['said']}")
