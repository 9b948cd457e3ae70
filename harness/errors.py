"""Exit codes, and the errors that end a command with one line on standard error."""

import argparse
import difflib
import sys
from typing import ClassVar, NoReturn

EXIT_DONE = 0
EXIT_GATE = 1
"""A gate was breached."""
EXIT_USAGE = 2
EXIT_TARGET = 3
"""The target cannot be called, or served nothing."""
EXIT_GUARD = 4
"""A guard ended the run: the budget of chats, the hours of a live run."""
EXIT_INVALID = 5
"""The result is not valid, or chats were left open."""


_LONGEST = 3_000
"""Characters of a line: what is over is left out of its middle, since the end says what to do."""


def one_line(text: str) -> str:
    """Return `text` as one line of bounded length: a name or a value from elsewhere may hold line ends and worse, and
    fill a screen. What cannot be printed is written as escapes.
    """
    text = _shortened(text)
    return text if text.isprintable() else _shortened("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 2 // 3]} ... {text[-_LONGEST // 3 :]}"


class ChatquotaError(Exception):
    """An expected failure. Its text is one line: what is wrong, then what to do."""

    exit_code: ClassVar[int]

    def __init__(self, text: object = "") -> None:
        super().__init__(one_line(str(text)))


class UsageError(ChatquotaError):
    """A mistake of the user."""

    exit_code = EXIT_USAGE


class Unreachable(ChatquotaError):
    """The target cannot be called at all."""

    exit_code = EXIT_TARGET


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on standard error, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line, which names the option that a misspelt one is close to."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        options = [option for action in self._actions for option in action.option_strings]
        if unknown and (close := difflib.get_close_matches(unknown[0].partition("=")[0], options, 1)):
            message += f" (did you mean {close[0]}?)"
        self.exit(EXIT_USAGE, f"{self.prog}: {one_line(message)}; see '{self.prog} --help'\n")


def refuse(program: str, error: ChatquotaError) -> int:
    """Print `error` as the one line of `program` on standard error and return its exit code."""
    print(f"{program}: {error}", file=sys.stderr)
    return error.exit_code
