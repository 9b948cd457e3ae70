"""A run over many processes, a worker's side: it offers load, records it, and ships what the master's disk does not have."""

import logging
from dataclasses import replace
from pathlib import Path
from shlex import quote

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.counting import counted
from harness.errors import EXIT_INVALID, UsageError
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.distributed.connections import WorkerHost
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
    Report,
    Tick,
    Tock,
    Trouble,
)
from harness.load.distributed.shipping import Outbox
from harness.load.options.reading import read_settings
from harness.load.run.embedded_emulator import lab_target
from harness.load.session.budget import Budget, LeasedBudget
from harness.load.session.ending import end_session
from harness.load.session.session import Copies, Listeners, Part, Session
from harness.load.workload.toml import parse_workload
from harness.recording.format.layout import MANIFEST
from harness.recording.format.manifest import read_manifest

logger = logging.getLogger(__name__)

MASTER_SILENCE = 6.0
"""Seconds without a heartbeat of the master after which a worker ends its part: nobody would stop it otherwise."""
LONGEST_SHIPPING = 30.0
"""Seconds that a worker gives its last samples to reach the master."""
_REPORT_EVERY = 1.0


class WorkerCoordinator:
    """A worker's part of a run."""

    def __init__(self, host: WorkerHost, clock: Clock = CLOCK) -> None:
        self._locust = host
        self._clock = clock
        self.session: Session | None = None
        self.exit_code: int | None = None
        self.abandoned = False
        self._run_id = ""
        self._own_directory: str = host.options.run_dir  # the master's option takes its place later
        self._outbox: Outbox | None = None
        self._ending: Event | None = None
        self._ended_run = ""
        self._master_heard = self._clock.now()
        host.on(Drain, self._on_drain, concurrent=True)
        host.on(Abandon, self._on_abandon)
        host.on(Tick, self._on_tick)
        host.on(Ack, self._on_ack)
        host.on(Grant, self._on_grant)
        host.on_reporting(self._report)
        host.on_heartbeat(self._on_heartbeat)

    @property
    def ending(self) -> bool:
        """Whether this worker's part is being ended."""
        return self.session is not None and self._ending is not None

    def begin(self) -> None:
        """Start this worker's part of the run that the master announced; what prevents it the master is told."""
        try:
            run = self._locust.announced()
        except BadMessage as error:
            logger.error("the master announced no run that this worker understands (%s): use the same chatquota", error)
            return
        if run is None:
            logger.error("the master began no run; its own message says why")
            return
        self._end_before_begin()
        self._run_id = run.run_id
        try:
            self._begin(run)
        except UsageError as error:
            self._tell_trouble(str(error))
        except OSError as error:
            said = f"{error.filename or 'the run directory'}: {(error.strerror or str(error)).lower()}"
            self._tell_trouble(f"--run-dir {said}; give this worker one that it can write")

    def _begin(self, run: Announcement) -> None:
        me = self._locust.name
        self._clock.move(run.clocks.get(me, 0.0))
        options = self._locust.options
        options.workload = options.gates = options.load_shape = ""  # files of the master's; the workload came as text
        settings = read_settings(options, None if run.lab else self._locust.endpoint)
        settings = replace(settings, workload=parse_workload(*run.workload))
        target = lab_target(run.lab) if run.lab else settings.resolve()
        directory, shared = self._directory(run)
        outbox = self._outbox = None if shared else Outbox()
        # A worker that came late stands behind the others; no two may share an index, which is part of every ClientToken.
        late = len(run.order) + max(self._locust.index, 0)
        name = run.names.get(me, f"worker-{self._locust.index}")
        index = run.order.index(me) if me in run.order else late
        self._ending = None
        self.abandoned = False
        self._master_heard = self._clock.now()
        self.session = Session(
            settings,
            target,
            Part(run.run_id, directory, name, index, max(len(run.order), 1)),
            LeasedBudget(self._ask, self._clock) if settings.max_chats else Budget(None),
            Listeners(self._locust.report, self._tell_hopeless, self._tell_spent, self._tell_trouble),
            self._locust.journey_of(run.user_class),
            copies=Copies(outbox.add_samples, outbox.add_ledger_line) if outbox else None,
            clock=self._clock,
        )
        gevent.spawn(self._watch_master, self.session)

    def finish(self, why: str) -> None:
        """End this worker's part: stop its chats, send all that it has, acknowledge. Later callers wait for the first."""
        if self.session is None:
            return
        if self._ending is None:
            self._ending = Event()
            gevent.spawn(self._finish, self.session, why)
        self._ending.wait()

    def abandon(self) -> None:
        """Do not wait for the chats that are still open."""
        self.abandoned = True
        if self.session is not None:
            self.session.abandon()

    def _finish(self, session: Session, why: str) -> None:
        assert self._ending is not None
        reporting = gevent.spawn(self._report_while_ending)
        complete = False
        try:
            logger.debug("ending the worker's part of run %s (%s)", session.part.run_id, why)
            try:
                end_session(session, quiet=self._master_lives)  # the master shows the progress of all
            finally:
                reporting.kill()
                session.close()
                self._ship_rest()
            complete = True
        finally:
            self._ended_run = session.part.run_id if complete else ""
            self._tell_drained(session.part.run_id)
            self._say_what_is_left(session)
            self.session = None
            self._ending.set()

    def _tell_drained(self, run_id: str) -> None:
        self._locust.send(Drained(run_id=run_id, complete=run_id == self._ended_run))

    def _say_what_is_left(self, session: Session) -> None:
        if session.chats.left_open and not session.settings.keep_chats:
            logger.error(
                "%s still open; `chatquota cleanup %s` ends what is open",
                counted(session.chats.left_open, "chat is", "chats are"),
                quote(str(session.part.directory)),
            )
        elif not self._master_lives:
            logger.error("what this worker did is in %s; `chatquota cleanup` brings it in", session.part.directory)

    def _report_while_ending(self) -> None:
        while True:
            self._clock.sleep(_REPORT_EVERY)
            self._locust.report_now()

    def _ship_rest(self) -> None:
        """Send the last report, and again until the master has written everything, for half a minute at most."""
        self._locust.report_now()
        give_up = self._clock.now() + LONGEST_SHIPPING
        while self._outbox and not self._outbox.empty and self._master_lives and self._clock.now() < give_up:
            if self._outbox.unsent:
                self._locust.report_now()
            self._clock.sleep(0.05)

    # --- the master ----------------------------------------------------------------------------------------------------

    @property
    def _master_lives(self) -> bool:
        return self._clock.now() - self._master_heard < MASTER_SILENCE

    def _on_heartbeat(self) -> None:
        self._master_heard = self._clock.now()

    def _watch_master(self, session: Session) -> None:
        while self.session is session:
            self._clock.sleep(0.5)
            if not self._master_lives:
                logger.error("the master has gone silent: this worker stops offering load and stops its chats")
                self.finish("master gone")
                if not self._master_lives:
                    self.exit_code = EXIT_INVALID
                    self._locust.exit_with(EXIT_INVALID)
                    self._locust.quit()
                return

    def _end_before_begin(self) -> None:
        if self.session is not None:  # the master went away and another one starts
            self.finish("new run")

    def _directory(self, run: Announcement) -> tuple[Path, bool]:
        """Where this worker records, and whether that is the master's own run directory."""
        masters = Path(run.directory)
        own = Path(self._own_directory).resolve() if self._own_directory else None
        if own in (None, masters) and _holds_run(masters, run.run_id):
            return masters, True
        return (own or Path("runs").resolve()) / run.run_id, False

    def _current(self, run_id: str) -> Session | None:
        """Return the session, if that is the run's of which the master speaks."""
        session = self.session
        return session if session is not None and session.part.run_id == run_id else None

    def _on_drain(self, _: str, said: Drain) -> None:
        if self._current(said.run_id) is not None:
            self.finish("drain")
        else:  # it could not begin, or has ended its part already: the master must not wait
            self._tell_drained(said.run_id)

    def _on_tick(self, _: str, said: Tick) -> None:
        self._locust.send(Tock(run_id=said.run_id, number=said.number, at=self._clock.now()))

    def _on_abandon(self, _: str, said: Abandon) -> None:
        if self._current(said.run_id) is not None:
            self.abandon()

    def _on_ack(self, _: str, said: Ack) -> None:
        if self._outbox is not None and self._current(said.run_id) is not None:
            self._outbox.acknowledged(said.number, self._clock.now())

    def _on_grant(self, _: str, said: Grant) -> None:
        session = self._current(said.run_id)
        if session is not None and isinstance(session.budget, LeasedBudget):
            session.budget.grant(said.granted, said.more)
            session.tell_if_spent()

    def _report(self) -> Report | None:
        session = self.session
        if session is None:
            return None
        items = self._outbox.take(self._clock.now()) if self._outbox is not None else None
        return Report(run_id=session.part.run_id, summary=session.summary(), items=items)

    def _ask(self, wanted: int, returned: int) -> None:
        session = self.session
        if session is not None:
            self._locust.send(
                Ask(run_id=session.part.run_id, wanted=wanted, returned=returned, kept=session.budget.kept)
            )

    def _tell_spent(self) -> None:
        budget = self.session.budget if self.session is not None else None
        if isinstance(budget, LeasedBudget):
            self._ask(budget.granted, budget.returned)  # nothing more, but the master learns how much is spent

    def end_run(self, why: str, exit_code: int | None = None) -> None:
        """Ask the master to end the run; `why` and `exit_code` go into the manifest."""
        session = self.session
        if session is not None:
            self._locust.send(End(run_id=session.part.run_id, why=why, exit_code=exit_code))

    def _tell_hopeless(self, reply: Reply) -> None:
        self._locust.send(
            Hopeless(
                run_id=self._run_id,
                outcome=reply.outcome,
                status=reply.status,
                error_code=reply.error_code,
                message=reply.message,
            )
        )

    def _tell_trouble(self, sentence: str) -> None:
        logger.error("%s", sentence)
        self._locust.send(Trouble(run_id=self._run_id, said=sentence))


def _holds_run(directory: Path, run_id: str) -> bool:
    """Whether the master's run directory is on this machine's disk as well."""
    if not (directory / MANIFEST).exists():
        return False
    try:
        return read_manifest(directory).contents.run_id == run_id
    except UsageError:
        return False
