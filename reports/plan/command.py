"""Runs `chatquota plan`: finds the limits, plans, prints, and writes the plan's files."""

import json
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.errors import UsageError
from reports.capacity.load import load_capacity
from reports.capacity.model import ActiveChats, Capacity, Interval, Tps
from reports.capacity.sentences import BOUNDS_ONLY, CLASSES, window_of
from reports.figures.picture import standalone_svg
from reports.figures.style import report_style
from reports.plan.day import parse_arrivals
from reports.plan.lengths import LONGEST, parse_length, parse_seconds, with_abandoned
from reports.plan.planning import MOST_BURST, MOST_CHATS, MOST_RATE, SHORTEST_DURATION, Abandoned, Limits, course, plan
from reports.plan.text import day_figure, frontier_figure, markdown, sentences
from reports.run.declared import declared_value
from reports.run.files import replace
from reports.wording.numbers import number

_LONGEST_DEFAULT = "25h"  # of a chat whose ChatDurationInMinutes nobody set
DOCUMENTED = Limits(5.0, 8.0, 500, "AWS's documented defaults for new accounts (5/s, burst 8, 500 chats)")


@dataclass(frozen=True)
class PlanRequest:
    """What to plan: expected chats, the quotas to plan against, and the shares that may be refused and are added."""

    arrivals: str
    length: str
    run: Path | None = None
    declared: Path | None = None
    tps: float | None = None
    burst: float | None = None
    active_chats: int | None = None
    refused: float = 0.001
    margin: float = 0.2
    abandoned: float | None = None
    chat_duration: str | None = None
    out: Path | None = None
    seed: int = 1


def run_plan(arguments: PlanRequest) -> int:
    """Make the plan that is asked for, print it, and write its files. Raises UsageError."""
    day, length = parse_arrivals(arguments.arrivals), parse_length(arguments.length)
    if (peak := float(day.rates.max())) > MOST_RATE:
        raise UsageError(
            f"--arrivals: {number(peak)}/s are more than can be planned ({number(MOST_RATE)}/s); give less"
        )
    limits = find_limits(arguments)
    abandoned = _abandoned(arguments)
    answer = plan(
        day,
        length,
        limits,
        refused=arguments.refused,
        margin=arguments.margin,
        seed=arguments.seed,
        abandoned=abandoned,
    )
    if abandoned is not None:
        length = with_abandoned(length, abandoned.share, abandoned.duration)
    console = Console()
    first, *rest = sentences(answer)
    console.print(Text(first, style="bold"))
    for sentence in rest:
        console.print(Text(f"- {sentence}"))
    if arguments.out is not None:
        with report_style():
            pictures = [frontier_figure(answer, limits)]
            if not day.constant:
                pictures.append(day_figure(course(day, length, limits), day, limits))
        try:
            arguments.out.mkdir(parents=True, exist_ok=True)
            for one in pictures:
                replace(arguments.out / f"{one.name}.png", one.png)
                replace(arguments.out / f"{one.name}.svg", standalone_svg(one))
            replace(arguments.out / "plan.json", json.dumps(answer, indent=2, allow_nan=False) + "\n")
            replace(arguments.out / "plan.md", markdown(answer))
        except OSError as error:
            raise UsageError(
                f"the plan cannot be written to {arguments.out} ({error.strerror}); give --out DIR"
            ) from error
        console.print(Text(f"plan: {arguments.out / 'plan.md'}"), soft_wrap=True)
    return 0


def _abandoned(arguments: PlanRequest) -> Abandoned | None:
    """Chats that nobody ends, as the options say. Raises UsageError."""
    if arguments.abandoned is None:
        if arguments.chat_duration is not None:
            raise UsageError("--chat-duration says how long abandoned chats last; give --abandoned SHARE too")
        return None
    text = arguments.chat_duration or _LONGEST_DEFAULT
    duration = parse_seconds(text)
    if not SHORTEST_DURATION <= duration <= LONGEST:
        raise UsageError(f"--chat-duration {text}: Amazon Connect takes 60 minutes (1h) to 7 days (168h)")
    return Abandoned(arguments.abandoned, duration)


def find_limits(arguments: PlanRequest) -> Limits:
    """The limits to plan against: given ones over a run's over AWS's documented defaults. Raises UsageError."""
    limits = DOCUMENTED
    if arguments.run is not None:
        limits = run_limits(arguments.run)
    elif arguments.declared is not None:
        limits = declared_limits(arguments.declared)
    given = {"tps": arguments.tps, "burst": arguments.burst, "active_chats": arguments.active_chats}
    chosen = {name: value for name, value in given.items() if value is not None}
    if not chosen:
        return _bounded(limits)
    values: dict[str, float] = {"tps": limits.tps, "burst": limits.burst, "active_chats": limits.active_chats} | chosen
    if "tps" in chosen and "burst" not in chosen:
        values["burst"] = _whole(limits.burst / limits.tps * values["tps"])
    curve = limits.curve if not {"tps", "burst"} & set(chosen) else ()
    named = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
    source = f"given ({named})" if len(chosen) == 3 else f"given ({named}); the rest from {limits.source}"
    invalid = limits.invalid if len(chosen) < 3 else None
    window = None if {"tps", "burst"} & set(chosen) else limits.window
    quotas = (values["tps"], values["burst"], int(values["active_chats"]))
    return _bounded(Limits(*quotas, source, curve, invalid, window, limits.sliding))


def _bounded(limits: Limits) -> Limits:
    if limits.tps > MOST_RATE or limits.burst > MOST_BURST or limits.active_chats > MOST_CHATS:
        raise UsageError(
            f"{number(limits.tps)}/s, burst {number(limits.burst)} and {number(limits.active_chats)} chats are more than "
            f"can be planned ({number(MOST_RATE)}/s, burst {number(MOST_BURST)}, {number(MOST_CHATS)} chats); give less"
        )
    return limits


