"""How well the limits are found: hidden services in virtual time, against the ramp and the saturation that people use.

`python -m benchmarks.limits [CONFIGURATIONS]`. Rates 2 to 500/s (log-uniform, half of them whole), bursts 0.5 to 3 times the
rate, round trips of 5 to 60 ms with 10 % jitter, which lies before the decision, after it, or half and half. The quota of
active chats is 50 to 500. Everything is drawn from one seed; no clock of this machine is read by what is measured.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from tests.support.virtual.driver import Probed, probe, ramp, saturate
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

BANDS = ((2.0, 5.0), (5.0, 20.0), (20.0, 100.0), (100.0, 500.0))
NO_CHATS = 10**9


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a service hides; `seed` draws all the rest."""

    seed: int
    rate: float
    burst: int
    chats: int
    trip: float
    up: float

    @classmethod
    def draw(cls, seed: int, most_rate: float = 500.0) -> Hidden:
        rng = random.Random(seed)
        rate = math.exp(rng.uniform(math.log(2), math.log(most_rate)))
        rate = float(round(rate)) if rng.random() < 0.5 else rate
        burst = max(1, round(rate * rng.uniform(0.5, 3)))
        return cls(
            seed, rate, burst, rng.choice([50, 100, 250, 500]), rng.uniform(0.005, 0.06), rng.choice([0.0, 0.5, 1.0])
        )

    def service(self, limiter: Limiter | None = None, chats: int | None = None) -> Service:
        latency = Latency(self.trip, 0.1, self.up, random.Random(self.seed + 1))
        return Service(limiter or TokenBucket(self.rate, self.burst), chats or self.chats, latency)


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration's result."""

    hidden: Hidden
    rate_error: float
    rate_inside: bool
    burst_exact: bool
    burst_inside: bool
    chats_exact: bool
    extra: int
    extra_tps: int | None
    calls: int
    seconds: float
    explained: bool
    left_open: int
    ramp_error: float
    ramp_chats: int
    saturation_error: float
    saturation_chats: int


def _probed(service: Service, options: ProbeOptions) -> Probed:
    """What `QuotaProbe` finds, with its own plan."""
    return probe(service, options, plan=CapacityPlan(options))


def bucket_line(seed: int) -> Line:
    """Probe one hidden token bucket, both limits; and try the two habits on the same one."""
    hidden = Hidden.draw(seed)
    done = _probed(hidden.service(), ProbeOptions("both", max_rate=2000.0, seed=seed))
    tps, chats = done.known.tps, done.known.active_chats
    assert tps is not None
    rate = tps.rate
    error = abs((rate.estimate or 0.0) / hidden.rate - 1)
    ramped, ramp_chats = ramp(hidden.service(chats=NO_CHATS))
    saturated, saturation_chats = saturate(hidden.service(chats=NO_CHATS), 2 * hidden.rate)
    only = None
    if seed % 4 == 0:  # the one limit alone is tried on every fourth
        only = _probed(hidden.service(chats=NO_CHATS), ProbeOptions("tps", max_rate=2000.0, seed=seed))
    return Line(
        hidden,
        error,
        rate.low is not None and rate.high is not None and rate.low <= hidden.rate <= rate.high,
        tps.burst.exact and tps.burst.estimate == hidden.burst,
        tps.burst.low is not None and tps.burst.low <= hidden.burst <= (tps.burst.high or math.inf),
        chats is not None and chats.chats.exact and chats.chats.estimate == hidden.chats,
        done.started - hidden.chats,
        only.started - hidden.burst if only else None,
        done.calls,
        done.seconds,
        tps.verdict == "explained" and tps.limiter == "token_bucket",
        done.left_open,
        abs(ramped / hidden.rate - 1),
        ramp_chats,
        abs(saturated / hidden.rate - 1),
        saturation_chats,
    )


def _others() -> dict[str, Callable[[Hidden, random.Random], Limiter]]:
    def halves(hidden: Hidden) -> list[Limiter]:
        return [TokenBucket(hidden.rate / 2, max(1.0, hidden.burst / 2)) for _ in range(2)]

    def window(hidden: Hidden, rng: random.Random) -> tuple[int, float]:
        width = rng.choice([1.0, 2.0, hidden.burst / hidden.rate])
        return max(2, round(hidden.rate * width)), width

    return {
        "fixed window": lambda h, rng: FixedWindow(*window(h, rng), phase=rng.random()),
        "sliding window (log)": lambda h, rng: SlidingLog(*window(h, rng)),
        "sliding window (counter)": lambda h, rng: SlidingCounter(*window(h, rng), phase=rng.random()),
        "two shards, at random": lambda h, rng: Shards(halves(h), rng),
        "two shards, in turn": lambda h, rng: Shards(halves(h), rng, in_turn=True),
        "others ask for a third (Poisson)": lambda h, rng: Shared(TokenBucket(h.rate, h.burst), h.rate / 3, rng),
        "others ask for a third (even)": lambda h, rng: Shared(
            TokenBucket(h.rate, h.burst), h.rate / 3, rng, even=True
        ),
        "rate moved by 10 % after 5 s": lambda h, rng: MovedBucket(TokenBucket(h.rate, h.burst), 5.0, 1.1),
        "refilled once a second": lambda h, rng: BatchedBucket(h.rate, h.burst, 1.0),
    }


