"""The commands `chatquota report`, `compare` and `plan`: their options, and nothing that is slow to load."""

from pathlib import Path

from harness.gates import read_gates
from harness.usage import Parser, UsageError
from reports.wanted import Wanted


def report(argv: list[str]) -> int:
    """`chatquota report RUN`: returns 0 if the report was made, 1 if a gate was breached."""
    parser = Parser(
        prog="chatquota report",
        description="Make the capacity report of a run directory: capacity.json, report.html, report.md and figures/.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, nargs="?", help="the run directory that locust wrote")
    parser.add_argument("--gates", metavar="FILE", type=Path, help="TOML of thresholds; a breach makes the exit code 1")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="where the gates' JUnit XML goes (RUN/junit.xml)")
    parser.add_argument("--check-gates", metavar="FILE", type=Path, help="only validate a file of gates, and end")
    parser.add_argument("--request", action="store_true", help="also write RUN/quota-request.md, the text for AWS")
    parser.add_argument("--want-tps", metavar="RATE", type=float, help="chat starts a second to ask for")
    parser.add_argument("--want-active-chats", metavar="N", type=int, help="chats at once to ask for")
    parser.add_argument("--by", metavar="DATE", help="when the new quotas are needed, such as 2027-01-15")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    arguments = parser.parse_args(argv)
    if arguments.check_gates is not None:
        gates = read_gates(arguments.check_gates)
        print(f"{arguments.check_gates}: {len(gates)} gates, all valid")
        return 0
    if arguments.run is None:
        raise UsageError("no run directory; give one, such as runs/<time>-start-chat")
    gates = read_gates(arguments.gates) if arguments.gates is not None else ()
    wanted = Wanted(arguments.want_tps, arguments.want_active_chats, arguments.by) if arguments.request else None
    if wanted is None and (arguments.want_tps or arguments.want_active_chats or arguments.by):
        raise UsageError("--want-tps, --want-active-chats and --by belong to --request; add it")
    from reports.build import build_report

    return build_report(arguments.run, gates=gates, junit_path=arguments.junit, wanted=wanted, quiet=arguments.quiet)
