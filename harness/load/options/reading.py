"""Adds the options to Locust's parser, and reads the settings of a run from what was given."""

import argparse
import difflib
import os
from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError
from harness.load.options import target_choice
from harness.load.options.declaration import GROUPS, Option, Value, declared
from harness.load.options.options import Settings

_LOOPBACK = "127.0.0.1"

OPTIONS: tuple[Option, ...] = declared(Settings)
"""Every option, in the order of the form and the documentation."""
NAMES = tuple(option.attribute for option in OPTIONS)


def form_groups() -> dict[str, list[str]]:
    """Return the groups of the web form in their order: the names of each one's options, by its title."""
    return {name: [each.attribute for each in OPTIONS if each.group == name] for name in GROUPS}


class _Offered(list[str]):
    """Choices that the web form offers; a wrong value is refused by `read_settings`, in one line, wherever it came from."""

    def __contains__(self, value: object) -> bool:
        return True


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to Locust's parser: on the command line, in locust.conf, as CHATQUOTA_* variables, in the web form."""
    # The web UI's users choose there what those of the command line name; and nobody else's machine may, unless asked for.
    parser.set_defaults(class_picker=True, web_host=_LOOPBACK)
    for name in GROUPS:
        group = parser.add_argument_group(f"Amazon Connect: {name.lower()}")
        for each in (found for found in OPTIONS if found.group == name):
            _add(group, each)


def _add(group: Any, each: Option) -> None:  # a group of configargparse, which has no types
    counts_for = f"; for {each.counts_for}" if each.counts_for else ""
    common: dict[str, Any] = {
        "default": each.default,
        "help": f"{each.about}{counts_for} (default: {each.shown_default})".replace("%", "%%"),
        "env_var": each.variable,
    }
    if isinstance(each.default, bool):
        action = group.add_argument(each.flag, action="store_true", **common)
    else:
        action = group.add_argument(each.flag, type=type(each.default), metavar=each.metavar, **common)
        if each.choices:
            action.choices = _Offered(each.choices)
    action.include_in_web_ui = True  # Locust sets this for its parser's own options, not for those of a group


def read_settings(options: argparse.Namespace, host: str | None) -> Settings:
    """Check the values of the options, wherever they came from, and return the settings.

    Raises UsageError with the option, what is wrong with it and what it takes.
    """
    values: dict[str, Any] = {each.attribute: checked(each, getattr(options, each.attribute)) for each in OPTIONS}
    settings = Settings(host=(host or "").strip(), **values)
    target_choice.check_host(settings.host)
    if settings.emulator and not settings.embedded:
        other = "--host names another" if settings.host else "--live calls AWS"
        raise UsageError(f"--emulator sets the limits of the embedded emulator, but {other}; leave one out")
    if settings.embedded:
        given = [f"--{name.replace('_', '-')}" for name in target_choice.REAL if getattr(settings, name)]
        target_choice.refuse_guess(given)
    return settings


def checked(each: Option, value: Value) -> Any:
    """Return the value that a run works with. Raises UsageError that names the option."""
    try:
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"{value!r}: a text without NUL bytes")
        if isinstance(value, str) and not _is_text(value):
            raise ValueError(f"{value!r}: a text in UTF-8; what is recorded cannot hold other bytes")
        return each.check(value)
    except ValueError as error:
        raise UsageError(f"{each.flag} {error}") from error


def _is_text(value: str) -> bool:
    """Return whether `value` is all text: an argument of other bytes than UTF-8 holds halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def recorded_options(options: argparse.Namespace) -> dict[str, Value | None]:
    """Return the options as they are written into the manifest: plain values, none of them secret."""
    names = (*NAMES, "num_users", "spawn_rate", "run_time", "processes", "host")
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


_OTHER_VARIABLES = ("CHATQUOTA_WEB_USER", "CHATQUOTA_WEB_PASSWORD", "CHATQUOTA_WEB_NAMES", "CHATQUOTA_PICTURES")


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each CHATQUOTA_ variable that no option reads."""
    known = [*(each.variable for each in OPTIONS), *_OTHER_VARIABLES]
    sentences = []
    for name in sorted(environment):
        if name.startswith("CHATQUOTA_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "`chatquota run --help` and the README list those that are"
            sentences.append(f"the variable {name} is not an option and is ignored; {hint}")
    return sentences
