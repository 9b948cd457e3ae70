"""What is fuzzed: each target takes any bytes and fails on anything but the documented outcome.

Run one by itself, for as long as you like, with coverage feedback:  python -m tests.fuzz.targets outcome -max_total_time=600
"""

import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson

from harness.connect.outcome import classify, read_error
from harness.errors import UsageError
from harness.load.workload.model import Drawer
from harness.load.workload.toml import parse_workload
from harness.recording.format.journal import read_journal
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import read_manifest
from harness.recording.journal import recover
from harness.recording.redact import redact
from harness.vocabulary import OUTCOMES
from reports.run.rundir import ledger_chats, read_run


def outcome(data: bytes) -> None:
    """An error answer: first byte the operation, two bytes the status, a line that is the header, the rest the body."""
    operation = "StartChatContact" if not data or data[0] % 2 else "StopContact"
    status = 200 + int.from_bytes(data[1:3], "big") % 400
    header, _, body = data[3:].partition(b"\n")
    headers = {"x-amzn-errortype": header.decode("latin-1")} if header else {}
    code, message = read_error(headers, body)
    assert code is None or (isinstance(code, str) and code)
    assert isinstance(redact(message), str)
    found = classify(operation, status, code)
    assert found in OUTCOMES
    if status == 429:
        assert found in ("tps_throttled", "active_chat_limit", "unclassified_429")
    if found in ("started", "ok"):
        assert status < 300


def workload(data: bytes) -> None:
    """A workload file: it is refused in one line, or every chat that it draws is JSON."""
    text = data.decode("utf-8", "replace")
    try:
        parsed = parse_workload(text, "fuzz.toml")
    except UsageError as error:
        _one_line(error)
        return
    if sum(kind.attributes.count[1] * kind.attributes.value_bytes[1] for kind in parsed.kinds) > 100_000:
        return  # an `invalid` kind may ask for any size
    try:
        drawer = Drawer(parsed, "i", "f", "run")
    except ValueError:
        return
    orjson.loads(drawer.draw().body)


def run_directory(data: bytes) -> None:
    """A run directory of which manifest, ledger, journal and samples are any bytes: one clear line, or it is read."""
    parts = (data.split(b"\n--\n") + [b""] * 4)[:4]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "samples").mkdir()
        (directory / "run.json").write_bytes(parts[0])
        (directory / "contacts.local.jsonl").write_bytes(parts[1])
        (directory / "samples" / "local-00000.arrows").write_bytes(parts[2])
        (directory / "samples" / "local-00001.parquet").write_bytes(parts[3])
        _readable(lambda: read_manifest(directory))
        _readable(lambda: merge_ledgers(read_ledgers(directory)).counts())
        _readable(lambda: ledger_chats(read_run(directory)))
        part = read_journal(directory / "samples" / "local-00000.arrows")
        recover(directory / "samples")
        assert not list((directory / "samples").glob("*.arrows"))
        assert part.whole or (directory / "samples" / "local-00000.damaged").read_bytes() == parts[2]


def _readable(read: Callable[[], object]) -> None:
    try:
        read()
    except UsageError as error:
        _one_line(error)


def _one_line(error: UsageError) -> None:
    assert str(error)
    assert "\n" not in str(error)


TARGETS: dict[str, Callable[[bytes], None]] = {"outcome": outcome, "workload": workload, "run_directory": run_directory}


def main() -> None:
    """Run one target under atheris (libFuzzer), whose options follow the target's name."""
    import atheris

    target = TARGETS[sys.argv.pop(1)]
    for name in (
        "connect.outcome",
        "load.workload.toml",
        "recording.format.ledger",
        "recording.format.journal",
        "recording.format.manifest",
        "recording.redact",
    ):
        for function in list(vars(sys.modules[f"harness.{name}"]).values()):
            if inspect.isfunction(function) and function.__module__ == f"harness.{name}":
                atheris.instrument_func(function)
    atheris.Setup(sys.argv, lambda data: target(bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
