"""What a headless run ends with: the short result table, below Locust's own tables."""

import argparse
import subprocess
import sys


def show_result(options: argparse.Namespace, directory: str | None) -> None:
    """Print the short table of the run in `directory` on standard error: standard output may be Locust's --json.

    A run with gates has shown it with them. A process of its own makes it: pandas has no place in a load generator.
    """
    if not options.headless or options.no_summary or options.gates or directory is None:
        return
    command = [sys.executable, "-P", "-m", "harness", "report", "--summary", directory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stderr.write(f"{done.stdout}{done.stderr}`chatquota report {directory}` makes the report.\n")
    sys.stderr.flush()
