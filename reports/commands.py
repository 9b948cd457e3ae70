"""The commands `chatquota report`, `runs`, `compare` and `plan`: their options, and nothing that is slow to load."""

import argparse
import gc
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from harness.counting import counted
from harness.errors import Parser, UsageError
from harness.gates import Gate, read_gates

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.capacity.model import Capacity
    from reports.figures.process import FigureProcess
    from reports.page.baseline import BaselineView
    from reports.page.request.text import QuotaRequest


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
    parser.add_argument("--summary", action="store_true", help="print the short table alone, and write nothing")
    parser.add_argument("--request", action="store_true", help="also write RUN/quota-request.md, the text for AWS")
    parser.add_argument("--want-tps", metavar="RATE", type=_positive, help="chat starts a second to ask for")
    parser.add_argument("--want-active-chats", metavar="N", type=_whole, help="chats at once to ask for")
    parser.add_argument("--by", metavar="DATE", help="when the new quotas are needed, such as 2027-01-15")
    parser.add_argument(
        "--from-plan", metavar="DIR", type=Path, help="the expected chats of `chatquota plan --out DIR`, as the reason"
    )
    parser.add_argument(
        "--baseline",
        metavar="RUN|DIR",
        type=Path,
        help="compare on the page with this run, or with the newest one in DIR that was made under the same conditions",
    )
    parser.add_argument("--no-figures", action="store_true", help="draw nothing: the numbers and texts alone, faster")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    arguments = parser.parse_args(argv)
    if arguments.check_gates is not None:
        gates = read_gates(arguments.check_gates)
        print(f"{arguments.check_gates}: {counted(len(gates), 'gate')}, all valid")
        return 0
    if arguments.run is None:
        raise UsageError("no run directory; give one, such as runs/<time>-start-chat")
    _refuse_contradictions(arguments)
    gates = read_gates(arguments.gates) if arguments.gates is not None else ()
    # Threads for small matrices only spin, a tenth of a second of a core, and sum in an order that depends on the machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from reports.figures.process import FigureProcess

    with nullcontext() if arguments.no_figures or arguments.summary else FigureProcess() as drawing:
        return _report(arguments, gates, drawing)


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    """Refuse what one of the options would let be without effect in silence, such as gates that nobody judges."""
    given = {name for name, value in vars(arguments).items() if value is not None and value is not False}
    if not arguments.request and given & {"want_tps", "want_active_chats", "by", "from_plan"}:
        raise UsageError("--want-tps, --want-active-chats, --by and --from-plan belong to --request; add it")
    if arguments.junit is not None and arguments.gates is None:
        raise UsageError("--junit belongs to --gates; add it")
    beyond = sorted(given & {"gates", "request", "baseline", "quiet"})
    if arguments.summary and beyond:
        raise UsageError(f"--summary prints the short table and does nothing else; leave it or --{beyond[0]} out")


def _report(arguments: argparse.Namespace, gates: tuple[Gate, ...], drawing: "FigureProcess | None") -> int:
    """Load what makes a report, while the process that draws loads what it needs, and make it."""
    gc.disable()  # among what is loaded there is nothing to collect; to look for it takes a fifteenth of the loading
    try:
        from reports.build import build_report
    finally:
        gc.enable()
    return build_report(
        arguments.run,
        gates=gates,
        junit_path=arguments.junit,
        wanted=_wanted(arguments) if arguments.request else None,
        drawing=drawing,
        quiet=arguments.quiet,
        summary=arguments.summary,
        beside=_beside(arguments.baseline) if arguments.baseline is not None else None,
    )


def _wanted(arguments: argparse.Namespace) -> "QuotaRequest":
    from reports.page.request.text import QuotaRequest
    from reports.page.request.volumes import read_volumes

    volumes = read_volumes(arguments.from_plan) if arguments.from_plan is not None else None
    return QuotaRequest(arguments.want_tps, arguments.want_active_chats, arguments.by, volumes)


def _beside(baseline: Path) -> "Callable[[Capacity], BaselineView]":
    from reports.compare.baseline import baseline_view, load_baseline

    candidates = load_baseline(baseline)
    return lambda answer: baseline_view(answer, candidates)