def other_line(job: tuple[str, int]) -> tuple[str, float, str, str]:
    """Probe a service that is not a token bucket: its kind, its rate, the verdict, and the limiter that was named."""
    kind, seed = job
    hidden = Hidden.draw(seed, most_rate=60.0)
    limiter = _others()[kind](hidden, random.Random(seed + 2))
    done = _probed(hidden.service(limiter), ProbeOptions("both", max_rate=500.0, seed=seed))
    assert done.known.tps is not None
    return kind, hidden.rate, done.known.tps.verdict, done.known.tps.limiter


def _percent(flags: list[bool]) -> str:
    return f"{100 * np.mean(flags):.1f} %" if flags else "-"


def _two(values: Sequence[float], form: str = "{:.0f}") -> str:
    return f"{form.format(np.median(values))} / {form.format(np.quantile(values, 0.95))}" if values else "-"


def buckets_table(lines: list[Line]) -> str:
    """The accuracy table in Markdown; pairs are median / 95th percentile."""
    head = (
        "| rate | configurations | rate error | within 1 % | inside interval | burst exact | burst inside | chats exact | "
        "extra chats | extra, `--probe tps` | calls | seconds | called bucket | ramp: error, chats | "
        "saturation: error, chats |"
    )
    rows = [head, "|" + " --- |" * (head.count("|") - 1)]
    for low, high in (*BANDS, (0.0, math.inf)):
        some = [line for line in lines if low <= line.hidden.rate < high or (high == 500.0 and line.hidden.rate == 500)]
        if not some:
            continue
        rows.append(
            f"| {f'{low:g} to {high:g}/s' if high < math.inf else 'all'} | {len(some)} "
            f"| {_two([100 * x.rate_error for x in some], '{:.2f}')} % | {_percent([x.rate_error < 0.01 for x in some])} "
            f"| {_percent([x.rate_inside for x in some])} | {_percent([x.burst_exact for x in some])} "
            f"| {_percent([x.burst_inside for x in some])} "
            f"| {_percent([x.chats_exact for x in some])} | {_two([x.extra for x in some])} "
            f"| {_two([x.extra_tps for x in some if x.extra_tps is not None])} | {_two([x.calls for x in some])} "
            f"| {_two([x.seconds for x in some])} "
            f"| {_percent([x.explained for x in some])} "
            f"| {_two([100 * x.ramp_error for x in some])} %, {_two([x.ramp_chats for x in some])} "
            f"| {_two([100 * x.saturation_error for x in some], '{:.1f}')} %, {_two([x.saturation_chats for x in some])} |"
        )
    return "\n".join(rows)


def others_table(lines: list[tuple[str, float, str, str]]) -> str:
    """What services that are not token buckets were called, in Markdown."""
    rows = [
        "| service (2 to 60/s) | runs | called a token bucket | named as the window it is | not explained |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in _others():
        found = Counter(limiter for name, _, _, limiter in lines if name == kind)
        total = sum(found.values())
        right = found["fixed_window"] if kind.startswith("fixed") else found["sliding_window"]
        if not kind.startswith(("fixed", "sliding")):
            right = 0
        rows.append(f"| {kind} | {total} | {found['token_bucket']} | {right} | {found['unknown']} |")
    return "\n".join(rows)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "buckets", nargs="?", type=int, default=200, help="hidden buckets to probe (default: %(default)s)"
    )
    count = parser.parse_args().buckets
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        lines = []
        for line in pool.imap_unordered(bucket_line, range(count)):
            lines.append(line)
            if len(lines) % 20 == 0:
                print(f"{len(lines)} of {count} buckets probed", file=sys.stderr, flush=True)
        print(buckets_table(lines), flush=True)
        for line in lines:
            if not (line.rate_inside and line.burst_inside and line.chats_exact and line.explained):
                print(f"missed: {line}")
        jobs = [(kind, seed) for kind in _others() for seed in range(max(2, count // 10))]
        print(others_table(list(pool.imap_unordered(other_line, jobs))))


if __name__ == "__main__":
    main()
