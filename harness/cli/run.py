"""`chatquota run`: Locust with the packaged locustfile, from any directory."""

import difflib
import sys
from importlib.util import find_spec
from pathlib import Path

from harness.errors import EXIT_USAGE, UsageError

PROGRAM = "chatquota run"
_WIDTH = 34  # of the column with the options' names


def main(argv: list[str]) -> int:
    """Run Locust with `argv` and the packaged locustfile, unless `-f`, LOCUST_LOCUSTFILE or locust.conf names another.

    Locust ends the process itself (SystemExit), with the exit codes of the README. Raises UsageError where a configuration
    file is no text.
    """
    if {"-h", "--help"} & set(argv):
        print(run_help())
        sys.exit(0)
    # Here, and before anything that imports boto3: Locust must patch the sockets first.
    import locust.main
    from locust.argument_parser import DEFAULT_CONFIG_FILES, get_empty_argument_parser

    packaged = str(packaged_locustfile())
    parser = get_empty_argument_parser(add_help=False)
    parser.set_defaults(locustfile=packaged)
    try:
        chosen = parser.parse_known_args(argv)[0].locustfile
    except UnicodeDecodeError as error:  # such as the UTF-16 of a shell of Windows
        named = " or ".join(each for each in DEFAULT_CONFIG_FILES if Path(each).expanduser().exists()) or "--config"
        raise UsageError(f"{named}: not text in UTF-8 ({error.reason}); save it as UTF-8") from error
    # Before Locust puts the locustfile's directory first on sys.path, where packages of the same names may stand.
    import chatquota.load

    sys.argv = [PROGRAM, "-f", chosen, *argv]
    if chosen == packaged and (misspelt := _misspelt(sys.argv[1:], chatquota.load.__all__)):
        print(misspelt, file=sys.stderr)
        return EXIT_USAGE
    locust.main.main()
    return 0


def packaged_locustfile() -> Path:
    """Return the path of the locustfile that is installed with the package."""
    spec = find_spec("chatquota")  # does not import it, which would import Locust
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("locustfile.py")


def run_help() -> str:
    """Return the help of `chatquota run`: the harness's options by group, then where Locust's are."""
    from harness.load.options.declaration import GROUPS
    from harness.load.options.reading import OPTIONS

    lines = [
        f"usage: {PROGRAM} [UserClass] [Locust's options and these]",
        "",
        "Offer load to Amazon Connect chat with Locust. Without --host and --live an emulator is started for the run.",
        "",
        f"  {PROGRAM}                                            Locust's web UI on http://127.0.0.1:8089",
        f"  {PROGRAM} StartChat --headless -u 20 -r 20 -t 60s    20 chat starts/s for a minute",
        f"  {PROGRAM} QuotaProbe --headless -u 1                 find both limits, then stop",
        "",
        "User classes: StartChat (one chat start per second and user), ChatConversation (the whole journey of a customer),",
        "QuotaProbe (finds the limits with few chats). Each run has one of them.",
    ]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        for each in (found for found in OPTIONS if found.group == group):
            name = f"  {each.flag} {each.metavar}".rstrip()
            about = each.about + (f"; for {each.counts_for}" if each.counts_for else "")
            lines += _row(name, f"{about} (default: {each.shown_default})")
    lines += [
        "",
        "Locust's own, such as -u/--users, -r/--spawn-rate, -t/--run-time, --headless, -H/--host, -f/--locustfile,",
        "--processes, --master, --worker: see 'locust --help' or https://docs.locust.io/en/stable/configuration.html.",
        "Every option may also stand in locust.conf (max-chats = 700) or in the environment (CHATQUOTA_MAX_CHATS=700).",
        "Exit codes: 0 done, 1 a gate failed, 2 usage error, 3 target unreachable or refusing every call, 4 stopped by a",
        "guard, 5 invalid run.",
    ]
    return "\n".join(lines)


def _row(name: str, about: str) -> list[str]:
    import textwrap

    first, *rest = textwrap.wrap(about, 120 - _WIDTH)
    told = [" " * _WIDTH + line for line in rest]
    if len(name) < _WIDTH - 1:
        return [f"{name:<{_WIDTH}}{first}", *told]
    return [name, " " * _WIDTH + first, *told]


def _misspelt(arguments: list[str], known: list[str]) -> str | None:
    """Return one line about a user class that the packaged locustfile does not have, or None."""
    from locust.argument_parser import get_parser

    options, unknown = get_parser().parse_known_args(arguments)
    for name in options.user_classes if not unknown else ():  # Locust tells of unknown options, and what was meant
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]}?" if close else "."
            return f"{PROGRAM}: no user class {name!r}{meant} There are ChatConversation, QuotaProbe and StartChat"
    return None