def run_limits(path: Path) -> Limits:
    """What a run found: estimates where they are explained; of chats at once that were not reached, what AWS declares."""
    answer = load_capacity(path)
    tps, chats = answer.tps, answer.active_chats
    if tps.rate_to_use is None and tps.verdict != "lower_bound":
        raise UsageError(f"{path} does not explain its TPS limit; give it with --tps and --burst")
    if chats.verdict == "not_explained":
        raise UsageError(f"{path} does not explain its active-chat limit; give it with --active-chats")
    rate, burst, curve, notes = _tps_limits(tps)
    if not rate and tps.verdict == "lower_bound":
        raise UsageError(f"{path} met no TPS limit, and a burst may have carried what it admitted; give --tps")
    quota, unmet = _quota_of(answer)
    if not rate or not quota or rate <= 0:
        raise UsageError(f"{path} says nothing about a limit; give --tps, --burst and --active-chats")
    notes = [*notes, *_doubts(burst is not None, tps, chats), *unmet]
    told = "; ".join(notes)
    source = f"run {answer.run.id} ({told})" if told else f"run {answer.run.id}"
    invalid = None if answer.generator.valid else "; ".join(answer.generator.reasons) or "it does not say why"
    window = window_of(tps) if tps.exact else None
    return Limits(
        rate,
        _whole(burst or 1.6 * rate),
        max(1, int(quota)),
        source,
        curve,
        invalid,
        window=None if window is None else window[1],
        sliding=tps.limiter == "sliding_window",
    )


def _quota_of(answer: Capacity) -> tuple[float | None, list[str]]:
    """The chats at once, and what is to be said of them. A bound is no quota: it would be said to bind where it does not."""
    chats = answer.active_chats
    if chats.verdict != "lower_bound":
        return _figure(chats, chats), []
    least, entry = chats.low or 0.0, declared_value(answer.declared, "active_chats")
    declared = entry.value if entry is not None and entry.value else None
    taken = max(least, declared or DOCUMENTED.active_chats)
    source = "what was admitted" if taken == least else "as AWS declares" if declared else "AWS's documented default"
    reached = f" (at least {number(least)})" if least else ""
    return taken, [f"active chats: the limit was not reached{reached}: {number(taken)}, {source}, is taken"]


def _doubts(burst_known: bool, tps: Tps, chats: ActiveChats) -> list[str]:
    """What of the limits the run does not know, or knows only roughly: each is planned with all the same."""
    doubts = []
    if not burst_known:
        doubts.append("the burst was not measured: 1.6 times the rate is taken, as in AWS's documented pair")
    elif tps.exact and tps.burst.high is None:
        doubts.append("the burst is a lower bound")
    low, high = chats.low, chats.high
    if chats.verdict == "explained" and low is not None and high is not None and low < high:
        doubts.append(f"active chats lie between {number(low)} and {number(high)}")
    return doubts


def _whole(burst: float) -> float:
    """A burst of calls: a part of one is what was refilled meanwhile, or of an assumption."""
    return max(1.0, float(round(burst)))


_Curve = tuple[tuple[float, float], ...]


def _tps_limits(tps: Tps) -> tuple[float | None, float | None, _Curve, list[str]]:
    """Rate, burst, measured curve and what is to be said of them: the exact limiter's, or what holds for any limiter."""
    if tps.exact or tps.sustained is None:
        return _figure(tps.rate, tps), _figure(tps.burst, tps), (), []
    burst = tps.burst_from_rest.median if tps.burst_from_rest else None
    if curve := _curve_of(tps):
        note = "no exact limiter: planned with the measured curve of refused shares"
        return tps.sustained.estimate, burst, curve, [note]
    if tps.class_ in BOUNDS_ONLY:
        kind = CLASSES[tps.class_]
        return tps.sustained.low, burst, (), [f"{kind}: planned with the lower bound of the sustained rate"]
    note = "no exact limiter: planned with the sustained rate under pressure, as if it were a token bucket"
    return tps.sustained.estimate, burst, (), [note]


def _curve_of(tps: Tps) -> _Curve:
    """The measured curve by rising rate, the share made never to fall; empty where there is none of use."""
    points = sorted((point.rate, point.refused) for point in (tps.safe.curve if tps.safe is not None else []))
    if len(points) < 2 or points[0][0] <= 0:
        return ()
    rates, shares = zip(*points, strict=True)
    return ((0.0, shares[0]), *zip(rates, accumulate(shares, max), strict=True))


def _figure(entry: Interval, limit: Tps | ActiveChats) -> float | None:
    exact = limit.verdict == "explained" and entry.high is not None and entry.estimate is not None
    value = entry.estimate if exact else entry.low
    return value if value is not None and value > 0 else None


def declared_limits(path: Path) -> Limits:
    """What AWS declared for the run's account and instance; where it did not, the documented default."""
    declared = load_capacity(path).declared
    found: dict[str, float] = {}
    sources = []
    for name in ("tps", "burst", "active_chats"):
        entry = declared_value(declared, name)
        if entry is not None and entry.value is not None and entry.value > 0:
            found[name] = entry.value
            sources.append(f"{name} from {entry.source or 'unknown source'}")
    if not {"tps", "active_chats"} & set(found):
        raise UsageError(f"{path} declares no quotas; give --tps, --burst and --active-chats")
    tps = found.get("tps", DOCUMENTED.tps)
    burst = found.get("burst", tps * DOCUMENTED.burst / DOCUMENTED.tps)
    return Limits(tps, burst, max(1, int(found.get("active_chats", DOCUMENTED.active_chats))), "; ".join(sources))
