"""Checks Locust's start form before anything is sent: what it would take as it comes, or answer with an HTTP 500."""

import argparse
import copy
import math
from typing import TypeVar

from locust.argument_parser import ui_extra_args_dict
from locust.util.timespan import parse_timespan

from harness.errors import UsageError
from harness.load.options.checks import number_of_users
from harness.load.options.options import Settings
from harness.load.options.reading import NAMES, read_settings
from harness.load.run.coordinator import Coordinator
from harness.load.users.load_shape import attach_shape
from harness.load.users.selection import select_users
from harness.webui.access.confirmation import FIELD, Confirmations
from harness.webui.access.form_policy import FormPolicy

Number = TypeVar("Number", int, float)
EDIT = "chatquota_edit"
"""The field that tells that the page took the form for an edit of a run that is on."""
_NO_SHAPE = "Default"
_LOCUSTS_FIELDS = ("user_count", "spawn_rate", "run_time", "host", "user_classes", "shape_class", "profile")


class Form:
    """One POST of the start form or, while a run is on, of its edit form.

    `fields` are the texts as they came; `user_classes` all that it names; `about_to_start` whether another form was taken
    whose run is about to begin.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        fields: dict[str, str],
        user_classes: list[str],
        about_to_start: bool = False,
    ):
        self._host = coordinator.host
        self._coordinator = coordinator
        # Locust's page moves an underscore where a name has a digit: treat_bare_42_9as.
        names = {name.replace("_", ""): name for name in ui_extra_args_dict()}
        self._fields = {names.get(name.replace("_", ""), name): value for name, value in fields.items()}
        self._user_classes = user_classes
        self._about_to_start = about_to_start

    def check(self, policy: FormPolicy, confirmations: Confirmations) -> bool:
        """Check all of it, and choose user class and shape for a run that starts; True when one does.

        Raises UsageError, Unreachable, or NotConfirmed for a live run that nobody has agreed to; nothing of the form is kept
        then.
        """
        known = (*_LOCUSTS_FIELDS, EDIT, FIELD, *ui_extra_args_dict())
        if unknown := sorted(set(self._fields) - set(known)):
            raise UsageError(f"the form has no field {unknown[0][:60]!r}")
        options = copy.copy(self._host.options)
        self._fill(options)
        host: str | None = self._fields.get("host", self._host.endpoint or "").strip()
        if not host or host == self._coordinator.lab_endpoint:
            host = None
        if not self._host.may_start:
            self._check_edit(options, host)
            return False
        self._check_moment()
        policy.check(options, host)  # before the options are read, as some of them name files
        settings = read_settings(options, host)
        self._check_for_real(settings, options.num_users or 1, confirmations)
        # Where the form has none, Locust would leave the last run's here.
        self._host.options.run_time = options.run_time
        return True

    def _check_moment(self) -> None:
        if EDIT in self._fields:
            raise UsageError("the run has ended meanwhile; press New to start another one")
        if self._about_to_start:
            raise UsageError("another run is about to begin; wait until the Quotas tab shows it")
        if self._coordinator.record is not None:
            raise UsageError("the last run is still stopping its chats; wait until the Quotas tab shows none left")
        if self._host.lacks_workers:
            raise UsageError("no worker is connected; start one with --worker")

    def _fill(self, options: argparse.Namespace) -> None:
        """Put the form's values into `options`, each with the type that the option has."""
        if "user_count" in self._fields:
            try:
                options.num_users = number_of_users(self._fields["user_count"])
            except ValueError as error:
                raise UsageError(f"Number of users {error}") from error
        if "spawn_rate" in self._fields:
            options.spawn_rate = _number(self._fields["spawn_rate"], "Ramp up", float)
            if not 0 < options.spawn_rate < math.inf:
                raise UsageError("Ramp up: users started per second, a number over 0")
        if "run_time" in self._fields:
            run_time = self._fields["run_time"]
            try:
                options.run_time = parse_timespan(run_time) if run_time else None
            except (ValueError, OverflowError) as error:
                raise UsageError(f"Run time {run_time!r}: write 20, 20s, 3m, 2h or 1h20m") from error
        shape = self._fields.get("shape_class") or _NO_SHAPE
        if shape != _NO_SHAPE and shape not in (self._host.environment.available_shape_classes or {}):
            raise UsageError(f"no shape class {shape[:60]!r}; leave it at {_NO_SHAPE}, and use Load Shape")
        for name in NAMES:
            if name in self._fields:
                setattr(options, name, _typed(self._fields[name], name, getattr(options, name)))

    def _check_edit(self, options: argparse.Namespace, host: str | None) -> None:
        if self._coordinator.ending:
            raise UsageError("the run is stopping its chats; wait until the Quotas tab shows none left")
        present = self._host.options
        changed = [name for name in NAMES if getattr(options, name) != getattr(present, name)]
        lab = self._coordinator.lab_endpoint
        if host != (None if self._host.endpoint == lab else self._host.endpoint or None):
            changed.append("host")
        if self._host.choice[1] is not None:
            raise UsageError("the users of this run follow --load-shape; stop it to change their number")
        if changed:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            raise UsageError(f"{flags} cannot change while a run is on; stop it, then start a new one")

    def _check_for_real(self, settings: Settings, users: int, confirmations: Confirmations) -> None:
        """Look at files, the emulator's spec and the target; a live run must have been agreed to."""
        host, coordinator = self._host, self._coordinator
        before = host.choice
        try:
            select_users(host.environment, self._user_classes)
            coordinator.discard_lab()  # one that an earlier form asked for may have had other limits
            coordinator.check(settings)
            attach_shape(host.environment, settings.load_shape)
            if settings.live:
                lines = coordinator.announcement(settings, users)
                if not confirmations.agreed(self._fields, lines):
                    raise confirmations.ask(self._fields, lines)
                coordinator.confirmed = True
        except BaseException:
            coordinator.discard_lab()
            host.choice = before
            raise


def _typed(text: str, name: str, present: object) -> object:
    """Return the text of a form's field as the type of the option's present value. Raises UsageError."""
    if isinstance(present, bool):
        return text == "true"
    if isinstance(present, int | float):
        return _number(text, f"--{name.replace('_', '-')}", type(present))
    return text


def _number(text: str, what: str, kind: type[Number]) -> Number:
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{what} {text!r}: {wanted} is needed") from error
