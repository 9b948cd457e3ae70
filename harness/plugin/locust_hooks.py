"""Hooks the harness into Locust as a locustfile is loaded: options first, and the rest once there is something to run."""

import re
import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType

from locust.env import Environment
from locust.event import Events
from locust.exception import RPCError
from locust.runners import Runner
from locust.web import WebUI

from harness.errors import UsageError, refuse
from harness.libraries import quieten_libraries
from harness.load.options.reading import add_options
from harness.load.users.locust_options import check_values
from harness.telemetry.variables import set_variables


def install(events: Events) -> None:
    """Add the harness's options and listeners to Locust's `events`."""
    # Locust passes arguments by name, so the listeners' parameters must be called as they are.
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser))
    events.init_command_line_parser.add_listener(lambda parser, **_: check_values(parser))
    quieten_libraries()
    events.init.add_listener(_on_init)
    set_variables()
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


def _on_init(environment: Environment, runner: Runner | None, web_ui: WebUI | None, **_: object) -> None:
    # `--list`, `--help` and a parser of options need none of what a run needs, which takes as long to load as Locust.
    from harness.plugin.run_hooks import hook_run

    hook_run(environment, runner, web_ui)