def runs(argv: list[str]) -> int:
    """`chatquota runs [DIR]`: returns 0."""
    parser = Parser(prog="chatquota runs", description="List runs and their answers, newest first.")
    parser.add_argument(
        "directory", metavar="DIR", type=Path, nargs="?", default=Path("runs"), help="where they are (default: runs)"
    )
    parser.add_argument("--all", action="store_true", help="list all of them, not the newest 20 alone")
    arguments = parser.parse_args(argv)
    from reports.runs import list_runs

    return list_runs(arguments.directory, sys.maxsize if arguments.all else 20)


def plan(argv: list[str]) -> int:
    """`chatquota plan`: returns 0 once the plan is made."""
    parser = Parser(
        prog="chatquota plan",
        description="Which quota binds first for expected chats, how many customers are refused, and what to request.",
    )
    parser.add_argument(
        "--arrivals", metavar="RATE|CSV", required=True, help="such as 4/s or 9000/h, or a CSV file of time,arrivals"
    )
    parser.add_argument(
        "--length",
        metavar="DIST",
        required=True,
        help="how long a chat lasts: 8m, exponential:8m, lognormal:8m,0.6 ...",
    )
    parser.add_argument(
        "--abandoned", metavar="SHARE", type=_share, help="customers who leave without ending their chat, such as 5%%"
    )
    parser.add_argument(
        "--chat-duration",
        metavar="TIME",
        help="when Amazon Connect ends such a chat: ChatDurationInMinutes of the call (default: 25h)",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run", metavar="RUN", type=Path, help="plan against the limits that a run found")
    source.add_argument(
        "--declared", metavar="RUN", type=Path, help="plan against the quotas that AWS declared in a run"
    )
    parser.add_argument("--tps", metavar="RATE", type=_positive, help="chat starts a second (default: 5, AWS's own)")
    parser.add_argument("--burst", metavar="N", type=_positive, help="burst of the TPS quota (default: 8 at 5/s)")
    parser.add_argument("--active-chats", metavar="N", type=_whole, help="chats at once (default: 500, AWS's own)")
    parser.add_argument(
        "--refused", metavar="SHARE", type=_share, default=0.001, help="customers that may be refused (default: 0.1%%)"
    )
    parser.add_argument(
        "--margin", metavar="SHARE", type=_part, default=0.2, help="safety margin on what to request (default: 20%%)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write plan.json, plan.md and the charts here")
    parser.add_argument("--seed", metavar="N", type=_seed, default=1, help="of the simulation (default: 1)")
    arguments = parser.parse_args(argv)
    from reports.plan.command import PlanRequest, run_plan

    return run_plan(PlanRequest(**vars(arguments)))


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number over zero")
    return value


def _whole(text: str) -> int:
    value = _number(text)
    if value < 1 or not value.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number over zero")
    return int(value)


def _share(text: str) -> float:
    """A share written as 0.001 or 0.1%, neither nothing nor all."""
    value = _part_of(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.1%")
    return value


def _part(text: str) -> float:
    """A share that may be nothing or all."""
    value = _part_of(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1, such as 20%")
    return value


def _part_of(text: str) -> float:
    return _number(text[:-1]) / 100 if text.endswith("%") else _number(text)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def compare(argv: list[str]) -> int:
    """`chatquota compare BASE NEW [MORE...]`: returns 1 if a metric got worse in any of the runs, else 0."""
    parser = Parser(
        prog="chatquota compare",
        description="Compare reported runs with the first one: deltas with intervals; exit code 1 on a regression.",
    )
    parser.add_argument("base", metavar="BASE", type=Path, help="a reported run directory, or its capacity.json")
    parser.add_argument("new", metavar="NEW", type=Path, nargs="+", help="one or more to compare with it")
    parser.add_argument(
        "--tolerance", metavar="SHARE", type=_part, default=0.02, help="changes up to this do not count (default: 2%%)"
    )
    parser.add_argument(
        "--allow", metavar="CONDITION", action="append", default=[], help="compare although this condition differs"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="write compare.md, compare.json and the trend figure here"
    )
    arguments = parser.parse_args(argv)
    from reports.compare.command import run_compare

    paths = [arguments.base, *arguments.new]
    return run_compare(paths, tolerance=arguments.tolerance, allow=arguments.allow, out=arguments.out)
