"""How often `chatquota compare` calls equal services different, and how often it finds a slower or lower one.

Runs are drawn from simulated services in virtual time and read from run directories as any run is; nothing is waited for.
The rival of a verdict is the truth: A against A, A against a service that is a tenth slower, A against one whose rate is 5 %
lower.
"""

import argparse
import math
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from reports.capacity.capacity import capacity, measure
from reports.capacity.customers import Customers
from reports.capacity.inference import Inference, infer
from reports.capacity.model import Capacity
from reports.compare.comparison import TOLERANCE, compare
from reports.run.fold import fold
from reports.run.rundir import read_run
from reports.run.samples import Samples
from reports.run.timeline import timeline
from reports.run.told_ends import told_ends
from tests.reports.synthetic import Scenario, simulate, write_run


@dataclass(frozen=True)
class Case:
    """A service and a run against it. Latencies are lognormal with `sigma`; `drift` is the deviation of a slow change of
    their logarithm with a memory of `memory` seconds. A share of `found` of the regressions is claimed to be found.
    """

    name: str
    scenario: Scenario
    sigma: float = 0.3
    drift: float = 0.0
    memory: float = 10.0
    slower: float = 1.0
    found: float = 0.8


_LONG = Scenario(rate=5.0, burst=8, quota=100_000, offered=8.0, seconds=300.0, hold=1e6)
_QUOTA = Scenario(offered=8.0, quota=200, seconds=240.0, hold=45.0, faults=0.01)
CASES = (
    (Case("5 min, 8/s offered", _LONG), Case("the same, latency drifts", _LONG, drift=0.08)),
    (Case("4 min, quota met, 1 % faults", _QUOTA, sigma=0.25),),
)
"""Services, those together that differ in latency alone."""

_AGAINST = 5


def rows_of(case: Case, seed: int) -> list[dict[str, Any]]:
    """The samples of one run of the case."""
    rows = simulate(replace(case.scenario, seed=seed))
    draw = random.Random(seed * 1_000_003)
    level, last = draw.gauss(0.0, case.drift), None
    for row in rows:
        if row["operation"] != "StartChatContact":
            continue
        kept = 0.0 if last is None else math.exp(-max(0.0, row["sent"] - last) / case.memory)
        level = level * kept + draw.gauss(0.0, case.drift) * math.sqrt(1 - kept * kept) if last is not None else level
        last = row["sent"]
        took = row["received"] - row["sent"]
        if row["outcome"] == "started":
            took = case.slower * 0.08 * math.exp(case.sigma * draw.gauss(0.0, 1.0) + level)
        row["received"] = row["sent"] + took
    return rows


def read(case: Case, seed: int) -> tuple[Capacity, Inference]:
    """Measure one run and infer its limits."""
    with tempfile.TemporaryDirectory() as place:
        run = read_run(write_run(Path(place) / "run", rows_of(case, seed)))
        samples = Samples(run.sample_files)
        total, customers = fold(samples.only_pass()), Customers()  # these runs only start chats
        measured = measure(run, total, customers, timeline(total, {}))
        return measured, infer(run, samples, total, customers, told_ends(run))


def answers(job: tuple[tuple[Case, ...], int]) -> list[Capacity]:
    """The answers of one run under each of the cases, which differ in latency alone.

    The limits are inferred of the first one and hold for all: when a call was refused does not depend on the latencies here.
    """
    cases, seed = job
    first, inference = read(cases[0], seed)
    found = [capacity(first, inference)]
    for case in cases[1:]:
        with tempfile.TemporaryDirectory() as place:
            run = read_run(write_run(Path(place) / "run", rows_of(case, seed)))
            total = fold(Samples(run.sample_files).only_pass())
            found.append(capacity(measure(run, total, Customers(), timeline(total, {})), inference))
    return found


def worse(base: Capacity, new: Capacity) -> list[str]:
    """The metrics that a comparison calls worse."""
    return [row.metric for row in compare(base, new, TOLERANCE) if row.direction == "worse"]


@dataclass(frozen=True)
class Verdicts:
    """What comparisons said: the metrics accused in each pair of equal runs, and in each pair with a regression."""

    equal: list[list[str]]
    slower: list[list[str]]
    lower: list[list[str]]

    def row(self, name: str) -> str:
        """One row of the table."""
        accused, p95 = sum(map(bool, self.equal)), sum("latency_ms.started.p95" in names for names in self.slower)
        slow, low = sum(map(bool, self.slower)), sum(map(bool, self.lower))
        equal = f"{accused}/{len(self.equal)} ({accused / len(self.equal):.1%})"
        return f"{name:<30}{equal:>22}{f'{slow}/{len(self.slower)}':>14}{f'{p95}/{len(self.slower)}':>14}" + (
            f"{f'{low}/{len(self.lower)}':>14}"
        )


def judge(cases: tuple[Case, ...], runs: int, pool: Pool) -> list[Verdicts]:
    """Compare runs of the cases, which differ in latency alone: each run with the next five, and with regressions."""
    lower = tuple(replace(each, scenario=replace(each.scenario, rate=0.95 * each.scenario.rate)) for each in cases)
    every = (*cases, *(replace(each, slower=1.1) for each in cases))
    plain = pool.map(answers, [(every, 2 * number) for number in range(runs)], chunksize=1)
    low = pool.map(answers, [(lower, 2 * number + 1) for number in range(runs)], chunksize=1)
    found = []
    for place in range(len(cases)):
        base = [each[place] for each in plain]
        slower = [each[place + len(cases)] for each in plain]
        after = [(one, (one + step) % runs) for one in range(runs) for step in range(1, 1 + min(_AGAINST, runs - 1))]
        found.append(
            Verdicts(
                [worse(base[one], base[other]) for one, other in after],
                [worse(base[one], slower[(one + 1) % runs]) for one in range(runs)],
                [worse(base[one], low[one][place]) for one in range(runs)],
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row a case; exit code 1 where equal runs are called worse too often, or regressions are missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="runs of each service (default: 40)")
    parser.add_argument("--processes", type=int, default=2, help="so many at once (default: 2)")
    options = parser.parse_args(argv)
    print(f"{'case':<30}{'A against A: worse':>22}{'10 % slower':>14}{'by its p95':>14}{'5 % lower':>14}", flush=True)
    good = True
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for cases in CASES:
            for case, found in zip(cases, judge(cases, options.runs, pool), strict=True):
                print(found.row(case.name), flush=True)
                named = Counter(name for names in found.equal for name in names)
                if named:
                    print(
                        f"    called worse: {', '.join(f'{name} {count}' for name, count in named.items())}", flush=True
                    )
                good &= sum(map(bool, found.equal)) <= 0.05 * len(found.equal)
                good &= min(sum(map(bool, each)) for each in (found.slower, found.lower)) >= case.found * options.runs
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
