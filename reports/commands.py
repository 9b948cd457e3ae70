"""The commands `chatquota report`, `compare` and `plan`: their options, and nothing that is slow to load."""

from pathlib import Path

from harness.usage import Parser


def report(argv: list[str]) -> int:
    """`chatquota report RUN`: returns 0 if the report was made, 1 if a gate was breached."""
    parser = Parser(
        prog="chatquota report",
        description="Make the capacity report of a run directory: capacity.json, report.html, report.md and figures/.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the run directory that locust wrote")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    arguments = parser.parse_args(argv)
    from reports.build import build_report

    return build_report(arguments.run, quiet=arguments.quiet)
