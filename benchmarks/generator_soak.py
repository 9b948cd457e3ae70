"""The collector over millions of samples: cost of each, memory, and what writing to disk does to the sends.

First the collector and the journal take samples as fast as they can, in the batches and at the pauses of a run, down to the
parquet files; time and memory are read at every million. Then a schedule offers arrivals while a full segment is
turned into parquet beside it, and lateness is told apart by what was going on.
"""

import argparse
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gevent

from benchmarks import bench
from harness.connect.client import now
from harness.load.arrivals.gc_tuning import settle
from harness.load.arrivals.schedule import Schedule
from harness.load.session.encoder import Encoder
from harness.load.session.recorder import FLUSH_EVERY, FLUSH_PAUSE, on_a_thread
from harness.recording.collector import Collector
from harness.recording.format.schema import Sample
from harness.recording.journal import SEGMENT_ROWS, Journal

SAMPLES = 5_000_000
MILLION = 1_000_000
RATE, SECONDS = 1000.0, 16.0
_TOGETHER = 25
"""Samples that a run settles together at RATE."""
WANTED_GROWTH = 0.25
"""How much dearer than the first million a sample of the last two may be, by the cheaper of them (what grows makes both
dear, what others do on a shared machine seldom both), and how much the rest may add to the memory after the first, by the
larger of them."""
WANTED_MS = 2.0
"""The lateness that every send must stay under while a segment becomes parquet."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; exit code 1 when the cost or the memory grows, or writing holds up the sends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generator_soak", description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"samples to take (default: {SAMPLES:,})")
    options = parser.parse_args(argv)
    print(bench.machine())
    bench.take_core(bench.cores()[0])
    with tempfile.TemporaryDirectory(prefix="bench-soak-") as scratch:
        steady = _soak(options.samples, Path(scratch) / "soak")
        undisturbed = _lateness(Path(scratch) / "lateness")
    return 0 if steady and undisturbed else 1


def _soak(samples: int, directory: Path) -> bool:
    journal = Journal(directory, "local", on_a_thread)
    collector = Collector(journal.append)
    settle()
    rows, figures, taken = [], [], 0
    while taken < samples:
        part = min(MILLION, samples - taken)
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(part):
            collector.add(_sample(taken + number))
            if number % 4096 == 0:
                collector.flush(pause=lambda: gevent.sleep(0))
        collector.flush(pause=lambda: gevent.sleep(0))
        taken += part
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        figures.append((cpu / part * 1e6, _resident_mb()))
        parquet = [path.stat().st_size for path in directory.glob("*.parquet")]
        size = sum(parquet) / (len(parquet) * SEGMENT_ROWS) if parquet else math.nan
        cost, resident = figures[-1]
        rows.append([f"{taken:,}", f"{cost:.2f}", f"{wall / part * 1e6:.2f}", f"{resident:.0f}", f"{size:.0f}"])
    journal.close()
    print(bench.table(["samples", "CPU us a sample", "wall us", "resident MB", "parquet bytes a sample"], rows))
    first, last = figures[0], figures[1:][-2:] or figures
    cost, memory = min(cpu for cpu, _ in last) / first[0], max(resident for _, resident in last) / first[1]
    limit = 1 + WANTED_GROWTH
    print(f"the last two millions / the first: cost {cost:.2f}, memory {memory:.2f}; wanted: at most {limit:g}")
    return cost <= limit and memory <= limit


def _lateness(directory: Path) -> bool:
    """Send at RATE while samples are flushed, and while a full segment becomes parquet in its process."""
    converting: list[list[float]] = []
    flushed: list[float] = []

    class Watched(Encoder):
        def __call__(self, path: Path) -> Encoder:
            converting.append([now(), math.inf])
            return super().__call__(path)

        def is_over(self) -> bool:
            over = super().is_over()
            if over and converting:
                converting[-1][1] = min(converting[-1][1], now())
            return over

    encoder = Watched()
    journal = Journal(directory, "local", on_a_thread, encoder)
    encoder.be_ready()
    collector = Collector(journal.append)
    for number in range(
        SEGMENT_ROWS - int(RATE * SECONDS / 2)
    ):  # the segment is full in the middle of the time watched
        collector.add(_sample(number))
    collector.flush()
    calls: list[tuple[float, float]] = []

    def send(due: float) -> None:
        calls.append((due, now()))
        collector.add(_sample(len(calls)))
        if len(calls) % _TOGETHER == 0:
            collector.settle()

    settle()
    gevent.sleep(2)  # after a second of full use Linux holds a process in real time up for a twentieth of one
    schedule = Schedule(send, "uniform", random.Random(1), 1000)
    schedule.set_rate(RATE)
    end = now() + SECONDS
    while now() < end:
        gevent.sleep(FLUSH_EVERY)
        begin = now()
        collector.flush(pause=lambda: gevent.sleep(FLUSH_PAUSE))
        flushed.append(begin)
    schedule.stop()
    journal.close()
    during = [(begin, finish) for begin, finish in converting if begin < end]
    return _report_lateness(_groups(calls, during, flushed))


def _groups(
    calls: list[tuple[float, float]], during: list[tuple[float, float]], flushed: list[float]
) -> dict[str, list[float]]:
    """Return the lateness (ms) of calls (due, sent), by what was going on."""
    groups: dict[str, list[float]] = {"otherwise": [], "within 20 ms of a flush": [], "while parquet is written": []}
    for due, sent in calls:
        if any(begin <= due <= finish for begin, finish in during):
            name = "while parquet is written"
        elif any(0 <= sent - at <= 0.02 for at in flushed):
            name = "within 20 ms of a flush"
        else:
            name = "otherwise"
        groups[name].append(max(sent - due, 0.0) * 1000)
    return groups


def _report_lateness(groups: dict[str, list[float]]) -> bool:
    bounds = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, math.inf)
    heads = ["sends", "number", *(f"<{bound:g} ms" for bound in bounds[:-1]), "more", "p99 ms"]
    rows = []
    for name, late in groups.items():
        cells = [sum(low <= ms < high for ms in late) for low, high in zip((0.0, *bounds), bounds, strict=False)]
        p99 = sorted(late)[int(0.99 * (len(late) - 1))] if late else math.nan
        rows.append([name, f"{len(late):,}", *(f"{cell:,}" for cell in cells), f"{p99:.2f}"])
    print(f"\nlateness at {RATE:g}/s, one segment of {SEGMENT_ROWS:,} samples turned into parquet in the middle")
    print(bench.table(heads, rows))
    worst = sorted(groups["while parquet is written"])
    most = worst[-1] if worst else math.inf
    over = sum(ms >= WANTED_MS for ms in groups["otherwise"])
    print(f"most while parquet is written: {most:.2f} ms; wanted: under {WANTED_MS:g} (otherwise {over} are over it)")
    return most < WANTED_MS


_SCATTER = 0x9E3779B97F4A7C15F39CC0605CEDC834 | 1  # ids that look random, as they do not compress


def _sample(number: int) -> Sample:
    at = 1_795_000_000.0 + number * 0.001
    return Sample(
        "StartChatContact",
        at,
        at + 0.0007,
        at + 0.05,
        "started" if number % 5 else "tps_throttled",
        200 if number % 5 else 429,
        None if number % 5 else "TooManyRequestsException",
        "local",
        _uuid(number) if number % 5 else None,
        "text/plain,text/markdown",
        400 + number % 300,
        7,
        52,
        240,
        _uuid(-number),
        "rich",
    )


def _uuid(number: int) -> str:
    """An id as AWS's are: what is none is searched for secrets, which costs more than all else."""
    digits = f"{number * _SCATTER % 2**128:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
