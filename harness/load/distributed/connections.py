"""Locust between master and workers: sends and receives the messages of a run, and refuses what is none."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.load.distributed.messages import (
    Announcement,
    AnyMessage,
    BadMessage,
    Message,
    Refusals,
    Report,
    read,
    write,
)
from harness.load.run.host import Host

if TYPE_CHECKING:  # who imports Locust has gevent patch the whole process
    from locust.env import Environment
    from locust.runners import MasterRunner, WorkerRunner


class _Connected(Host):
    """Locust in a process of several: messages of a wrong type are refused and counted in `refusals`."""

    def __init__(self, environment: Environment, runner: MasterRunner | WorkerRunner) -> None:
        super().__init__(environment)
        self.refusals = Refusals()
        self._connected = runner

    def on(
        self, kind: type[AnyMessage], listener: Callable[[str, AnyMessage], None], *, concurrent: bool = False
    ) -> None:
        """Call `listener(sender, message)` for each message of `kind`, in a greenlet of its own if `concurrent`."""

        def received(msg: Any, **_: object) -> None:
            self._take(kind, str(msg.node_id), msg.data, listener)

        self._connected.register_message(kind.NAME, received, concurrent=concurrent)

    def _take(
        self, kind: type[AnyMessage], sender: str, data: object, listener: Callable[[str, AnyMessage], None]
    ) -> None:
        try:
            listener(sender, read(kind, data))
        except BadMessage as error:
            self.refusals.note(sender, error)


class MasterHost(_Connected):
    """Locust in the master."""

    def __init__(self, environment: Environment, runner: MasterRunner) -> None:
        super().__init__(environment, runner)
        self._runner = runner

    @property
    def waits_for_workers(self) -> bool:
        """Whether this is a headless master that begins once its --expect-workers are connected, and not before."""
        wanted: int = self.options.expect_workers
        return self.options.headless and self._runner.state == "ready" and len(self._runner.clients.ready) < wanted

    def workers(self) -> list[str]:
        """Return the workers that can take load, by Locust's ids, in the order of their indices."""
        clients = self._runner.clients
        return sorted((each.id for each in clients.ready + clients.running + clients.spawning), key=self.index_of)

    def index_of(self, worker: str) -> int:
        """Return the index that Locust gave a worker."""
        return int(self._runner.get_worker_index(worker))

    def is_connected(self, worker: str) -> bool:
        """Whether Locust knows the worker, be it that nothing was heard of it for a while."""
        return worker in self._runner.clients

    def is_missing(self, worker: str) -> bool:
        """Whether the worker has gone, or not been heard of for a while."""
        return not self.is_connected(worker) or self._runner.clients[worker].state == "missing"

    def send(self, message: Message, worker: str | None = None) -> None:
        """Send `message` to a worker, or to all."""
        self._runner.send_message(message.NAME, write(message), worker)

    def announce(self, run: Announcement | None) -> None:
        """Let the next spawn messages carry `run`, or none."""
        if run is None:
            self.options.__dict__.pop(Announcement.NAME, None)
        else:
            setattr(self.options, run.NAME, write(run))

    def on_report(self, listener: Callable[[str, Report], None]) -> None:
        """Call `listener(worker, report)` for each report that holds one of the harness's."""

        def received(client_id: str, data: dict[str, object], **_: object) -> None:
            part = data.pop(Report.NAME, None)
            if part is not None:
                self._take(Report, client_id, part, listener)

        self.environment.events.worker_report.add_listener(received)

    def on_heartbeat(self, listener: Callable[[str], None]) -> None:
        """Call `listener(worker)` whenever a worker has shown that it lives."""
        self.environment.events.heartbeat_sent.add_listener(lambda client_id, **_: listener(client_id))


class WorkerHost(_Connected):
    """Locust in a worker."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        super().__init__(environment, runner)
        self._runner = runner

    @property
    def name(self) -> str:
        """Locust's id of this worker."""
        return self._runner.client_id

    @property
    def index(self) -> int:
        """The index that the master's Locust gave this worker; -1 before."""
        return self._runner.worker_index

    def send(self, message: Message) -> None:
        """Send `message` to the master."""
        self._runner.send_message(message.NAME, write(message))

    def announced(self) -> Announcement | None:
        """Take the run that came with the spawn message; None where the master began none.

        Raises BadMessage for one that no master sends.
        """
        data = self.options.__dict__.pop(Announcement.NAME, None)
        return None if data is None else read(Announcement, data)

    def report_now(self) -> None:
        """Send a report to the master at once."""
        self._runner._send_stats()  # noqa: SLF001 (it has no public way: it reports every three seconds)

    def on_reporting(self, give: Callable[[], Report | None]) -> None:
        """Put what `give()` returns into each of Locust's reports."""

        def reporting(data: dict[str, object], **_: object) -> None:
            report = give()
            if report is not None:
                data[report.NAME] = write(report)

        self.environment.events.report_to_master.add_listener(reporting)

    def on_heartbeat(self, listener: Callable[[], None]) -> None:
        """Call `listener()` whenever the master has shown that it lives."""
        self.environment.events.heartbeat_received.add_listener(lambda **_: listener())

    def quit(self) -> None:
        """End this worker's Locust."""
        self._runner.quit()


def forget_gone_children() -> None:
    """Let Locust's own ending find those of its processes ended that gevent has forgotten.

    gevent keeps how a child has ended for a minute. For a worker that was killed before that, Locust's ending asks the
    system, which does not know it either, some thousand times, and prints a traceback for each.
    """
    ask = os.waitpid

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        try:
            return ask(pid, options)
        except ChildProcessError:
            return pid, 0

    # Registered after Locust's own and so called before it; nothing else of this process waits for children then.
    atexit.register(setattr, os, "waitpid", waitpid)


def hasten_spawning() -> None:
    """Let Locust take a spawn message in without building a whole parser for each of the options in it.

    On a busy machine that keeps a worker from its heartbeats for so long that the master gives it up.
    """
    from locust import argument_parser

    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)
