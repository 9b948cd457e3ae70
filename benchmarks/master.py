"""What a master spends on its workers: CPU a sample and a worker, share of a core, and memory.

A real master, and 200 simulated workers in another process (see fleet): first with nothing but heartbeats
and empty reports, then with Locust's own statistics of 100 calls a second each, then with their samples and ledger lines
too, half of them chat starts and half their stops.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import bench

WORKERS, RATE, SECONDS = 200, 100, 30.0
WARM_UP = 9.0
WANTED_US, CLAIMED_US, CLAIMED_CORE, CLAIMED_GROWTH = 2.0, 4.0, 0.5, 1.1
"""Microseconds a sample, share of a core, and memory at the end over that at the beginning."""


class Watched(NamedTuple):
    """A window: CPU seconds, seconds, samples written, resident MB at its beginning and end."""

    cpu: float
    seconds: float
    samples: int
    before_mb: float
    after_mb: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when a figure is not as claimed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.master", description=__doc__)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--rate", type=int, default=RATE, help=f"samples a second of each worker (default: {RATE})")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args(argv)
    print(bench.machine())
    idle, locusts, busy = (
        watch(options.workers, calls, rate, options.seconds)
        for calls, rate in ((0, 0), (options.rate, 0), (options.rate, options.rate))
    )
    share, without, alone = (each.cpu / each.seconds for each in (busy, locusts, idle))
    written = busy.samples / busy.seconds
    per_sample = (share - without) / written * 1e6
    rows = [
        ["a worker with nothing to tell", f"{alone / options.workers * 1e6:,.0f} us a second"],
        ["Locust's statistics", f"{(without - alone) / options.workers * 1e6:,.0f} us a worker and second"],
        ["a sample with its ledger line", f"{per_sample:.2f} us"],
        ["samples a second that were written", f"{written:,.0f}"],
        ["share of a core", f"{share:.2f}"],
        ["resident MB, first and last", f"{busy.before_mb:.0f}, {busy.after_mb:.0f}"],
    ]
    print(bench.table([f"{options.workers} workers at {options.rate}/s", ""], rows))
    print(f"claimed: under {CLAIMED_US:g} us a sample (wanted: {WANTED_US:g}), {CLAIMED_CORE:g} of a core, memory flat")
    offered = options.workers * options.rate
    as_claimed = per_sample < CLAIMED_US and share < CLAIMED_CORE and busy.after_mb < CLAIMED_GROWTH * busy.before_mb
    return 0 if as_claimed and busy.samples > 0.9 * offered * busy.seconds else 1


def watch(workers: int, calls: int, rate: int, seconds: float) -> Watched:
    """Run a master with its workers, and watch it for a while after they have begun."""
    with tempfile.TemporaryDirectory(prefix="bench-master-") as scratch:
        port = bench.free_port()
        run = [
            "StartChat",
            "-u",
            str(workers),
            "-r",
            str(10 * workers),
            "--only-summary",
            "--run-dir",
            f"{scratch}/run",
        ]
        fleet = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
        wait = ["--expect-workers", str(workers), "--expect-workers-max-wait", "120"]
        with Path(scratch, "printed.txt").open("wb") as sink:
            environment = {**os.environ, "CHATQUOTA_NO_SUMMARY": "true"}
            command = bench.locust([*run, *fleet, *wait])
            master = bench.start(command, bench.cores()[0], cwd=scratch, stdout=sink, stderr=sink, env=environment)
            others = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fleet.simulated_workers", str(port), str(workers), str(calls), str(rate)],
                cwd=bench.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                return _window(master, others, seconds)
            finally:
                for process in (others, master):
                    process.terminate()
                for process in (others, master):
                    try:
                        process.wait(15)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()


def _window(master: "subprocess.Popen[bytes]", others: "subprocess.Popen[str]", seconds: float) -> Watched:
    assert others.stdin is not None
    assert others.stdout is not None
    if others.stdout.readline() != "running\n":
        raise SystemExit("the workers did not begin")
    time.sleep(WARM_UP)

    def written() -> int:
        assert others.stdin is not None
        assert others.stdout is not None
        others.stdin.write("\n")
        others.stdin.flush()
        return int(others.stdout.readline())

    samples, cpu, began, before = written(), bench.cpu_seconds(master.pid), time.perf_counter(), _resident(master.pid)
    time.sleep(seconds)
    spent, took, after = bench.cpu_seconds(master.pid) - cpu, time.perf_counter() - began, _resident(master.pid)
    return Watched(spent, took, written() - samples, before, after)


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
