"""A run over many processes: workers offer the load, the master writes the directory.

What travels, over Locust's own connections (all values plain):

- master to workers with the spawn message, in the parsed options: `chatquota_run` (run id, directory, shares, target).
- worker to master in each of Locust's reports: `chatquota` with the worker's summary and, where the worker's disk is not
  the master's, its new samples (Arrow streams) and ledger lines.
- master to workers at the end: `chatquota_drain`. Each worker stops arrivals, lets its calls end, stops its chats, sends a
  last report, then `chatquota_drained` on the same connection, so that nothing can arrive after the acknowledgement.

Locust's own ending leaves workers half a second, and Ctrl-C reaches every process at once; so a worker ends its part by
itself too, once, whoever asks first.
"""

import io
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from gevent.event import Event

from harness.connect.client import Reply
from harness.connect.target import Target
from harness.load.budget import share_of
from harness.load.coordinator import Coordinator
from harness.load.lab import lab_target
from harness.load.local import end_session
from harness.load.options import Settings, read_settings
from harness.load.progress import drain_progress
from harness.load.record import RunRecord
from harness.load.session import Part, Session
from harness.load.statistics import reporter
from harness.load.workload_file import parse_workload
from harness.recording.journal import Journal
from harness.recording.ledger import ledger_path
from harness.recording.rundir import MANIFEST, SAMPLES, read_manifest
from harness.usage import UsageError

logger = logging.getLogger(__name__)

RUN, REPORT = "chatquota_run", "chatquota"
DRAIN, DRAINED, SPENT, HOPELESS = "chatquota_drain", "chatquota_drained", "chatquota_spent", "chatquota_hopeless"
SILENCE_BEFORE_LOST = 30.0
"""Seconds without a word from a draining worker after which the master gives it up as lost."""


class MasterCoordinator(Coordinator):
    """Begins and ends a run whose load comes from workers."""

    def __init__(self, environment: Any, runner: Any) -> None:
        super().__init__(environment)
        self._runner = runner
        self._journals: dict[str, Journal] = {}
        self._heard: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._drained: set[str] = set()
        self._spent: set[str] = set()
        self._shares: dict[str, int | None] = {}
        self._progress = Event()
        environment.events.worker_report.add_listener(self._on_report)
        runner.register_message(DRAINED, self._on_drained, concurrent=True)
        runner.register_message(SPENT, self._on_spent, concurrent=True)
        runner.register_message(HOPELESS, self._on_hopeless, concurrent=True)

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        workers = [client.id for client in self._runner.clients.ready + self._runner.clients.running]
        workers.sort(key=self._runner.get_worker_index)
        self._shares = {worker: share_of(settings.max_chats, n, len(workers)) for n, worker in enumerate(workers)}
        self._names = {worker: f"worker-{self._runner.get_worker_index(worker)}" for worker in workers}
        self._journals, self._heard, self._drained, self._spent = {}, {}, set(), set()
        options = self.environment.parsed_options
        setattr(
            options,
            RUN,
            {
                "run_id": record.run_id,
                "directory": str(record.directory),
                "names": self._names,
                "shares": self._shares,
                "order": workers,
                "workload": [settings.workload.text, settings.workload.source],
                "lab": self._lab.announcement if self._lab else None,
            },
        )

    def _end_load(self) -> None:
        record = self.record
        assert record is not None
        present = {client.id for client in self._runner.clients.all if client.state != "missing"}
        waiting = {worker for worker in self._names if worker in present}
        for worker in waiting:
            self._heard[worker] = time.monotonic()
            self._runner.send_message(DRAIN, {"run_id": record.run_id}, worker)
        with drain_progress() as progress:
            while pending := waiting - self._drained:
                self._progress.clear()
                self._progress.wait(1.0)
                chats = record.chats
                ended = chats["stopped"] + chats["already_ended"] + chats["kept"]
                progress(ended, ended + chats["left_open"])
                silent = {w for w in pending if time.monotonic() - self._heard.get(w, 0.0) > SILENCE_BEFORE_LOST}
                waiting -= silent
        for worker, name in self._names.items():
            if worker not in self._drained:
                record.workers_lost.add(name)
        for journal in self._journals.values():
            journal.close()
        self._journals = {}

    def _on_report(self, client_id: str, data: dict[str, Any]) -> None:
        record, part = self.record, data.pop(REPORT, None)
        if part is None or record is None or part["run_id"] != record.run_id:
            return
        name = part["summary"]["worker"]
        record.parts[name] = part["summary"]
        self._heard[client_id] = time.monotonic()
        if part["shipped"] is None:
            return
        journal = self._journals.get(name)
        if journal is None:
            journal = self._journals[name] = Journal(record.directory / SAMPLES, name)
            record.samples_received[name] = 0
        for stream in part["shipped"]:
            for batch in pa.ipc.open_stream(stream):
                journal.append(batch)
                record.samples_received[name] += batch.num_rows
        if part["ledger"]:
            with ledger_path(record.directory, name).open("ab") as ledger:
                ledger.write(b"".join(part["ledger"]))

    def _on_drained(self, environment: Any, msg: Any, **_: Any) -> None:
        if self.record is not None and msg.data["run_id"] == self.record.run_id:
            self._drained.add(msg.node_id)
            self._progress.set()

    def _on_spent(self, environment: Any, msg: Any, **_: Any) -> None:
        self._spent.add(msg.node_id)
        if all(worker in self._spent or share == 0 for worker, share in self._shares.items()):
            self.on_budget_spent()

    def _on_hopeless(self, environment: Any, msg: Any, **_: Any) -> None:
        if self._wanted_end is None:
            self.on_hopeless(Reply(sent=0.0, received=0.0, **msg.data))


