"""Compares the answers of runs: deltas with intervals, a direction for each metric, and when not to compare at all."""

import math
from dataclasses import dataclass, replace

from harness.recording.format.manifest import SdkRetries, Table
from reports.capacity.answered.model import Answered
from reports.capacity.model import ActiveChats, Capacity, Interval, Tps
from reports.compare.significance import LEVEL, Chance, chance_beyond, corrected, standard_error
from reports.wording.numbers import wilson

TOLERANCE = 0.02
"""Changes up to this do not count unless the user says otherwise: a share of the base, or of all calls for shares."""

_FAULTS = ("service_error", "timeout", "connection_error", "unclassified_429", "invalid_request", "access_denied")
_ANY_LIMITER = ("tps.sustained", "tps.burst_from_rest", "tps.safe.poisson")
_NOT_CONDITIONS = frozenset({"run_dir", "gates", "host", "participant_host", "approval", "emulator"})


@dataclass(frozen=True)
class Figure:
    """A number with its interval; `estimate` is None for a bare bound (`high` is then infinite)."""

    estimate: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Delta:
    """One metric in two runs. `change` is new - base with its interval; None where it cannot be made.

    `direction` is "better", "worse", "no change shown", "not comparable" or, of the class of a limiter, "different"; `level`
    is the interval's. `p_worse` and `p_better` are the probabilities of so large a change if there is none, corrected for
    all the metrics that are compared; 1 for a change within the tolerance.
    """

    metric: str
    base: Figure | None
    new: Figure | None
    change: tuple[float, float, float] | None
    direction: str
    why: str
    level: str
    p_worse: float | None = None
    p_better: float | None = None


@dataclass(frozen=True)
class _Metric:
    name: str
    more_is_better: bool
    level: str


_METRICS = (
    _Metric("tps.rate", True, "99 %"),
    _Metric("tps.burst", True, "99 %"),
    *(_Metric(name, True, "95 %") for name in _ANY_LIMITER),
    _Metric("active_chats", True, "99 %"),
    *(_Metric(f"latency_ms.started.{q}", False, "95 %") for q in ("p50", "p95", "p99")),
    _Metric("outcome_share.started", True, "95 %"),
    *(_Metric(f"outcome_share.{outcome}", False, "95 %") for outcome in _FAULTS),
    *(_Metric(f"answered.{wait}_ms.{q}", False, "95 %") for wait in ("greeting", "reply") for q in ("p50", "p95")),
    *(_Metric(f"answered.no_{wait}_share", False, "95 %") for wait in ("greeting", "reply")),
    _Metric("retry_lab.goodput_per_s", True, "95 %"),
    _Metric("retry_lab.attempts_per_started_chat", False, ""),
    *(_Metric(f"retry_lab.added_latency_ms.{q}", False, "") for q in ("p50", "p95", "p99")),
)


def conditions(answer: Capacity) -> Table:
    """What must be equal for two runs to be compared, by name."""
    run = answer.run
    embedded = run.emulator is not None
    workload = run.workload
    found = {
        "user_class": run.user_class,
        "target": "embedded emulator" if embedded else (run.endpoint, run.region, run.instance_id),
        "emulator": run.emulator,
        "workload": (workload.source, workload.seed, workload.draw, str(workload.kinds)),
    }
    options = run.options
    return found | {f"options.{name}": value for name, value in options.items() if name not in _NOT_CONDITIONS}


def allows(allowed: frozenset[str], condition: str) -> bool:
    """Whether `--allow` names the condition; an option may be named with or without "options."."""
    return condition in allowed or condition.removeprefix("options.") in allowed


def differences(base: Capacity, new: Capacity, allowed: frozenset[str]) -> list[str]:
    """The conditions that differ between two runs and are not `allowed` to, one text each."""
    first, second = conditions(base), conditions(new)
    texts = []
    for name in sorted(first.keys() | second.keys()):
        one, other = first.get(name), second.get(name)
        if one != other and not allows(allowed, name):
            texts.append(f"{name} ({_brief(one)} against {_brief(other)})")
    return texts


