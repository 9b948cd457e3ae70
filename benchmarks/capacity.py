"""How well the capacity of any limiter is measured: hidden services in virtual time, their truth found by long simulation.

`python -m benchmarks.capacity [--quick] [--alone] [--filled] [--from=SEED] [RUNS_OF_EACH_FAMILY] [WORD_IN_A_FAMILY ...]`.
The plan (without the even search) runs against each service: rates 2 to 100/s, bursts 0.5 to 3 times the rate, round
trips of 5 to 60 ms. What it says is then compared with the same service, simulated alone for thousands of calls, and with
what people do otherwise: the ramp to the first throttle, the plain count at twice the rate, and 0.1's answer (the
limiter, or nothing). Then the exact inference is tried on true buckets under each family of latencies, two workers'
clocks and few throttles, and the chat quota on services that count late. Everything is drawn from seeds. `--quick` is a
first look of one run a family, without the exact inference, so nothing is called exact. The words `latencies` and
`quotas` choose those two parts. `--alone` takes one core in place of two. Seeds count from 0, or from that of `--from`:
what was set on some is judged on others. `--filled` gives each service a quota of 100 to 500 active chats: the probe
fills it, and measures at the brim.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import TypeVar

import numpy as np

from benchmarks.hidden import chats, exact, truth
from benchmarks.hidden.families import FAMILIES, MOVING, NO_CHATS, SMOOTH, Job
from harness.load.probe.actions import Action, ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.quotas.estimates import TpsEstimate
from tests.support.virtual.driver import probe, ramp, saturate
from tests.support.virtual.services import Latency, Service

PARTS = ("latencies", "quotas")
"""The parts after the families: the exact inference under each family of latencies, and the chat quota."""
T = TypeVar("T")
R = TypeVar("R")


class Unexplained(CapacityPlan):
    """The plan without the exact inference."""

    def _infer(self) -> Iterator[Action]:
        yield from ()


@dataclass(frozen=True, slots=True)
class Told:
    """A number with its interval, beside the truth."""

    estimate: float
    low: float
    high: float
    truth: float

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the estimate."""
        return (self.high - self.low) / (2 * self.estimate) if self.estimate else float("inf")

    @property
    def error(self) -> float:
        """Share by which the estimate is off."""
        return abs(self.estimate / self.truth - 1) if self.truth else float("inf")


@dataclass(frozen=True, slots=True)
class Line:
    """What the probe said of one service, beside the truth and what others say."""

    job: Job
    kind: str
    strong: Told | None
    mild: Told | None
    burst: Told | None
    refused_at_claim: float | None
    claim_of_truth: float | None
    seconds: float
    calls: int
    chats: int
    ramp_error: float
    count_error: float
    old_error: float | None
    """Error of 0.1's answer; None where it gave none."""
    cpu: float
    numbers_hold: bool | None = None
    """Whether the exact limiter's intervals hold the rate and the burst that the service was made with."""


def _numbers_hold(job: Job, tps: TpsEstimate | None) -> bool | None:
    if tps is None or tps.rate.low is None or tps.rate.high is None:
        return None
    (rate, burst), more = job.drawn(), 0.5 if "half" in job.family else 0.0
    low, high = tps.burst.low or 0.0, float("inf") if tps.burst.high is None else tps.burst.high
    return tps.rate.low <= rate <= tps.rate.high and low <= burst + more <= high


def measure(job: Job) -> Line:
    """Probe one service and compare."""
    begin = time.process_time()
    rng = random.Random(job.seed + 2)
    trip, up = rng.uniform(0.005, 0.06), rng.choice([0.0, 0.5, 1.0])
    latency = Latency(trip, 0.1, up, rng)
    options = ProbeOptions("both" if job.fills else "tps", max_rate=2000.0, seed=job.seed, max_seconds=900.0)
    plan = (Unexplained if job.quick else CapacityPlan)(options, safe=True)
    done = probe(Service(job.limiter(), job.chats, latency), options, plan=plan)
    found = plan.estimate
    assert found is not None
    rates = [
        None if s is None else Told(s.estimate, s.low, s.high, truth.true_rate(job, latency, s.pressure * s.estimate))
        for s in (found.sustained, found.sustained_mild)
    ]
    sustained, rest = found.sustained, found.burst_from_rest
    burst = refused = ratio = None
    if rest is not None and sustained is not None:
        mean = truth.true_burst(job, latency, rest.rest_s, rest.high, sustained.estimate)
        burst = Told(rest.median, rest.mean_low, rest.mean_high, mean)
    if found.safe is not None and found.safe.poisson is not None and sustained is not None and job.family not in MOVING:
        claim, best = found.safe.poisson.low, truth.safe_truth(job, sustained.estimate)
        refused = truth.refused_share(job, claim, 200_000) if claim > 0 else 0.0  # nothing is claimed
        ratio = claim / best if best > 0 else None  # else there is no safe rate to find
    is_rate = rates[0].truth if rates[0] is not None else job.drawn()[0]
    exact_rate = done.known.tps.rate.estimate if done.known.tps and done.known.tps.verdict == "explained" else None
    return Line(
        job, found.kind, rates[0], rates[1], burst, refused, ratio, done.seconds, done.calls, done.started,
        abs(ramp(_beside(job, trip, up))[0] / is_rate - 1),
        abs(saturate(_beside(job, trip, up), 2 * is_rate)[0] / is_rate - 1),
        None if exact_rate is None else abs(exact_rate / is_rate - 1),
        time.process_time() - begin, _numbers_hold(job, done.known.tps),
    )  # fmt: skip


def _beside(job: Job, trip: float, up: float) -> Service:
    return Service(job.limiter(), NO_CHATS, Latency(trip, 0.1, up, random.Random(job.seed + 3)))