class WorkerCoordinator:
    """A worker's part of a run: it offers load, records it, and ships what the master's disk does not have."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.session: Session | None = None
        self.exit_code: int | None = None
        self._runner = runner
        self._outbox: list[bytes] | None = None
        self._ledger_lines: list[bytes] = []
        self._ending: Event | None = None
        runner.register_message(DRAIN, self._on_drain, concurrent=True)
        # First in line: the summary must be in the report before Locust sends it.
        environment.events.report_to_master.add_listener(self._on_report)

    def begin(self) -> None:
        """Start this worker's part of the run that the master announced."""
        run: dict[str, Any] | None = getattr(self.environment.parsed_options, RUN, None)
        if run is None:
            raise UsageError("the master runs no chatquota; start it with the same locustfile")
        self._end_before_begin()
        me = self._runner.client_id
        options = self.environment.parsed_options
        options.workload = ""  # the file is the master's; its text came with the run
        settings = read_settings(options, None if run["lab"] else self.environment.host)
        settings = replace(settings, workload=parse_workload(*run["workload"]))
        target = lab_target(run["lab"]) if run["lab"] else settings.resolve()
        directory = Path(run["directory"])
        shared = _holds_run(directory, run["run_id"])
        self._outbox = None if shared else []
        self._ledger_lines = []
        name = run["names"].get(me, f"worker-{self._runner.worker_index}")
        index = run["order"].index(me) if me in run["order"] else len(run["order"])
        self._ending = None
        self.session = Session(
            settings,
            target,
            Part(run["run_id"], directory, name, index, len(run["order"])),
            run["shares"].get(me, 0 if settings.max_chats else None),  # a late worker has no part of the budget
            reporter(self.environment.events.request.fire),
            self._tell_hopeless,
            self._tell_spent,
            ship=None if shared else self._ship,
            mirror=None if shared else self._ledger_lines.append,
        )

    def finish(self, why: str) -> None:
        """End this worker's part: stop its chats, send all that it has, acknowledge. Later callers wait for the first."""
        session = self.session
        if self._ending is not None:
            self._ending.wait()
            return
        if session is None:
            return
        self._ending = Event()
        try:
            logger.debug("ending the worker's part of run %s (%s)", session.part.run_id, why)
            end_session(session)
        finally:
            session.close()
            try:
                self._runner._send_stats()
                self._runner.send_message(DRAINED, {"run_id": session.part.run_id})
            finally:
                self.session = None
                self._ending.set()

    def _end_before_begin(self) -> None:
        if self.session is not None:  # the master went away and another one starts
            self.finish("new run")

    def _on_drain(self, environment: Any, msg: Any, **_: Any) -> None:
        if self.session is not None and msg.data["run_id"] == self.session.part.run_id:
            self.finish("drain")

    def _ship(self, batch: pa.RecordBatch) -> None:
        assert self._outbox is not None
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
            stream.write_batch(batch)
        self._outbox.append(sink.getvalue())

    def _on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        session = self.session
        if session is None:
            return
        shipped: list[bytes] | None = None
        lines: list[bytes] = []
        if self._outbox is not None:
            shipped, self._outbox = self._outbox, []
            lines = self._ledger_lines[:]
            self._ledger_lines.clear()
        data[REPORT] = {
            "run_id": session.part.run_id,
            "summary": session.summary(),
            "shipped": shipped,
            "ledger": lines,
        }

    def _tell_spent(self) -> None:
        assert self.session is not None
        self._runner.send_message(SPENT, {"run_id": self.session.part.run_id})

    def _tell_hopeless(self, reply: Reply) -> None:
        said = {
            "outcome": reply.outcome,
            "status": reply.status,
            "error_code": reply.error_code,
            "message": reply.message,
        }
        self._runner.send_message(HOPELESS, said)


def _holds_run(directory: Path, run_id: str) -> bool:
    """Whether the master's run directory is on this machine's disk as well."""
    if not (directory / MANIFEST).exists():
        return False
    try:
        return bool(read_manifest(directory).get("run_id") == run_id)
    except UsageError:
        return False
