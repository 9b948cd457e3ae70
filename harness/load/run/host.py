"""The one edge to Locust: what a run's processes ask of it, and the members of Locust that are not public."""

from typing import Any, Protocol

from harness.load.session.session import Session


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


def attach(environment: Any, part: RunPart) -> None:
    """Make `part` what `coordinator_of` finds in a Locust environment."""
    environment.chatquota = part


def coordinator_of(environment: Any) -> LoadPart:
    """Return the part of the run that `attach` gave to a Locust environment whose process offers load."""
    part: LoadPart = environment.chatquota
    return part