def _brief(value: object) -> str:
    text = " ".join(str(part) for part in value) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def compare(base: Capacity, new: Capacity, tolerance: float) -> list[Delta]:
    """Compare every metric; a change counts from `tolerance` on: a share of the base, or of all calls for shares.

    Faults that occurred in neither run are left out, and so is what neither of them measured of any limiter or of retries.
    What remains is asked at once: the chances are corrected for the number of metrics that could show a change by chance.
    """
    exact = base.tps.exact and new.tps.exact  # what holds for any limiter would only ask the same again
    metrics = [metric for metric in _METRICS if not (exact and metric.name in _ANY_LIMITER)]
    asked = [found for metric in metrics if not _never_occurred((found := _delta(metric, base, new, tolerance)).delta)]
    worse = corrected([found.worse for found in asked])
    better = corrected([found.better for found in asked])
    judged = [_judged(found.delta, one, other) for found, one, other in zip(asked, worse, better, strict=True)]
    return [*_class_delta(base.tps, new.tps), *judged]


def _judged(delta: Delta, p_worse: float | None, p_better: float | None) -> Delta:
    """The delta with its corrected chances, and with its direction where there is a change that can be judged."""
    delta = replace(delta, p_worse=p_worse, p_better=p_better)
    if p_worse is None or p_better is None:
        return delta
    if p_worse < LEVEL:
        return replace(delta, direction="worse")
    return replace(delta, direction="better") if p_better < LEVEL else delta


def _class_delta(base: Tps, new: Tps) -> list[Delta]:
    """A row where the limiter is of another class than it was: its numbers mean something else then."""
    if base.class_ == new.class_ or base.class_ is None or new.class_ is None:
        return []
    return [
        Delta("tps.class", None, None, None, "different", f"{base.class_} in the base, {new.class_} in the new run", "")
    ]


def _never_occurred(delta: Delta) -> bool:
    if delta.metric.startswith(("retry_lab.", "answered.", *_ANY_LIMITER)) and delta.base is None and delta.new is None:
        return True
    is_fault = delta.metric.removeprefix("outcome_share.") in _FAULTS
    return is_fault and all(one is not None and one.estimate == 0 for one in (delta.base, delta.new))


@dataclass(frozen=True)
class _Found:
    """A delta that is not judged yet, with the chances that it is so much worse, or better, by chance."""

    delta: Delta
    worse: Chance | None = None
    better: Chance | None = None


def _delta(metric: _Metric, base: Capacity, new: Capacity, tolerance: float) -> _Found:
    """What changed of one metric; what has no change has its direction already."""
    first, second = figure(metric.name, base), figure(metric.name, new)
    if first is None or second is None:
        where = "either run" if first is None and second is None else "the base" if first is None else "the new run"
        why = f"no number with an interval in {where}"
        return _Found(Delta(metric.name, first, second, None, "not comparable", why, metric.level))
    if metric.name.startswith("retry_lab.") and not metric.level:
        why = "one run gives it no interval"
        return _Found(Delta(metric.name, first, second, None, "not comparable", why, metric.level))
    if first.estimate is None or second.estimate is None:
        return _Found(_of_bounds(metric, first, second))
    change = second.estimate - first.estimate
    below, above = second.estimate - second.low, second.high - second.estimate
    base_below, base_above = first.estimate - first.low, first.high - first.estimate
    bounds = (change, change - math.hypot(below, base_above), change + math.hypot(above, base_below))
    of_all = metric.name.startswith(("outcome_share", "answered.no_"))
    tolerated = tolerance if of_all else tolerance * abs(first.estimate)
    up = chance_beyond(change, tolerated, standard_error(metric.level, below, base_above))
    down = chance_beyond(-change, tolerated, standard_error(metric.level, above, base_below))
    worse, better = (down, up) if metric.more_is_better else (up, down)
    return _Found(Delta(metric.name, first, second, bounds, "no change shown", "", metric.level), worse, better)


def _of_bounds(metric: _Metric, first: Figure, second: Figure) -> Delta:
    """The delta of numbers of which one is a bare bound."""
    direction = "not comparable"
    if second.high < first.low:
        direction = "worse" if metric.more_is_better else "better"
    elif second.low > first.high:
        direction = "better" if metric.more_is_better else "worse"
    why = "a limit that was not seen whole is a bound"
    return Delta(metric.name, first, second, None, direction, why, metric.level)


