"""The edge to Locust: what a run asks of it in any process. `distributed.connections` adds master and worker."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import gevent

from harness.load.session.locust_statistics import Report, reporter

if TYPE_CHECKING:  # who imports Locust has gevent patch the whole process
    from locust import LoadTestShape, User
    from locust.env import Environment
    from locust.stats import RequestStats

    from harness.load.session.session import Journey, Session

_LOCUSTS_OWN = "locust.runners"  # the module of the listener that feeds Locust's statistics
_PART = "chatquota"  # the attribute of Locust's environment that holds a process's part of a run


class RunPart(Protocol):
    """One process's part of a run, whatever its role: local, master or worker."""

    exit_code: int | None
    abandoned: bool

    @property
    def ending(self) -> bool:
        """Whether a run is being ended: no load is offered any more, its chats are being stopped."""

    def begin(self) -> None:
        """Start this process's part of a run. Raises UsageError or Unreachable where it cannot."""

    def finish(self, why: str) -> None:
        """End the load and stop the chats. Safe to ask again: later callers wait for the first."""

    def abandon(self) -> None:
        """Do not wait for the chats that are still open."""

    def end_run(self, why: str, exit_code: int | None = None) -> None:
        """Ask for the end of the whole run; `why` and `exit_code` go into the manifest."""


class LoadPart(RunPart, Protocol):
    """A part of a run that offers load itself; `session` is None while no run is on."""

    session: Session | None


def attach(environment: Environment, part: RunPart) -> None:
    """Make `part` what `coordinator_of` finds in a Locust environment."""
    setattr(environment, _PART, part)


def coordinator_of(environment: Environment) -> LoadPart:
    """Return the part of the run that `attach` gave to a Locust environment whose process offers load."""
    part: LoadPart = getattr(environment, _PART)
    return part


class Host:
    """Locust in any process."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @property
    def options(self) -> argparse.Namespace:
        """The parsed options, those of the web form once it was sent."""
        options: argparse.Namespace | None = self.environment.parsed_options
        assert options is not None
        return options

    @property
    def endpoint(self) -> str | None:
        """What --host names, "" or None for nothing."""
        return self.environment.host

    @endpoint.setter
    def endpoint(self, endpoint: str) -> None:
        self.environment.host = endpoint

    @property
    def user_classes(self) -> list[type[User]]:
        """The user classes that run."""
        return self.environment.user_classes

    @property
    def user_class(self) -> str:
        """The name of the user class that runs."""
        return "+".join(cls.__name__ for cls in self.user_classes)

    def journey_of(self, user_class: str) -> Callable[[Session], Journey] | None:
        """Return what makes the journey of a user class; None for a class that has none of its own."""
        journey: Callable[[Session], Journey] | None = getattr(
            (self.environment.available_user_classes or {}).get(user_class), "journey", None
        )
        return journey

    @property
    def users(self) -> int:
        """How many users there are to be."""
        runner = self.environment.runner
        return (runner.target_user_count if runner else 0) or self.options.num_users or 0

    @property
    def users_now(self) -> int:
        """How many users there are."""
        runner = self.environment.runner
        return runner.user_count if runner else 0

    @property
    def has_web_ui(self) -> bool:
        """Whether a browser starts and stops the runs."""
        return self.environment.web_ui is not None

    @property
    def may_start(self) -> bool:
        """Whether no load runs: none did yet, or the last one has stopped."""
        runner = self.environment.runner
        return runner is None or runner.state in ("ready", "stopped")

    @property
    def lacks_workers(self) -> bool:
        """Whether this is a master that no worker is connected to."""
        return getattr(self.environment.runner, "worker_count", 1) == 0

    @property
    def waits_for_workers(self) -> bool:
        """Whether this is a headless master that begins once its --expect-workers are connected, and not before."""
        return False

    @property
    def choice(self) -> tuple[list[type[User]], LoadTestShape | None]:
        """The user classes of the next run and the shape that it follows, if any."""
        return list(self.environment.user_classes), self.environment.shape_class

    @choice.setter
    def choice(self, choice: tuple[list[type[User]], LoadTestShape | None]) -> None:
        self.environment.user_classes[:], self.environment.shape_class = choice

    def listen(self, event: str, listener: Callable[[], object]) -> None:
        """Call `listener()` at one of Locust's events, whatever that event tells."""
        getattr(self.environment.events, event).add_listener(lambda **_: listener())

    @property
    def report(self) -> Report:
        """Tells Locust of attempts."""
        request = self.environment.events.request

        def unheard() -> RequestStats | None:
            """Return Locust's statistics where nobody but its own runner listens to the event."""
            listeners: Sequence[object] = getattr(request, "_handlers", ())
            alone = len(listeners) == 1 and getattr(listeners[0], "__module__", "") == _LOCUSTS_OWN
            return self.environment.stats if alone else None

        return reporter(request.fire, unheard)

    def leave(self) -> None:
        """End the run: Locust itself, or with a web UI the load alone."""
        runner = self.environment.runner
        assert runner is not None
        if not self.has_web_ui:
            runner.quit()
        else:
            runner.stop()

    def cannot_begin(self, exit_code: int) -> None:
        """End a run that could not begin; a headless Locust ends with `exit_code`."""
        if not self.has_web_ui:
            self.environment.process_exit_code = exit_code
        gevent.spawn(self.leave)

    def exit_with(self, exit_code: int) -> None:
        """Let Locust's process end with `exit_code`."""
        self.environment.process_exit_code = exit_code

    @property
    def plain_end(self) -> str:
        """Why a run ends that Locust stops: its time is over, or its user wants it."""
        return "run_time" if self.options.headless and self.options.run_time else "user"
