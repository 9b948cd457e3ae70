"""A run from start to end, in the process that writes its directory: the local one, or the master of workers."""

import logging
import subprocess
import sys
from shlex import quote
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.connect.target import Target
from harness.connect.wire import Endpoint, WireError
from harness.counting import counted
from harness.errors import (
    EXIT_DONE,
    EXIT_GATE,
    EXIT_GUARD,
    EXIT_INVALID,
    EXIT_TARGET,
    ChatquotaError,
    Unreachable,
    UsageError,
)
from harness.load.options import guard
from harness.load.options.options import Settings
from harness.load.options.reading import read_settings, recorded_options
from harness.load.options.target_choice import target_line
from harness.load.run.early_gates import aborting_gates, watch_gates
from harness.load.run.embedded_emulator import Lab, lab_target, start_lab
from harness.load.run.events import watch_users
from harness.load.run.host import Host
from harness.load.run.judgement import hint_on
from harness.load.run.manifest import RunRecord
from harness.recording.format.layout import check_run_directory, create_run_directory, new_run_id
from harness.recording.summary import Summary
from harness.storage.uploader import Uploader, check_upload

if TYPE_CHECKING:
    from harness.load.run.instance_watch import InstanceWatch

logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.5  # seconds between two looks at the embedded emulator
_TRACEBACK = "Traceback (most recent call last)"


class Unwanted(ChatquotaError):
    """The user ended a run before its first call."""

    exit_code = EXIT_GUARD


