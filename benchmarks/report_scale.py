"""`chatquota report` over millions of samples, against pyarrow reading the same columns of the same files.

The rival is a process that imports pyarrow and reads the columns into tables, as the report is a process that imports
what it needs; how much of the rival's time is the reading alone is printed too. Wall-clock times, medians of alternated
rounds. The peak memory is the report's own process; those that draw beside it hold about 150 MiB each, most of it shared.
All is compiled before, as after an installation: bytecode goes to a place of its own, and a first round is not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reports.run.samples import COLUMNS

_FILE_ROWS = 262_144  # as the harness writes them
_GROUP_ROWS = 65_536
_BUCKET_ROWS = 100_000
_BEGAN = 1_795_000_000.0
_RATE = 2_000.0  # offered calls a second

_READ = """
import sys, time
import pyarrow.parquet as pq
began = time.perf_counter()
for name in sys.argv[2:]:
    pq.read_table(name, columns=sys.argv[1].split(","))
print(time.perf_counter() - began)
"""


def write_run(path: Path, rows: int) -> None:
    """Write a run of `rows` attempts: Poisson arrivals at a token bucket, and a StopContact for each chat.

    The first attempts are those of a real bucket, for the inference to find; the others are drawn in its proportions.
    """
    (path / "samples").mkdir(parents=True)
    draw = np.random.default_rng(7)
    written, now = 0, _BEGAN
    while written < rows:
        count = min(_FILE_ROWS, rows - written)
        scheduled = now + np.cumsum(draw.exponential(1 / _RATE, count))
        outcome = draw.choice(5, count, p=[0.40, 0.15, 0.03, 0.02, 0.40]).astype(np.int32)
        sent = scheduled + draw.gamma(2.0, 0.0003, count)
        if not written:
            outcome[:_BUCKET_ROWS] = _bucket(sent[:_BUCKET_ROWS])
        table = _table(draw, scheduled, sent, outcome, written)
        name = path / "samples" / f"local-{written:012d}.parquet"
        pq.write_table(table, name, compression="zstd", row_group_size=_GROUP_ROWS)
        written, now = written + count, float(scheduled[-1])
    manifest = {
        "schema": 1,
        "run_id": path.name,
        "user_class": "StartChat",
        "status": "finished",
        "generator": {"valid": True, "reasons": [], "samples_recorded": rows},
        "chats": {"started": 0, "stopped": 0, "left_open": 0},
    }
    (path / "run.json").write_text(json.dumps(manifest))


def _bucket(sent: NDArray[np.float64]) -> NDArray[np.int32]:
    """What a bucket of half the offered rate makes of calls: 0 started, 1 throttled."""
    rate, burst = _RATE / 2, _RATE
    tokens, filled = burst, float(sent.min())
    outcome = np.zeros(len(sent), dtype=np.int32)
    for index in np.argsort(sent):
        tokens = min(burst, tokens + (float(sent[index]) - filled) * rate)
        filled = float(sent[index])
        if tokens >= 1:
            tokens -= 1
        else:
            outcome[index] = 1
    return outcome


def _table(
    draw: np.random.Generator,
    scheduled: NDArray[np.float64],
    sent: NDArray[np.float64],
    outcome: NDArray[np.int32],
    first: int,
) -> pa.Table:
    count = len(sent)
    latency = draw.lognormal(-3.5, 0.5, count)
    stop = outcome == 4
    types = np.where(stop, 0, draw.integers(0, 3, count)).astype(np.int32)
    sizes = np.where(stop, 0, draw.integers(0, 32_768, count)).astype(np.int32)

    def words(codes: NDArray[np.int32], names: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))

    return pa.table(
        {
            "operation": words(stop.astype(np.int32), ["StartChatContact", "StopContact"]),
            "scheduled": scheduled,
            "sent": sent,
            "received": sent + latency,
            "outcome": words(outcome, ["started", "tps_throttled", "active_chat_limit", "service_error", "ok"]),
            "status": pa.array(np.full(count, 200, dtype=np.int16)),
            "contact_id": pa.array([f"contact-{first + number}" for number in range(count)]),
            "content_types": words(types, ["text/plain", "text/plain,text/markdown", "application/json"]),
            "attribute_bytes": pa.array(sizes),
            "kind": words(types, ["plain", "rich", "json"]),
        }
    )


@dataclass(frozen=True)
class Measured:
    """Seconds of wall-clock time of whole processes, of the reading alone, and the report's peak memory in MiB."""

    rival: float
    reading: float
    report: float
    memory: float


def measure(path: Path, rounds: int) -> Measured:
    """Run both in turn, `rounds` times each after a first that compiles what is loaded, and give the medians."""
    files = [str(file) for file in sorted((path / "samples").glob("*.parquet"))]
    read = [sys.executable, "-c", _READ, ",".join(COLUMNS), *files]
    found = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        rival = subprocess.run(read, check=True, capture_output=True, text=True)
        between = time.perf_counter()
        process = subprocess.Popen(_report(path))
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"the report failed with wait status {status}")
        taken = time.perf_counter() - between
        if number:
            found.append((between - began, float(rival.stdout), taken, usage.ru_maxrss / 1024))
    return Measured(*(statistics.median(column) for column in zip(*found, strict=True)))


def _report(path: Path) -> list[str]:
    installed = "import sys; from harness.command import main; sys.exit(main())"  # what the command `chatquota` is
    return [sys.executable, "-c", installed, "report", str(path), "--quiet"]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each size; exit code 1 if the largest takes over 5 times its rival or over 1 GiB."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_scale", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000], help="numbers of samples")
    parser.add_argument("--rounds", type=int, default=3, help="alternated rounds of each (default: 3)")
    options = parser.parse_args(argv)
    print(f"{'samples':>12}{'pyarrow':>12}{'(reading)':>12}{'report':>12}{'ratio':>8}{'peak':>12}")
    good = True
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
            path = Path(folder) / "run"
            write_run(path, rows)
            one = measure(path, options.rounds)
        ratio = one.report / one.rival
        good = ratio <= 5 and one.memory <= 1024
        times = f"{one.rival:>10.2f} s{one.reading:>10.2f} s{one.report:>10.2f} s"
        print(f"{rows:>12,}{times}{ratio:>8.1f}{one.memory:>8.0f} MiB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
