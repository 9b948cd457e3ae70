"""`chatquota init`: writes the files that a load test of one's own starts from."""

from importlib.resources import files
from pathlib import Path

from harness.errors import Parser, UsageError

FILES = ("locustfile.py", "locust.conf", "workload.toml", "gates.toml", "day.csv")


def main(argv: list[str]) -> int:
    """Write the starter files into a directory; return 0. Raises UsageError where one of them is there already."""
    parser = Parser(
        prog="chatquota init",
        description=f"Write commented files to start a load test from: {', '.join(FILES)}.",
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, nargs="?", default=Path(), help="where to (default: here)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there already")
    arguments = parser.parse_args(argv)
    directory: Path = arguments.directory
    there = [name for name in FILES if (directory / name).exists()]
    if there and not arguments.force:
        raise UsageError(f"{directory}: {', '.join(there)} is there already; name another directory, or give --force")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (directory / name).write_bytes(files("harness.cli").joinpath("starter", name).read_bytes())
            print(directory / name)
    except OSError as error:
        raise UsageError(f"{error.filename}: {(error.strerror or str(error)).lower()}; name a writable one") from error
    place = "" if directory == Path() else f"cd {directory} && "
    print(f"\nNext: {place}chatquota run --headless    (a minute of load against the embedded emulator)")
    return 0
