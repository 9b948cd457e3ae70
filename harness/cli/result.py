"""What a run ends with in the terminal: the short result table, below Locust's own tables."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from shlex import quote

from gevent.lock import Semaphore

from harness.errors import EXIT_DONE, EXIT_GATE


class ResultTables:
    """Makes the short table of a run that has ended, once for all who ask for it.

    A process of its own makes it: pandas has no place in a load generator.
    """

    def __init__(self) -> None:
        self._turn = Semaphore(1)
        self._made: dict[str, str] = {}

    def of(self, directory: str) -> str:
        """Return the table of the run in `directory`, or why there is none; the last one is kept."""
        with self._turn:
            if directory not in self._made:
                command = [sys.executable, "-P", "-m", "harness", "report", "--summary", directory]
                # In a session of its own: Ctrl-C is for the load generator, and a half-made table helps nobody.
                done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
                self._made = {directory: f"{done.stdout}{done.stderr}"}
            return self._made[directory]


class ResultPrinter:
    """Prints the table of each run on standard error, once: standard output may be Locust's --json.

    `table_of(directory)` returns the table of a run that has ended.
    """

    def __init__(self, table_of: Callable[[str], str]) -> None:
        self._table_of = table_of
        self._shown: str | None = None

    def show(self, options: argparse.Namespace, directory: str | None, exit_code: int | None) -> None:
        """Print the table of the run in `directory` that ended with `exit_code`, unless it was shown or is not wanted.

        A run whose gates were judged, as those of a valid run are, has shown it with them.
        """
        judged = bool(options.gates) and exit_code in (EXIT_DONE, EXIT_GATE)
        if options.no_summary or judged or directory is None or directory == self._shown:
            return
        self._shown = directory
        sys.stderr.write(f"{self._table_of(directory)}`chatquota report {quote(directory)}` makes the report.\n")
        sys.stderr.flush()
