"""Run directories from anywhere: `report`, `compare` and `plan` read them, or refuse them in one line with exit code 2."""

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.command import main
from harness.recording.format.schema import JOURNAL_SCHEMA
from tests.fuzz.mutations import MUTATIONS
from tests.reports.synthetic import SCHEMA, Scenario, simulate, write_run

COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "report": lambda path, _whole: ["report", str(path), "--no-figures"],
    "compare": lambda path, whole: ["compare", str(whole), str(path)],
    "plan": lambda path, _whole: ["plan", "--arrivals", "3/s", "--length", "4s", "--run", str(path)],
    "declared": lambda path, _whole: ["plan", "--arrivals", "3/s", "--length", "4s", "--declared", str(path)],
}
READERS = [
    *(("report", kind) for kind in ("manifest", "ledger", "parquet", "journal")),
    *((command, "answer") for command in ("compare", "plan", "declared")),
]


def make_whole(path: Path) -> Path:
    """A reported run of a few seconds that has every kind of file; its chats are counted in its ledger."""
    rows = simulate(Scenario(burst=50, offered=5.0, seconds=4, quota=9))  # no throttle, so that nothing is fitted
    write_run(path, rows, files=0, chats=None)
    half = len(rows) // 2
    pq.write_table(pa.Table.from_pylist(rows[:half], schema=SCHEMA), path / "samples" / "local-00000.parquet")
    journal = path / "samples" / "local-00001.arrows"
    with journal.open("wb") as file, pa.ipc.new_stream(file, JOURNAL_SCHEMA) as stream:
        for first in range(half, len(rows), 10):
            stream.write_batch(pa.RecordBatch.from_pylist(rows[first : first + 10], schema=JOURNAL_SCHEMA))
    assert main(["report", str(path), "--quiet", "--no-figures"]) == 0
    assert json.loads((path / "capacity.json").read_bytes())["chats"]["source"] == "ledger"
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that is changed in copies."""
    return make_whole(tmp_path_factory.mktemp("hostile") / "whole")


def check(command: str, kind: str, seed: int, whole: Path, path: Path) -> tuple[int, str]:
    """Run a command on a copy of `whole` at `path` with one file changed; return its exit code and standard error."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    name, mutate = MUTATIONS[kind]
    mutate(path / name, random.Random(seed))
    try:
        return main(COMMANDS[command](path, whole)), ""
    except SystemExit as leaving:
        return int(str(leaving.code)), ""


@pytest.mark.parametrize(("command", "kind"), READERS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_is_read_or_refused_in_one_line(
    command: str, kind: str, seed: int, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No change of a file makes a command raise, or say anything but one line with exit code 2."""
    code, _ = check(command, kind, seed, whole, tmp_path / "changed")
    error = capsys.readouterr().err
    assert code in (0, 1, 2)
    assert error.count("\n") == (1 if code == 2 else 0), error
    assert "Traceback" not in error


def campaign(count: int, directory: Path, readers: list[tuple[str, str]]) -> None:
    """Try `count` seeds for each reader, and print each seed that broke one."""
    whole = make_whole(directory / "whole")
    for command, kind in readers:
        codes: dict[int, int] = {}
        for seed in range(count):
            try:
                code, _ = check(command, kind, seed, whole, directory / "changed")
                codes[code] = codes.get(code, 0) + 1
            except Exception as error:  # what the campaign looks for
                print(f"BROKEN {command} {kind} seed {seed}: {type(error).__name__}: {str(error)[:200]}", flush=True)
        print(f"{command} {kind}: {codes}", flush=True)


if __name__ == "__main__":  # python -m tests.fuzz.test_hostile_runs SEEDS EMPTY_DIRECTORY [COMMAND]
    campaign(int(sys.argv[1]), Path(sys.argv[2]), [one for one in READERS if sys.argv[3:] in ([], [one[0]], list(one))])
