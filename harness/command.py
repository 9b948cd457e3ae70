"""The `chatquota` command: a run of Locust, and what comes before and after it."""

import difflib
import gc
import importlib
import signal
import sys
from collections.abc import Callable

from harness import __version__
from harness.errors import EXIT_USAGE, ChatquotaError, refuse
from harness.libraries import quieten_libraries
from harness.output import take_output

# Names, not imports: each command loads only its own side of the house, so `chatquota report` starts without
# Locust or boto3 and `chatquota emulator` without pandas.
COMMANDS = {
    "run": ("harness.cli.run:main", "offer load: Locust with chatquota's users and options, headless or in its web UI"),
    "init": ("harness.cli.init:main", "write a locustfile, locust.conf, workload, gates and day file to start from"),
    "report": ("reports.commands:report", "make the capacity report of a run directory"),
    "runs": ("reports.commands:runs", "list runs and their answers, newest first"),
    "compare": ("reports.commands:compare", "compare runs; exit code 1 on a regression"),
    "plan": ("reports.commands:plan", "which quota binds first for an expected day, and what to request"),
    "check": (
        "harness.preflight.command:main",
        "look before the first call of a live run: exit code 3 says do not start",
    ),
    "upload": ("harness.storage.command:main", "send a run directory to S3, or what of it is not there yet"),
    "cleanup": ("harness.load.cleanup.command:main", "stop the chats that a crashed run left open"),
    "emulator": ("harness.emulator.cli:main", "serve a local Amazon Connect chat with known limits"),
    "completion": ("harness.cli.completion:main", "print the completion script of bash, zsh or fish"),
    "demo": ("harness.demo.command:main", "a run against the emulator that meets both limits, and its report"),
}

READ_RUNS = ("report", "compare", "plan", "cleanup")
"""The commands that take `latest` and addresses in S3 in place of run directories."""


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code (see the table in the README)."""
    if argv is not None:
        return _run(argv)
    output = take_output()
    code = _run(sys.argv[1:], alone=True)
    sys.stdout.flush()
    if output.failure is not None:
        reason = (output.failure.strerror or str(output.failure)).lower()
        print(f"{' '.join(['chatquota', *sys.argv[1:2]])}: what it says cannot be written: {reason}", file=sys.stderr)
        return code or EXIT_USAGE
    return code


def _run(arguments: list[str], *, alone: bool = False) -> int:
    """Run one subcommand and return its exit code. The process is for it `alone` where it ends with it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"chatquota {__version__}")
        return 0
    if arguments[0] in ("--master", "--worker"):  # Locust's operator for Kubernetes gives the image Locust's arguments
        arguments = ["run", *arguments]
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"; did you mean {close[0]!r}?" if close else ";"
        print(f"chatquota: no command {name!r}{meant} There are {', '.join(COMMANDS)}", file=sys.stderr)
        return EXIT_USAGE
    module, _, function = COMMANDS[name][0].partition(":")
    quieten_libraries()
    command: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    try:
        if name in READ_RUNS:
            code: int = importlib.import_module("harness.storage.run_names").on_runs(name, command, rest)
            return code
        return command(rest)
    except ChatquotaError as error:
        return refuse(f"chatquota {name}", error)
    except KeyboardInterrupt:
        if not alone:
            raise
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)  # as a shell expects it of who is interrupted, and without a traceback
        raise
    finally:
        if alone and module == "reports.commands":
            gc.freeze()  # the process ends: to look for cycles among all that was loaded takes it a twelfth of a report


def _help() -> str:
    rows = "\n".join(f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: chatquota COMMAND ...\n\n"
        "How many chats can an Amazon Connect instance take, and which limit stops it first?\n\n"
        f"{rows}\n\n'chatquota COMMAND --help' tells a command's options. New here: `chatquota demo`, then `chatquota init`."
    )
