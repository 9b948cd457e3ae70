"""How an option is declared: name, default, help, check, group, where it counts, and what a browser may do to it."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar

Value = str | int | float | bool
V = TypeVar("V", str, int, float, bool)
Browser = Literal["free", "lower", "started", "target", "file", "directory"]
"""What the web form may do to a value.

- `free`: set it to anything that passes the check.
- `lower`: for a live target, only lower it from what the process was started with (a flag: only turn it off).
- `started`: keep what the process was started with, or turn it off.
- `target`: set it for the emulator; for a live target, keep what the process was started with.
- `file`: name a file that the command line named.
- `directory`: name a directory below the working directory's `runs/`, or the one of the command line.
"""

GROUPS = ("Target", "Load", "Conversation", "Probe", "Guard", "Recording")


@dataclass(frozen=True)
class Option:
    """One option. Its name on the command line is `--` and `name`; the default's type is the type of its value."""

    name: str
    default: Value
    about: str
    group: str
    check: Callable[[Any], object]
    metavar: str
    shown_default: str
    counts_for: str
    choices: tuple[str, ...]
    browser: Browser

    @property
    def flag(self) -> str:
        """How it is written on the command line."""
        return f"--{self.name}"

    @property
    def attribute(self) -> str:
        """The name of its value in a namespace or a form."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"CHATQUOTA_{self.attribute.upper()}"


def _as_is(value: object) -> object:
    return value


def option(
    group: str,
    default: V,
    about: str,
    *,
    check: Callable[[V], object] = _as_is,
    metavar: str = "",
    shown: str = "",
    counts_for: str = "",
    choices: tuple[str, ...] = (),
    browser: Browser = "free",
) -> Any:
    """Declare an option as a field of a dataclass, which has the checked value's type.

    `shown` is the default as a reader should see it, where that is not the value; `counts_for` names the user class or the
    kind of target that heeds it, where not every run does.
    """
    plain = "off" if default is False else str(default) or "none"
    metavar = metavar or "|".join(choices) or {int: "N", float: "RATE", str: "TEXT"}.get(type(default), "")
    return field(
        metadata={
            "option": lambda name: Option(
                name, default, about, group, check, metavar, shown or plain, counts_for, choices, browser
            )
        }
    )


def declared(settings: type) -> tuple[Option, ...]:
    """Return the options that the fields of `settings` declare, in their order."""
    found = []
    for item in fields(settings):
        assert item.default is MISSING, f"{item.name}: the option has the default"
        if make := item.metadata.get("option"):
            found.append(make(item.name.replace("_", "-")))
    return tuple(found)
