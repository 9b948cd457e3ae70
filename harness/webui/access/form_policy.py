"""What a browser may choose: whoever reaches the page may offer load within what the process was started with, no more."""

import argparse
import copy
import re
from pathlib import Path

from harness.connect.target import is_loopback
from harness.errors import UsageError
from harness.load.options.declaration import Option
from harness.load.options.load_profile import DAY
from harness.load.options.reading import OPTIONS, checked

RUNS = "runs"
_FLOW_FILE = re.compile(r'(?:^|,)\s*flow\s*=\s*("[^"]*"|[^,]*)')


class FormPolicy:
    """Compares a form with the options and the host that the process was started with."""

    def __init__(self, options: argparse.Namespace, host: str | None) -> None:
        self._started = copy.copy(options)
        self._host = (host or "").strip()

    def check(self, options: argparse.Namespace, host: str | None) -> None:
        """Raise UsageError for a value that only the command line may set."""
        self._check_host((host or "").strip(), options.live)
        for option in OPTIONS:
            value, started = getattr(options, option.attribute), getattr(self._started, option.attribute)
            if value == started:
                continue
            if option.browser == "started" and value:
                raise UsageError(f"{option.flag}: only the command line may set it; start Locust with {option.flag}")
            if option.browser == "target" and options.live:
                raise UsageError(f"{option.flag} of a live run is what Locust was started with; start it with another")
            if option.browser == "lower" and options.live and _raises(option, value, started):
                raise UsageError(
                    f"{option.flag} {_shown(value)}: the form may only lower it for a live run; Locust was started with "
                    f"{_shown(started)}"
                )
            if option.browser == "file":
                self._check_file(option, value, started)
            if option.browser == "directory":
                _check_directory(option, value)
        self._check_flow(options.emulator)

    def _check_host(self, host: str, live: bool) -> None:
        if host == self._host:
            return
        try:
            here = not host or is_loopback(host)
        except ValueError as error:
            raise UsageError(f"--host {error}") from error
        if not here:
            raise UsageError(
                f"{host} is not this machine, and only the command line may name such a host: start Locust with --host and "
                "--live if you mean it"
            )
        if live:
            raise UsageError("the host of a live run is what Locust was started with; start it with another --host")

    def _check_file(self, option: Option, value: str, started: str) -> None:
        name, of_start = _file_in(option, value), _file_in(option, started)
        if name and not (of_start and _same_place(name, of_start)):
            raise UsageError(
                f"{option.flag} {name}: the form may name only a file that Locust was started with; start it with "
                f"{option.flag}"
            )

    def _check_flow(self, spec: str) -> None:
        """Check the emulator's `flow`, which names a file as well."""
        known = _FLOW_FILE.findall(self._started.emulator)
        for name in _FLOW_FILE.findall(spec):
            if name not in known:
                raise UsageError("--emulator flow=...: the form may name only a file that Locust was started with")


def _same_place(one: str, other: str) -> bool:
    """Whether two paths lead to the same place. One that cannot be a path leads nowhere."""
    try:
        return Path(one).resolve() == Path(other).resolve()
    except (OSError, ValueError):
        return False


def _file_in(option: Option, value: str) -> str:
    """Return the path in a value; of the load shapes only a day has one."""
    if option.attribute != "load_shape":
        return value
    kind, _, rest = value.partition(":")
    return rest.split(",")[0].strip() if kind.strip() == DAY else ""


def _check_directory(option: Option, value: str) -> None:
    if not value:
        return
    checked(option, value)
    root = Path(RUNS).resolve()
    if root not in Path(value).resolve().parents:
        raise UsageError(f"{option.flag} {value}: the form may name only a directory below {RUNS}/; write {RUNS}/NAME")


def _raises(option: Option, value: object, started: object) -> bool:
    """Whether a guard would be weaker with `value`: a flag that is on, a higher number, or no number."""
    if isinstance(value, bool):
        return value
    new, old = checked(option, value), checked(option, started)  # type: ignore[arg-type]
    return old is not None and (new is None or new > old)


def _shown(value: object) -> str:
    return str(value) if value else "no limit"
