"""`chatquota report` over millions of samples, against pyarrow reading the same columns of the same files."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000_000
_FILE_ROWS = 1_000_000
_BEGAN = 1_795_000_000.0
_RATE = 2_000.0  # offered calls a second

_READ = """
import sys, time
import pyarrow.parquet as pq
columns = sys.argv[1].split(",")
best = float("inf")
for _ in range(3):
    began = time.perf_counter()
    for name in sys.argv[2:]:
        pq.read_table(name, columns=columns, use_threads=True)
    best = min(best, time.perf_counter() - began)
print(best)
"""


def write_run(path: Path, rows: int) -> None:
    """Write a run of `rows` attempts: an open schedule that meets both limits, with a StopContact for each chat."""
    (path / "samples").mkdir(parents=True)
    draw = np.random.default_rng(7)
    written = 0
    while written < rows:
        count = min(_FILE_ROWS, rows - written)
        table = _table(draw, written, count)
        pq.write_table(
            table, path / "samples" / f"local-{written:012d}.parquet", compression="zstd", row_group_size=65_536
        )
        written += count
    manifest = {
        "schema": 1,
        "run_id": path.name,
        "user_class": "StartChat",
        "status": "finished",
        "generator": {"valid": True, "reasons": [], "samples_recorded": rows},
        "chats": {"started": 0, "stopped": 0, "left_open": 0},
    }
    (path / "run.json").write_text(json.dumps(manifest))


def _table(draw: np.random.Generator, first: int, count: int) -> pa.Table:
    scheduled = _BEGAN + (first + np.arange(count)) / _RATE
    sent = scheduled + draw.gamma(2.0, 0.0003, count)
    outcome = draw.choice(5, count, p=[0.40, 0.15, 0.03, 0.02, 0.40]).astype(np.int32)
    latency = draw.lognormal(-3.5, 0.5, count)
    stop = outcome == 4
    operation = np.where(stop, 1, 0).astype(np.int32)
    types = np.where(stop, 0, draw.integers(0, 3, count)).astype(np.int32)
    sizes = np.where(stop, 0, draw.integers(0, 32_768, count)).astype(np.int32)
    contact = pa.array(np.char.add("contact-", (first + np.arange(count)).astype(str)))

    def words(codes: np.ndarray, names: list[str]) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))

    return pa.table(
        {
            "operation": words(operation, ["StartChatContact", "StopContact"]),
            "scheduled": scheduled,
            "sent": sent,
            "received": sent + latency,
            "outcome": words(outcome, ["started", "tps_throttled", "active_chat_limit", "service_error", "ok"]),
            "status": pa.array(np.full(count, 200, dtype=np.int16)),
            "contact_id": contact,
            "content_types": words(types, ["text/plain", "text/plain,text/markdown", "application/json"]),
            "attribute_bytes": pa.array(sizes),
            "kind": words(types, ["plain", "rich", "json"]),
        }
    )


def measure(path: Path) -> tuple[float, float, float]:
    """Seconds that pyarrow takes, seconds that the report takes, and the report's peak memory in MiB."""
    from reports.samples import COLUMNS

    files = [str(file) for file in sorted((path / "samples").glob("*.parquet"))]
    read = subprocess.run(
        [sys.executable, "-c", _READ, ",".join(COLUMNS), *files], check=True, capture_output=True, text=True
    )
    began = time.perf_counter()
    process = subprocess.Popen(_report(path))
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - began
    if status:
        raise SystemExit(f"the report failed with wait status {status}")
    return float(read.stdout), taken, usage.ru_maxrss / 1024


def _report(path: Path) -> list[str]:
    code = "import sys; from harness.command import main; sys.exit(main(['report', sys.argv[1], '--quiet']))"
    return [sys.executable, "-c", code, str(path)]


def main() -> None:
    """Print one line for each size: rows, both times, their ratio, and the report's peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[ROWS // 10, ROWS])
    arguments, _ = parser.parse_known_args()
    print(f"{'rows':>12} {'pyarrow s':>10} {'report s':>10} {'ratio':>7} {'peak MiB':>9}")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            write_run(path, rows)
            read, report, memory = measure(path)
        print(f"{rows:>12,} {read:>10.2f} {report:>10.2f} {report / read:>7.1f} {memory:>9.0f}")


if __name__ == "__main__":
    main()
