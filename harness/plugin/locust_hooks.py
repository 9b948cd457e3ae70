"""Hooks the harness into Locust: its events on one side, the coordinator of the run on the other."""

import logging
import os
import signal
import sys
from typing import Any

import gevent
from locust.runners import MasterRunner, WorkerRunner

from harness.cli.result import show_result
from harness.errors import EXIT_INVALID, ChatquotaError, refuse
from harness.load.options.options import add_options, read_settings, unknown_variables
from harness.load.run.coordinator import Coordinator
from harness.load.run.host import RunPart, attach
from harness.load.run.local import LocalCoordinator
from harness.load.run.master import MasterCoordinator
from harness.load.run.worker import WorkerCoordinator
from harness.load.users.load_shape import attach_shape
from harness.load.users.selection import select_users
from harness.webui.install import install_web_ui

logger = logging.getLogger(__name__)

# At DEBUG these log requests with their signatures and answers with their tokens.
_TALKATIVE = ("boto3", "botocore", "urllib3", "websocket", "websockets", "httptools")


def install(events: Any) -> None:
    """Add the harness's options and listeners to Locust's `events`."""
    # Locust passes arguments by name, so the listeners' parameters must be called as they are.
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    events.init.add_listener(_on_init)


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
        if environment.web_ui is None or options.autostart:
            coordinator.check()
        else:
            read_settings(options, environment.host)  # the rest when a run is asked for: its form may change everything
        attach_shape(environment)
    except ChatquotaError as error:
        sys.exit(refuse("locust", error))


def _listen(environment: Any, coordinator: RunPart) -> None:
    def on_test_start(**_: Any) -> None:
        try:
            coordinator.begin()
        except ChatquotaError as error:
            _fail(environment, coordinator, error)

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