def figure(metric: str, answer: Capacity) -> Figure | None:
    """A metric's number and interval in one answer, or None."""
    table, _, rest = metric.partition(".")
    if table == "outcome_share":
        bounds, calls = answer.share_intervals.get(rest), sum(answer.outcomes.values())
        count = answer.outcomes.get(rest, 0)
        return _share(count, calls) if bounds is None or not calls else _ordered(count / calls, *bounds)
    if table == "latency_ms":
        outcome, _, quantile = rest.partition(".")
        entry = answer.latency_ms.get(outcome)
        if entry is None or (bounds := entry.intervals.get(quantile)) is None:
            return None
        value: float | None = getattr(entry, quantile)
        return None if value is None else _ordered(value, *bounds)
    if table == "retry_lab":
        return None if answer.retry_lab is None else _retries(rest, answer.retry_lab)
    if table == "answered":
        return None if answer.answered is None else _of_waits(rest, answer.answered)
    if table == "active_chats":
        return _limit(answer.active_chats, answer.active_chats)
    if metric in _ANY_LIMITER:
        return _of_any_limiter(metric, answer.tps)
    return _limit(answer.tps, answer.tps.rate if rest == "rate" else answer.tps.burst)


def _of_waits(rest: str, answered: Answered) -> Figure | None:
    """A number of what the customers felt: a share never answered, or a quantile of a wait."""
    name, _, quantile = rest.partition(".")
    if not quantile:
        never, came = (
            (answered.no_greeting, answered.greeted)
            if name == "no_greeting_share"
            else (answered.no_reply, answered.replied)
        )
        return _share(never, never + came)
    wait = answered.greeting_ms if name == "greeting_ms" else answered.reply_ms
    bounds = None if wait is None else wait.intervals.get(quantile)
    value: float | None = getattr(wait, quantile, None)
    return None if value is None or bounds is None else _ordered(value, *bounds)


def _ordered(value: float, low: float, high: float) -> Figure:
    """A figure whose bounds lie around its number, whatever a file says."""
    return Figure(value, min(low, value), max(high, value))


def _of_any_limiter(metric: str, tps: Tps) -> Figure | None:
    """A number that holds for any limiter; the safe rate is a lower bound."""
    if metric == "tps.sustained" and (rate := tps.sustained) is not None:
        return _ordered(rate.estimate, rate.low, rate.high)
    if metric == "tps.burst_from_rest" and (burst := tps.burst_from_rest) is not None:
        return _ordered(burst.median, burst.low, burst.high)
    safe = tps.safe.poisson if metric == "tps.safe.poisson" and tps.safe is not None else None
    return None if safe is None or safe.low is None else Figure(None, safe.low, math.inf)


def _limit(limit: Tps | ActiveChats, entry: Interval) -> Figure | None:
    if limit.verdict == "not_explained" or entry.low is None or (isinstance(limit, Tps) and _disproved(limit)):
        return None
    if limit.verdict == "lower_bound" and not entry.low:
        return None  # that at least none are admitted says nothing
    if entry.estimate is None or entry.high is None:
        return Figure(None, entry.low, math.inf)
    return _ordered(entry.estimate, entry.low, entry.high)


def _disproved(tps: Tps) -> bool:
    """Whether an exact limiter fits, and something else of the record speaks against it."""
    return tps.verdict == "explained" and not tps.exact


def _retries(rest: str, lab: SdkRetries) -> Figure | None:
    """A number of the retry lab; goodput with the 95 % interval of a Poisson count, which a limit can only narrow."""
    name, _, quantile = rest.partition(".")
    value = {
        "goodput_per_s": lab.goodput_per_s,
        "attempts_per_started_chat": lab.attempts_per_started_chat,
        "added_latency_ms": lab.added_latency_ms.get(quantile),
    }[name]
    if value is None:
        return None
    value = round(value, 3)
    half = abs(1.96 * value / math.sqrt(lab.started)) if name == "goodput_per_s" and lab.started else 0.0
    return Figure(value, max(min(0.0, value), value - half), value + half)


def _share(count: int, calls: int) -> Figure | None:
    """A share with Wilson's 95 % interval."""
    if not calls:
        return None
    return Figure(count / calls, *wilson(count, calls))