class Coordinator:
    """Begins and ends runs. What differs between one process and many is in `_begin_load` and `_end_load`.

    Locust fires its events from several greenlets (run time, web UI, signal), so ending is asked for more than once: the
    first asks, the others wait.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.record: RunRecord | None = None
        self.exit_code: int | None = None
        self.last_directory: str | None = None
        self._lab: Lab | None = None
        self._lab_endpoint: str | None = None
        self._wanted_end: tuple[str, int | None] | None = None
        self._ending: Event | None = None
        self._hours_over: gevent.Greenlet | None = None
        self._gate_watch: gevent.Greenlet | None = None
        self._lab_watch: gevent.Greenlet | None = None
        self._user_watch: gevent.Greenlet | None = None
        self._instance_watch: InstanceWatch | None = None
        self._uploader = Uploader()
        self.abandoned = False
        self.confirmed = False
        """Whether somebody has read the announcement of the live run that begins next, and said yes."""
        self._unwanted: Event | None = None

    # --- beginning -----------------------------------------------------------------------------------------------------

    def check(self, settings: Settings | None = None) -> Settings:
        """Check what a run needs before anything runs: `settings`, by default the present options.

        Raises UsageError or Unreachable.
        """
        settings = settings or self._settings()
        aborting_gates(settings.gates)
        check_run_directory(settings.run_dir)
        check_upload(settings.upload)
        if settings.embedded:
            self._start_lab(settings)  # it knows whether its spec is right; the run that follows takes it over
        else:
            target = settings.resolve()
            guard.check_hours(settings, target)
            reach(target, settings.call_timeout)
        return settings

    def begin(self) -> None:
        """Start a run: the lab if there is none to call, the run directory, and the load."""
        self._wanted_end = None
        self._ending = None
        self.exit_code = None
        self.abandoned = False
        settings = self._settings()
        if settings.embedded:
            lab = self._start_lab(settings)
            self._lab_endpoint = lab.announcement.endpoint
            self.host.endpoint = self._lab_endpoint
            target = lab_target(lab.announcement)
        else:
            target = settings.resolve()
        try:
            guard.check_hours(settings, target)
            account = guard.account_of(target) if target.live else None
            print(f"chatquota: {target_line(target, account)}", file=sys.stderr, flush=True)
            reach(target, settings.call_timeout)
            if account is not None:
                self._announce(settings, target, account)
            user_class = self.host.user_class
            run_id = new_run_id(user_class)
            directory = create_run_directory(settings.run_dir, run_id)
            options = recorded_options(self.host.options)
            self.record = RunRecord(run_id, directory, user_class, settings, target, options, account)
            self.last_directory = str(directory)
            logger.info("run %s: recording in %s", run_id, directory)
            try:
                if target.live:
                    # Before the load: three SDK clients take a few tenths of a second to make; their calls would be late.
                    from harness.load.run.instance_watch import InstanceWatch

                    self._instance_watch = InstanceWatch(target)
                self._uploader.begin(directory, settings.upload)
                self._begin_load(self.record, settings, target)
                self._follow(settings)
            except BaseException:
                self._uploader.stop()
                if self._instance_watch is not None:
                    self._instance_watch.stop()
                    self._instance_watch = None
                self.record.release()
                self.record = None
                raise
        except OSError as error:
            self._stop_lab()
            said = (error.strerror or str(error)).lower()
            raise UsageError(f"--run-dir {error.filename or settings.run_dir}: {said}; name a writable one") from error
        except BaseException:
            self._stop_lab()
            raise

    def _follow(self, settings: Settings) -> None:
        """Follow the embedded emulator, the gates that may end the run, and the users."""
        self._lab_watch = gevent.spawn(self._watch_lab, self._lab) if self._lab is not None else None
        self._gate_watch = watch_gates(aborting_gates(settings.gates), self.parts, self.on_gate_breached)
        if (record := self.record) is not None:
            self._user_watch = watch_users(record.events, lambda: self.host.users_now)

    def _announce(self, settings: Settings, target: Target, account: str) -> None:
        """Say what a live run is about to do, let the user end it, and end it when AWS's hours are over."""
        users = self.host.users
        lines = self.announcement(settings, users, target, account)
        print("\n".join(lines), file=sys.stderr, flush=True)
        from harness.load.run.first_look import look_first

        look_first(settings, target, self.host.user_class, users, self.host.options.run_time)
        confirmed, self.confirmed = self.confirmed or settings.yes, False
        if not confirmed:
            self._unwanted = Event()
            wanted = guard.countdown(self._unwanted.wait, lambda line: print(line, file=sys.stderr, flush=True))
            self._unwanted = None
            if not wanted:
                raise Unwanted("the run was ended before its first call; nothing was started")
        seconds = guard.seconds_left(settings, target)
        if seconds is not None:
            self._hours_over = gevent.spawn_later(seconds, self._on_hours_over)

    def announcement(
        self, settings: Settings, users: int, target: Target | None = None, account: str | None = None
    ) -> list[str]:
        """Return the lines that tell what a live run with `settings` will do."""
        target = target or settings.resolve()
        return guard.announcement(settings, target, users, account or guard.account_of(target), self.host.user_class)

    def _on_hours_over(self) -> None:
        logger.error("it is 6 AM in the Region: load tests are allowed from 6 PM to 6 AM; ending the run")
        self.end_run("hours", EXIT_GUARD)

    def _settings(self) -> Settings:
        host = self.host.endpoint
        if host and host == self._lab_endpoint:  # the last run's emulator, which is gone
            host = None
        return read_settings(self.host.options, host)

    def _begin_load(self, record: RunRecord, settings: Settings, target: Target) -> None:
        raise NotImplementedError

    # --- ending --------------------------------------------------------------------------------------------------------

    def end_run(self, why: str, exit_code: int | None = None) -> None:
        """Ask Locust to end the run, from any greenlet; `why` and `exit_code` go into the manifest."""
        if self._wanted_end is None:
            self._wanted_end = (why, exit_code)
            gevent.spawn(self.host.leave)

    def _watch_lab(self, lab: Lab) -> None:
        """End the run when the embedded emulator ends before it: nothing can be measured or stopped any more."""
        while lab.process.poll() is None:
            gevent.sleep(_LOOK_EVERY)
        record = self.record
        if record is None or self._lab is not lab:
            return
        sentence = f"the embedded emulator ended in mid-run (exit code {lab.process.returncode}), and its chats with it"
        logger.error("%s; ending the run", sentence)
        record.troubles.append(sentence)
        if self._wanted_end is None:
            self._wanted_end = ("target", EXIT_TARGET)
            gevent.spawn(self.host.leave)
        self._leave_chats()

    def _leave_chats(self) -> None:
        """Let the processes that offer load not try to stop chats."""

    def on_hopeless(self, reply: Reply) -> None:
        """Every call is refused for a reason that is not a quota: say it in one line and end the run with exit code 3."""
        said = f": {reply.message}" if reply.message else ""
        code = reply.error_code or (f"HTTP {reply.status}" if reply.status else reply.outcome)
        hint = hint_on(reply.outcome, reply.status, reply.error_code)
        does = "refuses" if 400 <= reply.status < 500 else "fails"
        logger.error("the target %s every call, %s%s; %s", does, code, said, hint)
        self.end_run("target", EXIT_TARGET)

    def on_budget_spent(self) -> None:
        """--max-chats is reached: the guard ends the run with exit code 4."""
        logger.info("--max-chats is reached; ending the run")
        self.end_run("budget", EXIT_GUARD)

    def on_gate_breached(self, sentence: str) -> None:
        """End the run, since a gate that may end the run is breached: end it with exit code 1."""
        logger.error("%s; ending the run", sentence)
        self.end_run("gate", EXIT_GATE)

    def on_trouble(self, sentence: str) -> None:
        """Note that the run cannot be recorded any more: say it in one line and end the run with exit code 5."""
        logger.error("%s; ending the run", sentence)
        self.end_run("trouble", EXIT_INVALID)

    def finish(self, why: str) -> None:
        """End the load, stop the chats, write the manifest. Safe to ask again: later callers wait for the first."""
        record = self.record
        if record is None:
            if self._unwanted is not None:  # its countdown is going on
                self._unwanted.set()
                self.exit_code = EXIT_GUARD
            return
        if self._ending is None:
            self._ending = Event()
            # In a greenlet of its own: whoever asks may be killed or interrupted, the end of the run may not.
            gevent.spawn(self._finish, record, *(self._wanted_end or (why, None)))
        self._ending.wait()

    def _finish(self, record: RunRecord, why: str, wanted: int | None) -> None:
        assert self._ending is not None
        self.exit_code = EXIT_INVALID  # until the end of the run has gone well
        try:
            self._uploader.hurry()
            _cancel(self._user_watch)
            record.events.note("drain")
            try:
                self._end_load()
            except OSError as error:
                record.troubles.append(f"the run could not be recorded: {error.strerror or error}".lower())
            finally:
                _cancel(self._lab_watch)
                self._stop_lab()
                _cancel(self._hours_over)
                _cancel(self._gate_watch)
                self._hours_over = self._gate_watch = self._lab_watch = None
            if self._instance_watch is not None:
                record.declared = self._instance_watch.declared(record.started_at)
                self._instance_watch = None
            self.exit_code = wanted or EXIT_INVALID
            judgement = record.judge(EXIT_INVALID if self.abandoned and wanted is None else wanted)
            for sentence in judgement.reasons:
                logger.error("%s", sentence)
            self.exit_code = record.finish(why, judgement.exit_code)
            self._close(record)
            if not self._uploader.finish() and self.exit_code == EXIT_DONE:
                self.exit_code = EXIT_INVALID
        except OSError as error:
            self.exit_code = EXIT_INVALID
            logger.error("%s: %s", record.directory, (error.strerror or str(error)).lower())
        finally:
            self._uploader.stop()
            record.release()
            self.record = None
            self._ending.set()

    def abandon(self) -> None:
        """Do not wait for the chats that are still open: the user wants to leave now. The ledger says which they are."""
        self.abandoned = True

    def _close(self, record: RunRecord) -> None:
        run = quote(str(record.directory))
        if record.to_stop:
            still = counted(record.to_stop, "chat is", "chats are")
            logger.error("%s still open; `chatquota cleanup %s` ends what is open", still, run)
        if record.workers_lost:
            logger.warning("calls of lost workers may have started chats; `chatquota cleanup %s` looks for them", run)
        if record.chats.unanswered:
            logger.warning(
                "%s got no answer and may have begun a chat all the same; `chatquota cleanup %s` looks for it",
                counted(record.chats.unanswered, "start"),
                run,
            )
        gates = self.host.options.gates
        if gates and self.exit_code in (EXIT_DONE, EXIT_GATE):
            self._judge_gates(record, gates)
        logger.info("run recorded; `chatquota report %s` explains it", run)

    def _judge_gates(self, record: RunRecord, gates: str) -> None:
        """Let a report judge the gates. A report that cannot be made, or crashes, passes no gate and breaches none."""
        done = _chatquota("report", str(record.directory), "--gates", gates)
        sys.stderr.write(done.stdout + done.stderr)
        crashed = _TRACEBACK in done.stderr
        if done.returncode == EXIT_DONE and not crashed:
            record.gates_judged("passed", EXIT_GATE if self.exit_code == EXIT_GATE else EXIT_DONE)
        elif done.returncode == EXIT_GATE and not crashed:
            self.exit_code = EXIT_GATE
            record.gates_judged("breached", EXIT_GATE)
        else:
            self.exit_code = EXIT_INVALID
            record.gates_judged("not_judged", EXIT_INVALID)
            logger.error(
                "the gates could not be judged: the report ended with code %d; then `chatquota report %s --gates %s`",
                done.returncode,
                quote(str(record.directory)),
                quote(gates),
            )

    def _end_load(self) -> None:
        raise NotImplementedError

    @property
    def lab_endpoint(self) -> str | None:
        """The endpoint of the embedded emulator of this run or, once that is gone, of the last one."""
        return self._lab_endpoint

    @property
    def ending(self) -> bool:
        """Whether a run is being ended: no load is offered any more, its chats are being stopped."""
        return self.record is not None and self._ending is not None

    def parts(self) -> list[Summary]:
        """Return what each process of the run has done so far (`Session.summary`)."""
        return list(self.record.parts.values()) if self.record is not None else []

    def missing_workers(self) -> list[str]:
        """Return the names of the workers of this run that have gone, or were not heard of for a while."""
        return []

    def discard_lab(self) -> None:
        """Stop an emulator that `check` started for a run that was not begun."""
        if self.record is None:
            self._stop_lab()

    def _start_lab(self, settings: Settings) -> Lab:
        if self._lab is None:
            self._lab = start_lab(settings.emulator)
        return self._lab

    def _stop_lab(self) -> None:
        if self._lab is not None:
            self._lab.stop()
            self._lab = None


def _cancel(greenlet: gevent.Greenlet | None) -> None:
    if greenlet is not None and greenlet is not gevent.getcurrent():
        greenlet.kill(block=False)


def reach(target: Target, timeout: float) -> None:
    """Open one connection to the target. Raises Unreachable, with what to do, when that fails."""
    pool = target.pool(Endpoint.parse(target.endpoint), timeout)
    try:
        pool.acquire().close()
    except WireError as error:
        if "wrong_version_number" in str(error):
            plain = target.endpoint.replace("https://", "http://", 1)
            raise Unreachable(f"{target.endpoint} speaks http, not https; write {plain}") from error
        raise Unreachable(f"cannot reach {target.endpoint}: {error}; check --host and the network") from error


def _chatquota(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # A process of its own: pandas and matplotlib have no place in a load generator.
    command = [sys.executable, "-P", "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
