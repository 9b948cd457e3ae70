"""`chatquota upload`: sends a run directory to S3, or what of it is not there yet."""

import os
from pathlib import Path

from harness.counting import counted
from harness.errors import Parser, UsageError
from harness.recording.format.layout import MANIFEST
from harness.recording.format.manifest import read_manifest
from harness.storage.address import Address, parse_address
from harness.storage.bucket import Bucket
from harness.storage.push import push


def main(argv: list[str]) -> int:
    """Send a run directory; return 0. Raises UsageError, or StorageError where S3 refuses."""
    parser = Parser(
        prog="chatquota upload",
        description="Send a run directory to S3, as a run with --upload does by itself. May be repeated: it sends the rest.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, nargs="?", help="the run directory")
    parser.add_argument("to", metavar="s3://BUCKET/PREFIX", help="the run goes into a folder of its id below this")
    parser.add_argument("--check", action="store_true", help="send nothing, and look whether that can be written to")
    parser.add_argument(
        "--background", action="store_true", help="take little of the processor, and print nothing but errors"
    )
    arguments = parser.parse_args(argv)
    try:
        address = parse_address(arguments.to)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.check:
        Bucket(address).check_writable()
        return 0
    directory: Path | None = arguments.run
    if directory is None or not (directory / MANIFEST).exists():
        raise UsageError(f"{directory or 'no RUN'}: not a run directory: it has no run.json")
    if arguments.background:
        os.nice(10)
    place = place_of(directory, address)
    done = push(directory, place)
    if not arguments.background:
        print(f"{place}: {counted(done.sent, 'file')} sent ({done.bytes:,} bytes), {done.kept} were there already")
    return 0


def place_of(directory: Path, address: Address) -> Address:
    """Return where a run goes below `address`: a folder of its id, which no two machines share."""
    run_id = read_manifest(directory).contents.run_id
    try:
        return parse_address(str(address.below(run_id or directory.resolve().name)))
    except ValueError as error:
        raise UsageError(f"{directory}: the run's id cannot be a name in S3: {error}") from error
