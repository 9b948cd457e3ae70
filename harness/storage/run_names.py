"""What a run may be called on the command line beside its directory: `latest`, and `s3://bucket/prefix/run`."""

from collections.abc import Callable
from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.layout import MANIFEST
from harness.storage.address import SCHEME, is_address, parse_address

LATEST = "latest"
_CHANGES_RUNS = ("cleanup",)
"""The commands that write what must not stay on this machine alone."""


def on_runs(name: str, command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Call the command with directories in place of `latest` and of addresses in S3; return its exit code.

    What `cleanup` did to a run in S3 is sent back there. Raises UsageError where there is no such run, StorageError where
    S3 refuses.
    """
    fetched: dict[str, Path] = {}
    found = [_directory_of(argument, fetched) for argument in arguments]
    code = command(found)
    if name in _CHANGES_RUNS and fetched:
        _send_back(fetched)
    return code


def newest_run(below: Path) -> Path:
    """Return the run directory below `below` whose manifest was begun last. Raises UsageError where there is none."""
    runs = [path.parent for path in below.glob(f"*/{MANIFEST}")]
    if not runs:
        raise UsageError(f"no run below {below}/; name a run directory, or make a run with `chatquota run`")
    return max(runs, key=lambda path: (_began(path), path.name))


def _began(run: Path) -> float:
    """When a run began (unix seconds); that of a manifest which cannot be read or does not say it, when it was written."""
    from harness.recording.format.manifest import load_manifest  # numpy and pyarrow, which `--help` does without

    try:
        began = load_manifest(run).contents.started_at
    except (UsageError, OSError):
        began = None
    return began or (run / MANIFEST).stat().st_mtime


def _directory_of(argument: str, fetched: dict[str, Path]) -> str:
    if argument == LATEST and not Path(LATEST).exists():
        return str(newest_run(Path("runs")))
    option, equals, value = argument.partition("=")
    if not argument.startswith("--") or not equals:
        option, equals, value = "", "", argument
    if not is_address(value):
        return argument
    from harness.storage.fetch import fetch, newest  # boto3, which takes a third of a second

    try:
        address = parse_address(value)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if address.prefix == LATEST or address.prefix.endswith(f"/{LATEST}"):
        address = newest(parse_address(f"{SCHEME}{address.bucket}/{address.prefix.removesuffix(LATEST)}"))
    fetched[str(address)] = fetch(address)
    return f"{option}{equals}{fetched[str(address)]}"


def _send_back(fetched: dict[str, Path]) -> None:
    from harness.storage.push import push

    for address, directory in fetched.items():
        push(directory, parse_address(address))
        print(f"{address}: the completed record is there too")
