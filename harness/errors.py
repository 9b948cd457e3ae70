"""Usage errors: what a user did that cannot work, said in one line with the mend."""

import argparse
import sys
from typing import NoReturn

EXIT_USAGE = 2


class UsageError(Exception):
    """A mistake of the user's. Its text is one line that names the mistake and the mend; the exit code is 2."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on standard error, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def refuse(program: str, error: UsageError) -> int:
    """Print `error` as the one line of `program` on standard error and return the exit code 2."""
    print(f"{program}: {error}", file=sys.stderr)
    return EXIT_USAGE
