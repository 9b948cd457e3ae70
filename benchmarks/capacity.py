"""How well the capacity of any limiter is measured: hidden services in virtual time, their truth found by long simulation.

`python -m benchmarks.capacity [--quick] [RUNS_OF_EACH_FAMILY] [WORD_IN_A_FAMILY ...]`. The probe's whole plan (without the
even search) runs against each service: rates 2 to 100/s, bursts 0.5 to 3 times the rate, round trips of 5 to 60 ms. What it
says is then compared with the same service, simulated alone for thousands of calls. Everything is drawn from seeds.
`--quick` leaves out the exact inference, which takes most of the time, so nothing is called exact.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.load.probe.actions import Action, ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from tests.support.virtual.driver import probe
from tests.support.virtual.services import (
    BatchedBucket,
    FixedWindow,
    Latency,
    Limiter,
    MovedBucket,
    Service,
    Shards,
    Shared,
    SlidingCounter,
    SlidingLog,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import Adaptive, ByConnection, Contrary, Nodes, OnOff, Penalising, Tiers

NO_CHATS = 10**9
Make = Callable[[float, float, random.Random], Limiter]


def _parts(rate: float, burst: float, count: int) -> list[Limiter]:
    return [TokenBucket(rate / count, max(1.0, burst / count)) for _ in range(count)]


FAMILIES: dict[str, Make] = {
    "exact bucket": lambda r, b, rng: TokenBucket(r, b),
    "contrary 0.5 to 5 %": lambda r, b, rng: Contrary(TokenBucket(r, b), rng.uniform(0.005, 0.05), rng),
    "shards at random": lambda r, b, rng: Shards(_parts(r, b, rng.choice([2, 4])), rng),
    "shards in turn": lambda r, b, rng: Shards(_parts(r, b, rng.choice([2, 4])), rng, in_turn=True),
    "shards by connection": lambda r, b, rng: ByConnection(_parts(r, b, 2), 10, rng),
    "nodes, sync 10 to 100 ms": lambda r, b, rng: Nodes(r, b, 4, rng.choice([0.01, 0.05, 0.1]), rng),
    "nodes, sync 1 s": lambda r, b, rng: Nodes(r, b, 4, 1.0, rng),
    "ticks 0.1 to 1 s": lambda r, b, rng: BatchedBucket(r, max(b, r), rng.choice([0.1, 0.5, 1.0])),
    "fixed window 1 s": lambda r, b, rng: FixedWindow(max(2, round(r)), 1.0, rng.random()),
    "sliding log 1 s": lambda r, b, rng: SlidingLog(max(2, round(r)), 1.0),
    "sliding counter 1 s": lambda r, b, rng: SlidingCounter(max(2, round(r)), 1.0, rng.random()),
    "fixed window 10 s": lambda r, b, rng: FixedWindow(max(2, round(10 * r)), 10.0, 10 * rng.random()),
    "penalising bucket": lambda r, b, rng: Penalising(TokenBucket(r, b), 0.2),
    "shared, even": lambda r, b, rng: Shared(TokenBucket(1.4 * r, b), 0.4 * r, rng, even=True),
    "shared, Poisson": lambda r, b, rng: Shared(TokenBucket(1.4 * r, b), 0.4 * r, rng),
    "shared, on and off": lambda r, b, rng: OnOff(TokenBucket(1.3 * r, b), 0.6 * r, 3.0, rng),
    "moved by 10 or 50 %": lambda r, b, rng: MovedBucket(TokenBucket(r, b), rng.uniform(5, 30), rng.choice([0.9, 0.5])),
    "two tiers": lambda r, b, rng: Tiers([TokenBucket(3 * r, 3 * r), FixedTier(round(60 * r))]),
    "adaptive": lambda r, b, rng: Adaptive(r, b),
}
MOVING = ("moved by 10 or 50 %",)
SLOW = ("fixed window 10 s", "two tiers")


class Unexplained(CapacityPlan):
    """The plan without the exact inference."""

    def _infer(self) -> Iterator[Action]:
        yield from ()


class FixedTier(TokenBucket):
    """A minute's window in the form of a tier: `level` is what is left of the minute."""

    def __init__(self, limit: int) -> None:
        super().__init__(0.0, float(limit))
        self._minute = -1

    def admit(self, now: float) -> bool:
        """Admit while the minute has calls left."""
        minute = math.floor(now / 60.0)
        if minute != self._minute:
            self._minute, self.level = minute, self.burst
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Job:
    """One hidden service: its family and seed."""

    family: str
    seed: int
    quick: bool = False

    def drawn(self) -> tuple[float, float]:
        rng = random.Random(self.seed)
        rate = math.exp(rng.uniform(math.log(2), math.log(20 if self.family in SLOW else 100)))
        rate = float(round(rate)) if rng.random() < 0.5 else rate
        return rate, float(max(1, round(rate * rng.uniform(0.5, 3))))

    def limiter(self) -> Limiter:
        return FAMILIES[self.family](*self.drawn(), random.Random(self.seed + 1))


