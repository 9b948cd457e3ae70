"""Hooks the harness into Locust: its events on one side, the coordinator of the run on the other."""

import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import gevent
from locust.exception import RPCError
from locust.runners import MasterRunner, WorkerRunner

from harness.cli.result import show_result
from harness.errors import EXIT_INVALID, ChatquotaError, UsageError, refuse
from harness.load.options.guard import PROBE_CLASS
from harness.load.options.options import add_options, read_settings, unknown_variables
from harness.load.run.coordinator import Coordinator
from harness.load.run.host import RunPart, attach
from harness.load.run.local import LocalCoordinator
from harness.load.run.master import MasterCoordinator
from harness.load.run.worker import WorkerCoordinator
from harness.load.users.load_shape import attach_shape
from harness.load.users.locust_options import check_tags, check_values, check_web_address
from harness.load.users.selection import select_users
from harness.recording.redact import redact
from harness.webui.install import install_web_ui

logger = logging.getLogger(__name__)

# At DEBUG these log requests with their signatures and answers with their tokens.
_TALKATIVE = ("boto3", "botocore", "urllib3", "websocket", "websockets", "httptools")


def install(events: Any) -> None:
    """Add the harness's options and listeners to Locust's `events`."""
    # Locust passes arguments by name, so the listeners' parameters must be called as they are.
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser))
    events.init_command_line_parser.add_listener(lambda parser, **_: check_values(parser))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    events.init.add_listener(_on_init)
    sys.excepthook = partial(_on_uncaught, sys.excepthook)


def _on_uncaught(
    before: Callable[[type[BaseException], BaseException, TracebackType | None], object],
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
) -> None:
    # A master binds its port before the first event that a locustfile may listen to, and Locust lets the error pass.
    if isinstance(error, RPCError) and "bind" in str(error):
        reason = re.sub(r".*bind failure: ", "", str(error))
        said = f"the master cannot listen for workers: {reason}; choose another port with --master-bind-port"
        sys.exit(refuse("locust", UsageError(f"{said}, or end the master that has it")))
    before(kind, error, traceback)


def _on_init(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
    if isinstance(runner, WorkerRunner):
        environment.user_classes[:] = list(environment.available_user_classes.values())
        worker = WorkerCoordinator(environment, runner)
        attach(environment, worker)
        _listen(environment, worker)
        return
    coordinator: Coordinator = (
        MasterCoordinator(environment, runner) if isinstance(runner, MasterRunner) else LocalCoordinator(environment)
    )
    attach(environment, coordinator)
    _check_or_exit(coordinator)
    if web_ui is not None:
        install_web_ui(environment, web_ui, coordinator)
    _listen(environment, coordinator)
    environment.events.quit.add_listener(
        lambda **_: show_result(environment.parsed_options, coordinator.last_directory)
    )


def _check_or_exit(coordinator: Coordinator) -> None:
    environment = coordinator.environment
    options = environment.parsed_options
    for sentence in unknown_variables():
        logger.warning("%s", sentence)
    try:
        select_users(environment, list(options.user_classes or []))
        check_locust_options(environment)
        if environment.web_ui is None or options.autostart:
            coordinator.check()
        else:
            settings = read_settings(options, environment.host)
            if settings.live:
                settings.resolve()  # its guard cannot be changed by a form; the rest is checked when a run is asked for
        attach_shape(environment, options.load_shape)
    except ChatquotaError as error:
        sys.exit(refuse("locust", error))


def check_locust_options(environment: Any) -> None:
    """Refuse what Locust would take as it comes, and say what it would do in silence."""
    options, chosen = environment.parsed_options, environment.user_classes[0]
    check_tags(options, chosen)
    if environment.web_ui is not None:
        check_web_address(options)
    idle = (options.num_users or 1) - 1
    if chosen.__name__ == PROBE_CLASS and idle:
        logger.warning("QuotaProbe probes once, however many users there are; the other %d do nothing", idle)


def _listen(environment: Any, coordinator: RunPart) -> None:
    def on_test_start(**_: Any) -> None:
        try:
            coordinator.begin()
        except ChatquotaError as error:
            _fail(environment, coordinator, error)
        except Exception as error:  # whatever it is, a run that cannot begin must not stay idle
            logger.debug("the run could not begin", exc_info=True)
            _fail(
                environment,
                coordinator,
                UsageError(f"the run could not begin: {type(error).__name__}: {redact(str(error))}"),
            )

    def on_test_stopping(**_: Any) -> None:
        headless = environment.parsed_options.headless
        coordinator.finish("run_time" if headless and environment.parsed_options.run_time else "user")

    def on_quitting(**_: Any) -> None:
        interrupt.leaving = True
        coordinator.finish("signal")
        interrupt.ended = True
        if coordinator.exit_code is not None:
            environment.process_exit_code = coordinator.exit_code

    interrupt = _Interrupt(coordinator)
    gevent.signal_handler(signal.SIGINT, interrupt)
    environment.events.test_start.add_listener(on_test_start)
    environment.events.test_stopping.add_listener(on_test_stopping)
    environment.events.quitting.add_listener(on_quitting)


class _Interrupt:
    """What Ctrl-C does: the first ends the run in order, the second leaves chats to `chatquota cleanup`, the third exits.

    Python's own handler would raise KeyboardInterrupt in whichever greenlet runs just then, such as one that has a chat's
    id in its hand and has not written it down yet.
    """

    def __init__(self, coordinator: RunPart) -> None:
        self._coordinator = coordinator
        self.leaving = False
        self.ended = False

    def __call__(self) -> None:
        if not self.leaving:
            self.leaving = True
            hub = gevent.get_hub()
            hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt())  # raised in the main greenlet
        elif self.ended:
            pass  # Locust is on its way out
        elif not self._coordinator.abandoned:
            logger.warning("leaving the chats that are still open; the ledger knows them")
            self._coordinator.abandon()
        else:
            logger.error("exiting at once; `chatquota cleanup` brings the run in order")
            os._exit(EXIT_INVALID)


def _fail(environment: Any, coordinator: RunPart, error: ChatquotaError) -> None:
    """Say in one line why a run could not begin; a headless Locust ends with the error's exit code."""
    logger.error("%s", error)
    coordinator.exit_code = error.exit_code
    if environment.web_ui is None:
        environment.process_exit_code = error.exit_code
        gevent.spawn(environment.runner.quit)
    else:
        gevent.spawn(environment.runner.stop)
