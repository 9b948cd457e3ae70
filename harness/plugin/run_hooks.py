"""Hooks a run into Locust: its events on one side, the coordinator of the run on the other."""

import logging
import signal
import sys

import gevent
from gevent.pool import Group
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner
from locust.web import WebUI

from harness.cli.result import ResultPrinter, ResultTables
from harness.errors import ChatquotaError, UsageError, refuse
from harness.load.options.guard import PROBE_CLASS
from harness.load.options.reading import read_settings, unknown_variables
from harness.load.run.coordinator import Coordinator
from harness.load.run.host import Host, RunPart, attach
from harness.load.users.load_shape import attach_shape
from harness.load.users.locust_options import check_tags, check_web_address
from harness.load.users.selection import select_users
from harness.plugin.signals import Endings
from harness.recording.redact import redact

logger = logging.getLogger(__name__)


def hook_run(environment: Environment, runner: Runner | None, web_ui: WebUI | None) -> None:
    """Give this process its part of the runs to come: as a worker, as a master, or alone. Exits where it cannot run.

    Each part loads what it needs alone.
    """
    if isinstance(runner, WorkerRunner):
        from harness.load.distributed.connections import WorkerHost, hasten_spawning
        from harness.load.distributed.worker import WorkerCoordinator

        environment.user_classes[:] = list((environment.available_user_classes or {}).values())  # type: ignore[arg-type]  # of classes, whatever it says
        hasten_spawning()
        worker_host = WorkerHost(environment, runner)
        worker = WorkerCoordinator(worker_host)
        attach(environment, worker)
        _listen(worker_host, worker).attach()
        return
    coordinator = _coordinator_of(environment, runner)
    attach(environment, coordinator)
    _check_or_exit(coordinator)
    tables = ResultTables()
    if web_ui is not None:
        from harness.load.run.locust_page import LocustPage
        from harness.webui.install import install_web_ui

        install_web_ui(LocustPage(web_ui), coordinator, tables.of)
    endings = _listen(coordinator.host, coordinator)
    if isinstance(runner, MasterRunner) and web_ui is None:
        # Locust stops the load when the last worker has gone, and waits for others; the run of the missing ones is over.
        coordinator.host.listen("test_stop", lambda: gevent.spawn(coordinator.host.leave))
    if coordinator.host.options.otel:
        _export(coordinator)
    _show_results(coordinator, ResultPrinter(tables.of))
    endings.attach()
    # While all this was loaded, gevent's loop has not looked at the clock: --run-time would be counted from before that.
    gevent.get_hub().loop.update_now()


def _coordinator_of(environment: Environment, runner: Runner | None) -> Coordinator:
    if isinstance(runner, MasterRunner):
        from harness.load.distributed.connections import MasterHost, forget_gone_children
        from harness.load.distributed.master import MasterCoordinator

        forget_gone_children()
        return MasterCoordinator(MasterHost(environment, runner))
    from harness.load.run.local import LocalCoordinator

    return LocalCoordinator(Host(environment))


def _check_or_exit(coordinator: Coordinator) -> None:
    host = coordinator.host
    options = host.options
    for sentence in unknown_variables():
        logger.warning("%s", sentence)
    try:
        select_users(host.environment, list(options.user_classes or []))
        check_locust_options(host)
        if not host.has_web_ui or options.autostart:
            coordinator.check()
        else:
            settings = read_settings(options, host.endpoint)
            if settings.live:
                settings.resolve()  # its guard cannot be changed by a form; the rest is checked when a run is asked for
        attach_shape(host.environment, options.load_shape)
    except ChatquotaError as error:
        sys.exit(refuse("locust", error))


def check_locust_options(host: Host) -> None:
    """Refuse what Locust would take as it comes, and say what it would do in silence."""
    options, chosen = host.options, host.user_classes[0]
    if not options.user_classes and not host.has_web_ui:
        logger.info("no user class is named: the run is of %s", chosen.__name__)
    check_tags(options, chosen)
    if host.has_web_ui:
        check_web_address(options)
    idle = (options.num_users or 1) - 1
    if chosen.__name__ == PROBE_CLASS and idle:
        logger.warning("QuotaProbe probes once, however many users there are; the other %d do nothing", idle)


def _listen(host: Host, coordinator: RunPart) -> Endings:
    def on_test_start() -> None:
        try:
            coordinator.begin()
        except ChatquotaError as error:
            _fail(host, coordinator, error)
        except Exception as error:  # whatever it is, a run that cannot begin must not stay idle
            logger.debug("the run could not begin", exc_info=True)
            _fail(
                host,
                coordinator,
                UsageError(f"the run could not begin: {type(error).__name__}: {redact(str(error))}"),
            )

    host.listen("test_start", on_test_start)
    host.listen("test_stopping", lambda: coordinator.finish(host.plain_end))
    return Endings(host, coordinator)


def _show_results(coordinator: Coordinator, printer: ResultPrinter) -> None:
    """Print each run's result table: after Locust's own tables, or with a web UI after the run, which others may follow.

    It is not printed after SIGTERM: whoever sends that kills what takes long to end.
    """
    hurried: list[bool] = []
    gevent.signal_handler(signal.SIGTERM, lambda: hurried.append(True))
    host, after_runs = coordinator.host, Group()

    def show() -> None:
        if not hurried:
            printer.show(host.options, coordinator.last_directory, coordinator.exit_code)

    def show_at_end() -> None:
        if not hurried:
            after_runs.join()
        show()

    host.listen("quit", show_at_end)
    if host.has_web_ui:
        # The listener that ends the run was added before this one. Stop does not wait for the table.
        host.listen("test_stopping", lambda: after_runs.spawn(show))


def _export(coordinator: Coordinator) -> None:
    """Export metrics of each run, from after it has begun until after it has ended."""
    from harness.telemetry.sender import Telemetry

    telemetry = Telemetry(coordinator)
    coordinator.host.listen("test_start", telemetry.begin)
    coordinator.host.listen("test_stopping", telemetry.end)
    coordinator.host.listen("quitting", telemetry.end)


def _fail(host: Host, coordinator: RunPart, error: ChatquotaError) -> None:
    """Say in one line why a run could not begin; a headless Locust ends with the error's exit code."""
    logger.error("%s", error)
    coordinator.exit_code = error.exit_code
    host.cannot_begin(error.exit_code)