@dataclass(frozen=True, slots=True)
class Line:
    """What the probe said of one service, beside the truth."""

    job: Job
    kind: str
    strong: tuple[bool, float, float] | None
    mild: tuple[bool, float, float] | None
    burst: bool | None
    refused_at_claim: float | None
    claim_of_truth: float | None
    seconds: float
    calls: int
    chats: int
    cpu: float


def offered(limiter: Limiter, rate: float, calls: int, rng: random.Random, form: str, begin: float = 0.0) -> float:
    """The share admitted of `calls` at `rate` a second ("poisson", "even" or "dithered"); the first fifth is left out."""
    now, lead, admitted = begin, max(calls // 5, 1), 0
    last = 0
    for number in range(calls):
        step = {"poisson": rng.expovariate(1.0), "even": 1.0}.get(form, 0.0) or rng.uniform(0.5, 1.5)
        now += step / rate
        got = limiter.admit(now)
        if number >= lead:
            admitted, last = admitted + got, last + 1
    return admitted / max(last, 1)


def true_rate(job: Job, at: float) -> float:
    """Admitted a second while `at` are offered, in the long run."""
    seconds = 3000.0 if job.family in SLOW or "on and off" in job.family else 800.0
    calls = int(min(max(4000.0, at * seconds), 400_000))
    return at * offered(job.limiter(), at, calls, random.Random(9), "dithered")


def true_burst(job: Job, latency: Latency, rest: float, most: float, rate: float) -> float:
    """Mean admissions of volleys after `rest` seconds, less the refill."""
    limiter, rng, now, found = job.limiter(), random.Random(8), 0.0, []
    pace = max(60.0, 12 * rate)
    for _ in range(30):
        now += rest * rng.uniform(1.0, 1.2)
        recent: list[bool] = []
        arriving = sorted(now + latency.draw()[0] for _ in range(max(1, min(32, int(most)))))
        begin = last = now = arriving[0]
        count = 0
        while len(recent) < 6 * most + 400:
            got = limiter.admit(now)
            recent.append(got)
            if got:
                count, last = count + 1, now
            if recent.count(False) >= 8 and recent[-10:].count(False) >= 8:
                break
            now = arriving[len(recent)] if len(recent) < len(arriving) else now + 1 / pace
        found.append(count - rate * (last - begin))
    return float(np.mean(found[2:]))


def safe_truth(job: Job, claim: float, rate: float) -> tuple[float, float]:
    """The share refused at the claimed rate, and the rate at which 1 % is refused."""
    calls = 20_000

    def refused(at: float) -> float:
        return 1 - offered(job.limiter(), at, calls, random.Random(7), "poisson")

    low, high = 0.1 * rate, 1.1 * rate
    for _ in range(9):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if refused(middle) <= 0.01 else (low, middle)
    return refused(claim), 0.5 * (low + high)


def measure(job: Job) -> Line:
    """Probe one service and compare."""
    begin = time.process_time()
    rng = random.Random(job.seed + 2)
    latency = Latency(rng.uniform(0.005, 0.06), 0.1, rng.choice([0.0, 0.5, 1.0]), rng)
    options = ProbeOptions("tps", max_rate=2000.0, seed=job.seed, max_seconds=900.0)
    plan = (Unexplained if job.quick else CapacityPlan)(options, safe=True)
    done = probe(Service(job.limiter(), NO_CHATS, latency), options, plan=plan)
    found = plan.estimate
    assert found is not None
    rates: list[tuple[bool, float, float] | None] = []
    for told in (found.sustained, found.sustained_mild):
        if told is None:
            rates.append(None)
            continue
        truth = true_rate(job, told.pressure * told.estimate)
        rates.append((told.low <= truth <= told.high, told.half_width, abs(told.estimate / truth - 1)))
    burst = refused = ratio = None
    sustained, rest = found.sustained, found.burst_from_rest
    if rest is not None and sustained is not None:
        mean = true_burst(job, latency, rest.rest_s, rest.median, sustained.estimate)
        burst = rest.mean_low <= mean <= rest.mean_high
    if found.safe is not None and found.safe.poisson is not None and sustained is not None and job.family not in MOVING:
        claim = found.safe.poisson.low
        refused, best = safe_truth(job, max(claim, 0.05 * sustained.estimate), sustained.estimate)
        refused = refused if claim > 0 else 0.0  # nothing is claimed
        ratio = claim / best if best > 0.15 * sustained.estimate else None  # else there is no safe rate to find
    return Line(
        job, found.kind, rates[0], rates[1], burst, refused, ratio,
        done.seconds, done.calls, done.started, time.process_time() - begin,
    )  # fmt: skip


def _share(flags: list[bool]) -> str:
    return f"{100 * np.mean(flags):.0f} %" if flags else "-"


def _median(values: list[float], form: str = "{:.1f} %", scale: float = 100.0) -> str:
    return form.format(scale * float(np.median(values))) if values else "-"


def table(lines: list[Line]) -> str:
    """Coverage, half-widths and cost by family, in Markdown."""
    rows = [
        "| service | runs | sustained at 3x: covered, half-width, error | at 1.25x | burst covered "
        "| claim refuses <= 1 % / 1.5 % | claim of truth | seconds, calls, chats | called exact |",
        "|" + " --- |" * 9,
    ]
    for name in [*FAMILIES, "all"]:
        some = [line for line in lines if name in ("all", line.job.family)]
        if not some:
            continue
        strong = [line.strong for line in some if line.strong]
        mild = [line.mild for line in some if line.mild]
        refused = [line.refused_at_claim for line in some if line.refused_at_claim is not None]
        ratios = [line.claim_of_truth for line in some if line.claim_of_truth is not None]
        rows.append(
            f"| {name} | {len(some)} "
            f"| {_share([s[0] for s in strong])}, {_median([s[1] for s in strong])}, {_median([s[2] for s in strong])} "
            f"| {_share([s[0] for s in mild])}, {_median([s[1] for s in mild])} "
            f"| {_share([line.burst for line in some if line.burst is not None])} "
            f"| {_share([r <= 0.01 for r in refused])} / {_share([r <= 0.015 for r in refused])} "
            f"| {_median(ratios, '{:.2f}', 1.0)} "
            f"| {np.median([line.seconds for line in some]):.0f}, {np.median([line.calls for line in some]):.0f}, "
            f"{np.median([line.chats for line in some]):.0f} "
            f"| {sum(line.kind == 'exact' for line in some)} |"
        )
    return "\n".join(rows)


def confusion(lines: list[Line]) -> str:
    """The class that each family was given, in Markdown."""
    rows = ["| service | classes |", "| --- | --- |"]
    for name in FAMILIES:
        kinds = Counter(line.kind for line in lines if line.job.family == name)
        if kinds:
            rows.append(f"| {name} | {', '.join(f'{kind} {count}' for kind, count in kinds.most_common())} |")
    return "\n".join(rows)


def main() -> int:
    """Print both tables; 1 where a limiter was falsely called exact."""
    quick = "--quick" in sys.argv
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    words = [word for word in sys.argv[1:] if not word.isdigit() and not word.startswith("-")]
    names = [name for name in FAMILIES if any(word in name for word in words)]
    each = numbers[0] if numbers else 1 if quick else 5
    jobs = [Job(family, seed, quick) for seed in range(each) for family in names or FAMILIES]
    lines: list[Line] = []
    begin = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for line in pool.imap_unordered(measure, jobs):
            lines.append(line)
            print(f"{len(lines)} of {len(jobs)}: {line}", file=sys.stderr, flush=True)
    print(table(lines), confusion(lines), f"{time.monotonic() - begin:.0f} s on two processes", sep="\n\n")
    wrong = [line for line in lines if line.kind == "exact" and line.job.family != "exact bucket"]
    for line in wrong:
        print(f"falsely called exact: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
