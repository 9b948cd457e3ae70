"""`chatquota init`: writes the files that a load test of one's own starts from."""

from importlib.resources import files
from pathlib import Path

from harness.errors import Parser, UsageError, one_line
from harness.input_files import read_bounded
from harness.load.workload.from_transcript import script_of_transcript
from harness.load.workload.toml import parse_workload

FILES = ("locustfile.py", "locust.conf", "workload.toml", "conversations.toml", "gates.toml", "day.csv")
SCRIPT = "conversations.toml"


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
    parser.add_argument(
        "--script",
        metavar="TRANSCRIPT",
        type=Path,
        help=f"write {SCRIPT} alone, with the conversation of this transcript (JSON of GetTranscript, or from S3)",
    )
    arguments = parser.parse_args(argv)
    directory: Path = arguments.directory
    if arguments.script is not None:
        contents = {SCRIPT: _script(arguments.script)}
    else:
        contents = {name: files("harness.cli").joinpath("starter", name).read_bytes() for name in FILES}
    there = [name for name in contents if (directory / name).exists()]
    if there and not arguments.force:
        raise UsageError(f"{directory}: already there: {', '.join(there)}; name another directory, or give --force")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (directory / name).write_bytes(content)
            print(directory / name)
    except OSError as error:
        raise UsageError(f"{error.filename}: {(error.strerror or str(error)).lower()}; name a writable one") from error
    place = "" if directory == Path() else f"cd {directory} && "
    if arguments.script is not None:
        print(f"\nNext: {place}chatquota run --headless ChatConversation --workload {SCRIPT} -u 1 -t 1m")
    else:
        print(f"\nNext: {place}chatquota run --headless    (a minute of load against the embedded emulator)")
    return 0


def _script(transcript: Path) -> bytes:
    """Return the workload with the conversation of a transcript."""
    try:
        text = script_of_transcript(read_bounded(str(transcript), "a transcript in JSON"), one_line(transcript.stem))
    except ValueError as error:
        raise UsageError(f"--script {transcript}: {str(error).removeprefix(f'{transcript}: ')}") from error
    parse_workload(text, str(transcript))
    return text.encode("utf-8")
