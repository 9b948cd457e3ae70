"""How late and how evenly calls are sent: StartChat's open arrivals beside Locust's `constant_throughput` users.

Both offer the same rate to the same nginx from one core, in turn. A call's lateness is its sending less the time at which it
was due: for the harness its arrival, for a Locust user its own first call plus whole seconds. Two more columns show what a
quota sees: calls in the busiest tenth of each second (10 % when they are even), and the longest gap without a call.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, TimeoutExpired

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import bench

WANTED_MS = 2.0
"""The lateness that 99 of 100 calls must stay under."""
WANTED_COUNT = 0.001
"""How far the number of calls may be from the offered one."""
RATES = (200, 1000)
_ROUNDS, _SECONDS, _SETTLE = 2, 8, 4.0

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Sent:
    """One round's calls: lateness in ms (median, 99th percentile, most), deviation of their number from the offered one,
    share in the busiest tenth of a second, longest gap in ms.
    """

    p50: float
    p99: float
    most: float
    deviation: float
    busiest: float
    gap: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when the harness is later or less exact than wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator_lateness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"alternated rounds of each (default: {_ROUNDS})")
    parser.add_argument("--seconds", type=int, default=_SECONDS, help=f"seconds watched (default: {_SECONDS})")
    options = parser.parse_args(argv)
    rows, met = [], True
    print(f"{bench.machine()}; median [least, most] of {options.rounds} alternated rounds, {options.seconds} s each")
    with bench.nginx() as target:
        for rate in RATES:
            ours, theirs = [], []
            for _ in range(options.rounds):
                ours.append(_harness(target, rate, options.seconds))
                theirs.append(_locust_users(target, rate, options.seconds))
            rows += [_row(f"chatquota, {rate}/s", ours), _row(f"{rate} users x constant_throughput(1)", theirs)]
            met &= statistics.median(sent.p99 for sent in ours) < WANTED_MS
            met &= max(abs(sent.deviation) for sent in ours) <= WANTED_COUNT
    heads = ["", "late ms p50", "p99", "most", "calls off", "busiest tenth", "longest gap ms"]
    print(bench.table(heads, rows))
    print(
        f"wanted of chatquota: p99 under {WANTED_MS:g} ms, calls within {100 * WANTED_COUNT:g} % of the offered number"
    )
    return 0 if met else 1


def _row(name: str, rounds: list[Sent]) -> list[str]:
    return [
        name,
        bench.spread([sent.p50 for sent in rounds], ".2f"),
        bench.spread([sent.p99 for sent in rounds], ".2f"),
        bench.spread([sent.most for sent in rounds], ".0f"),
        bench.spread([100 * sent.deviation for sent in rounds], "+.2f") + " %",
        bench.spread([100 * sent.busiest for sent in rounds], ".0f") + " %",
        bench.spread([sent.gap for sent in rounds], ".0f"),
    ]


def _harness(target: bench.Nginx, rate: int, seconds: int) -> Sent:
    with tempfile.TemporaryDirectory(prefix="bench-run-") as scratch:
        run = Path(scratch) / "run"
        load = ["-u", "1", "--starts-per-user", str(rate), "--arrivals", "uniform", "--keep-chats"]
        _run(["StartChat", *load, "--host", target.url, "--run-dir", str(run)], None, seconds, {})
        tables = [pq.read_table(path) for path in sorted((run / "samples").glob("*.parquet"))]
        due, sent = _column(tables, "scheduled"), _column(tables, "sent")
        starts = np.concatenate([np.array(t["operation"].to_pylist()) == "StartChatContact" for t in tables])
    return _judge(due[starts], sent[starts], rate, seconds)


def _column(tables: Sequence["object"], name: str) -> Times:
    return np.concatenate([np.asarray(table[name]) for table in tables])  # type: ignore[index]


def _locust_users(target: bench.Nginx, rate: int, seconds: int) -> Sent:
    with tempfile.TemporaryDirectory(prefix="bench-run-") as scratch:
        times = Path(scratch) / "times.json"
        load = ["-u", str(rate), "-r", str(rate), "--host", target.url]
        _run(load, bench.RIVALS / "constant_throughput.py", seconds, {"BENCH_TIMES": str(times)})
        calls = json.loads(times.read_text())
    first: dict[int, float] = {}
    number: dict[int, int] = {}
    due, sent = [], []
    for user, at in calls:
        first.setdefault(user, at)
        due.append(first[user] + number.setdefault(user, 0))
        number[user] += 1
        sent.append(at)
    return _judge(np.array(due), np.array(sent), rate, seconds)


def _run(arguments: list[str], locustfile: Path | None, seconds: int, env: dict[str, str]) -> None:
    command = bench.locust(
        [*arguments, "-t", f"{seconds + _SETTLE + 1:g}s"], locustfile or bench.ROOT / "locustfile.py"
    )
    environment = {**os.environ, **env, "AWS_EC2_METADATA_DISABLED": "true"}
    process = bench.start(command, bench.cores()[0], cwd=bench.ROOT, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    try:
        process.wait(seconds + 120)
    except TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _judge(due: Times, sent: Times, rate: int, seconds: int) -> Sent:
    begin = sent.min() + _SETTLE  # users are being spawned before, which is another subject
    watched = (sent >= begin) & (sent < begin + seconds)
    late = np.maximum(sent - due, 0.0)[watched] * 1000
    at = np.sort(sent[watched]) - begin
    tenths = np.bincount((at * 10).astype(np.int64), minlength=10 * seconds).reshape(seconds, 10)
    busiest = tenths.max(axis=1).sum() / tenths.sum()
    p50, p99 = np.percentile(late, [50, 99])
    deviation = len(at) / (rate * seconds) - 1
    return Sent(float(p50), float(p99), float(late.max()), deviation, float(busiest), float(np.diff(at).max() * 1000))


if __name__ == "__main__":
    sys.exit(main())
