"""Counts whether the customers of a run were answered, and how that depends on the chats that were open."""

from collections.abc import Callable

import numpy as np

from harness.durations import parse_duration
from harness.vocabulary import GREETING, NO_AGENT, NO_GREETING, NO_REPLY, NOT_AWAITED, QUEUE_WAIT, REPLY
from reports.capacity.answered.behind import behind_of, minutes_of, unknown_behind
from reports.capacity.answered.knee import Bools, Ints, knee_of
from reports.capacity.answered.messages import Floats, Messages, MessagesSeen
from reports.capacity.answered.model import Answered, LoadBand, QueueWaits
from reports.capacity.answered.ranks import plain, quantile
from reports.run.fold import Aggregates
from reports.run.latencies import Bounds, Latency
from reports.run.rundir import Run
from reports.wording.numbers import wilson
from reports.wording.vocabulary import OK

DEFAULT_GOAL = 5.0
_MOST_BANDS = 12
_LEAST_IN_BAND = 40


def answered_of(
    run: Run, total: Aggregates, seen: MessagesSeen, latency: Callable[[tuple[str, str]], Latency]
) -> Answered | None:
    """Return what the customers of `run`, whose rows were `seen`, felt; None where nobody waited.

    `latency` gives that of an (operation, outcome).
    """
    if not {GREETING, REPLY} & set(total.operations.numbers):
        return None

    def count(operation: str, outcome: str) -> int:
        return total.count(operation, outcome)

    def of(operation: str) -> Latency | None:
        return latency((operation, OK)) if (operation, OK) in total.pairs else None

    greeted, no_greeting = count(GREETING, OK), count(GREETING, NO_GREETING)
    replied, no_reply = count(REPLY, OK), count(REPLY, NO_REPLY)
    messages = seen.messages()
    goal = goal_of(run)
    behind = behind_of(run.manifest.declared)
    in_time = messages.answered & (messages.took <= goal)
    return Answered(
        greeted=greeted,
        no_greeting=no_greeting,
        greeting_not_awaited=count(GREETING, NOT_AWAITED),
        replied=replied,
        no_reply=no_reply,
        reply_not_awaited=count(REPLY, NOT_AWAITED),
        no_greeting_share=no_greeting / (greeted + no_greeting) if greeted + no_greeting else None,
        no_greeting_interval=_interval(no_greeting, greeted + no_greeting),
        no_reply_share=no_reply / (replied + no_reply) if replied + no_reply else None,
        no_reply_interval=_interval(no_reply, replied + no_reply),
        greeting_ms=of(GREETING),
        reply_ms=of(REPLY),
        queue=_queue(count, of),
        agents=seen.agents.agents(),
        knee=knee_of(messages.open_chats, in_time, messages.chat, goal),
        by_open_chats=_bands(messages.open_chats.astype(float), messages, in_time),
        by_start_rate=_bands(messages.start_rate, messages, in_time),
        behind=behind,
        behind_unknown=unknown_behind(run.manifest.declared),
        by_minute=minutes_of(behind, messages),
    )


def _queue(count: Callable[[str, str], int], of: Callable[[str], Latency | None]) -> QueueWaits | None:
    joined, never, unknown = (count(QUEUE_WAIT, outcome) for outcome in (OK, NO_AGENT, NOT_AWAITED))
    return QueueWaits(joined, never, unknown, of(QUEUE_WAIT)) if joined + never + unknown else None


def goal_of(run: Run) -> float:
    """Seconds within which a reply should come, as the run's option --reply-goal has it."""
    value = run.manifest.options.get("reply_goal")
    try:
        return float(value) if isinstance(value, int | float) else parse_duration(str(value))
    except ValueError:
        return DEFAULT_GOAL


def _bands(load: Floats, messages: Messages, in_time: Bools) -> list[LoadBand]:
    """Messages by load, in bands of about as many each; equal loads stay together."""
    if len(load) < _LEAST_IN_BAND:
        return []
    order = np.argsort(load, kind="stable")
    size = max(_LEAST_IN_BAND, -(-len(load) // _MOST_BANDS))
    bands, begin = [], 0
    while begin < len(order):
        end = min(begin + size, len(order))
        while end < len(order) and load[order[end]] == load[order[end - 1]]:
            end += 1
        if len(order) - end < _LEAST_IN_BAND:
            end = len(order)
        bands.append(_band(load[order[begin:end]], order[begin:end], messages, in_time))
        begin = end
    return bands


def _band(load: Floats, rows: Ints, messages: Messages, in_time: Bools) -> LoadBand:
    count = len(rows)
    within, answered = int(np.count_nonzero(in_time[rows])), int(np.count_nonzero(messages.answered[rows]))
    took = np.sort(messages.took[rows][messages.answered[rows]]) * 1000
    p50, p95 = quantile(took, 0.5), quantile(took, 0.95)
    return LoadBand(
        low=plain(load[0]),
        high=plain(load[-1]),
        messages=count,
        within_goal=within / count,
        within_goal_interval=wilson(within, count),
        no_reply=1 - answered / count,
        no_reply_interval=wilson(count - answered, count),
        p50=p50[0],
        p50_interval=p50[1],
        p95=p95[0],
        p95_interval=p95[1],
    )


def _interval(count: int, of: int) -> Bounds:
    return wilson(count, of) if of else None