def _share(flags: list[bool]) -> str:
    return f"{100 * np.mean(flags):.0f} %" if flags else "-"


def _median(values: list[float], form: str = "{:.1f} %", scale: float = 100.0) -> str:
    return form.format(scale * float(np.median(values))) if values else "-"


def _told(told: list[Told]) -> str:
    held, width = _share([t.held for t in told]), _median([t.half_width for t in told])
    return f"{held}, {width}, {_median([t.error for t in told])}"


def by_family(lines: list[Line], columns: dict[str, Callable[[list[Line]], str]]) -> str:
    """A row for each family and one for all, in Markdown; each column says something of a row's lines."""
    rows = [f"| service | runs | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 2)]
    for name in [*FAMILIES, "all"]:
        some = [line for line in lines if name in ("all", line.job.family)]
        if some:
            rows.append(f"| {name} | {len(some)} | {' | '.join(tell(some) for tell in columns.values())} |")
    return "\n".join(rows)


def _refused(lines: list[Line]) -> str:
    shares = [line.refused_at_claim for line in lines if line.refused_at_claim is not None]
    return f"{_share([s <= 0.01 for s in shares])} / {_share([s <= 0.015 for s in shares])}"


def _cost(lines: list[Line]) -> str:
    return ", ".join(
        f"{np.median([getattr(line, name) for line in lines]):.0f}" for name in ("seconds", "calls", "chats")
    )


NUMBERS: dict[str, Callable[[list[Line]], str]] = {
    "sustained at 3x: covered, half-width, error": lambda lines: _told([x.strong for x in lines if x.strong]),
    "at 1.25x": lambda lines: _told([x.mild for x in lines if x.mild]),
    "burst": lambda lines: _told([x.burst for x in lines if x.burst]),
    "claim refuses <= 1 % / 1.5 %": _refused,
    "claim of truth": lambda lines: _median([x.claim_of_truth for x in lines if x.claim_of_truth is not None], "{:.2f}", 1),
    "seconds, calls, chats": _cost,
}  # fmt: skip
OTHERWISE: dict[str, Callable[[list[Line]], str]] = {
    "classes": lambda lines: ", ".join(f"{kind} {n}" for kind, n in Counter(x.kind for x in lines).most_common()),
    "ramp: error": lambda lines: _median([x.ramp_error for x in lines], "{:.0f} %"),
    "plain count: error": lambda lines: _median([x.count_error for x in lines]),
    "0.1 answered, over 1 % off": lambda lines: (
        f"{sum(x.old_error is not None for x in lines)}, {sum((x.old_error or 0) > 0.01 for x in lines)}"
    ),
}


def _each(pool: Pool, work: Callable[[T], R], jobs: list[T]) -> list[R]:
    done: list[R] = []
    for line in pool.imap_unordered(work, jobs):
        done.append(line)
        print(f"{len(done)} of {len(jobs)}: {line}", file=sys.stderr, flush=True)
    return done


def _falsely_exact(lines: list[Line], said: list[chats.Said]) -> list[str]:
    called = [line for line in lines if line.kind == "exact"]
    wrong = [
        f"falsely called exact: {line}" for line in called if line.job.family not in SMOOTH or not line.numbers_hold
    ]
    right = len(called) - len(wrong)
    wrong += [f"chat quota falsely called exact: {s}" for s in said if s.exact and not s.right]
    print(f"called exact: {right} rightly, {len(called) - right} falsely, of {len(lines)} services")
    return wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUNS_OR_WORD",
        help="runs of each family (default: 4); words that a family's name holds",
    )
    parser.add_argument("--quick", action="store_true", help="one run a family, without the exact inference")
    parser.add_argument("--alone", action="store_true", help="use one core, not two")
    parser.add_argument("--filled", action="store_true", help="give each service a quota of 100 to 500 active chats")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed (default: 0)")
    asked = parser.parse_args()
    unknown = [word for word in asked.words if not (word.isdigit() or word in PARTS or _families([word]))]
    if unknown:
        parser.error(f"no family holds {', '.join(map(repr, unknown))}; there are {', '.join([*FAMILIES, *PARTS])}")
    return asked


def _families(words: list[str]) -> list[str]:
    return [name for name in FAMILIES if not words or any(word in name for word in words)]


def main() -> int:
    """Print the tables; 1 where a limiter or a chat quota was falsely called exact."""
    begin = time.monotonic()
    asked = _arguments()
    quick, fills, first = asked.quick, asked.filled, asked.first
    numbers = [int(word) for word in asked.words if word.isdigit()]
    words = [word for word in asked.words if not word.isdigit()]
    names = _families(words)
    latencies, quotas = (part in words or not (words or quick) for part in PARTS)
    each = numbers[0] if numbers else 1 if quick else 4
    lines: list[Line] = []
    held: list[exact.Held] = []
    said: list[chats.Said] = []
    with multiprocessing.get_context("spawn").Pool(1 if asked.alone else 2) as pool:
        if names:
            lines = _each(
                pool, measure, [Job(family, first + n, quick, fills) for n in range(each) for family in names]
            )
            print(by_family(lines, NUMBERS), by_family(lines, OTHERWISE), sep="\n\n", flush=True)
        if latencies:
            held = _each(pool, exact.hold, exact.trials(2 * each))
            print(exact.table(held), flush=True)
        if quotas:
            said = _each(pool, chats.say, chats.quotas(each))
            print(chats.table(said), flush=True)
    wrong = _falsely_exact(lines, said)
    cpu = sum(line.cpu for line in lines)
    print(f"{time.monotonic() - begin:.0f} s of wall time (the services {cpu:.0f} s of CPU)", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
