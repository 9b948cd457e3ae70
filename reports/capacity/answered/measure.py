"""Counts whether the customers of a run were answered, and how that depends on the chats that were open."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.durations import parse_duration
from harness.vocabulary import GREETING, NO_GREETING, NO_REPLY, NOT_AWAITED, REPLY, ends_chat
from reports.capacity.answered.knee import Bools, Ints, knee_of
from reports.capacity.answered.model import Answered, LoadBand
from reports.run.fold import Aggregates
from reports.run.latencies import Bounds, Latency
from reports.run.rundir import Run
from reports.run.samples import Batch, read_batches
from reports.wording.numbers import wilson
from reports.wording.vocabulary import OK, START, STARTED

DEFAULT_GOAL = 5.0
_COLUMNS = ("operation", "outcome", "contact_id", "scheduled", "sent", "received")
_WINDOW = 10.0
"""Seconds before a message in which chat starts are counted for its arrival rate."""
_MOST_BANDS = 12
_LEAST_IN_BAND = 40

Floats = NDArray[np.float64]


def answered_of(run: Run, total: Aggregates, latency: Callable[[tuple[str, str]], Latency]) -> Answered | None:
    """Return what the customers of `run` felt; None where nobody waited. `latency` gives that of an (operation, outcome)."""
    if not {GREETING, REPLY} & set(total.operations.numbers):
        return None

    def count(operation: str, outcome: str) -> int:
        return total.count(operation, outcome)

    def of(operation: str) -> Latency | None:
        return latency((operation, OK)) if (operation, OK) in total.pairs else None

    greeted, no_greeting = count(GREETING, OK), count(GREETING, NO_GREETING)
    replied, no_reply = count(REPLY, OK), count(REPLY, NO_REPLY)
    messages = _messages(run)
    goal = goal_of(run)
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
        knee=knee_of(messages.open_chats, in_time, messages.chat, goal),
        by_open_chats=_bands(messages.open_chats.astype(float), messages, in_time),
        by_start_rate=_bands(messages.start_rate, messages, in_time),
    )


def goal_of(run: Run) -> float:
    """Seconds within which a reply should come, as the run's option --reply-goal has it."""
    value = run.manifest.options.get("reply_goal")
    try:
        return float(value) if isinstance(value, int | float) else parse_duration(str(value))
    except ValueError:
        return DEFAULT_GOAL


@dataclass(frozen=True)
class Messages:
    """The messages of customers that were answered or not, one an element.

    `took` is seconds from when a message was due to its answer, or to when it was given up; `chat` numbers its chat;
    `open_chats` and `start_rate` (1/s) are the load when it was accepted.
    """

    took: Floats
    answered: Bools
    chat: Ints
    open_chats: Ints
    start_rate: Floats


@dataclass
class _Gathered:
    """Rows of the kinds that count: numbers of chats and times (unix s)."""

    numbers: dict[str, int] = field(default_factory=dict)
    starts: list[tuple[Ints, Floats]] = field(default_factory=list)
    ends: list[tuple[Ints, Floats]] = field(default_factory=list)
    due: list[Floats] = field(default_factory=list)
    messages: list[tuple[Ints, Floats, Floats, Bools]] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Take what counts of a batch."""
        kinds = [_kind_of_operation(name) for name in batch.words["operation"]]
        operation, outcome = batch.codes["operation"], batch.codes["outcome"]
        names = batch.words["outcome"]
        is_start, is_reply = (np.array([kind[place] for kind in kinds])[operation] for place in range(2))
        served = np.array([name in (OK, STARTED) for name in names])[outcome]
        ended = np.array([[ends_chat(what, became) for became in names] for what in batch.words["operation"]])
        decided = np.array([name in (OK, NO_REPLY) for name in names])[outcome]
        # Numbered for the words of the batch, which are far fewer than its rows.
        chats = np.array([self.numbers.setdefault(word, len(self.numbers)) for word in batch.words["contact_id"]])
        chat = chats[batch.codes["contact_id"]]
        scheduled, sent, received = (batch.times[name] for name in ("scheduled", "sent", "received"))
        placed = np.isfinite(scheduled) & np.isfinite(sent) & np.isfinite(received)
        self.due.append(scheduled[is_start & placed])
        for found, rows in (
            (self.starts, is_start & served & placed),
            (self.ends, ended[operation, outcome] & placed),
        ):
            found.append((chat[rows], received[rows]))
        rows = is_reply & decided & placed
        took = received[rows] - scheduled[rows]
        self.messages.append((chat[rows], sent[rows], took, served[rows]))


def _kind_of_operation(name: str) -> tuple[bool, bool]:
    """Whether rows of an operation start a chat, are a reply."""
    return name == START, name == REPLY


def _messages(run: Run) -> Messages:
    gathered = _Gathered()
    for part in read_batches(run.sample_files, _COLUMNS):
        if isinstance(part, Batch) and len(part):
            gathered.add(part)
    ended = np.full(len(gathered.numbers) + 1, np.inf)
    for chat, at in gathered.ends:
        np.minimum.at(ended, chat, at)
    started = np.concatenate([at for _, at in gathered.starts] or [np.empty(0)])
    starts = np.sort(started)
    ends = np.sort(ended[np.concatenate([chat for chat, _ in gathered.starts] or [np.empty(0, np.int64)])])
    due = np.sort(np.concatenate(gathered.due or [np.empty(0)]))
    columns = [np.concatenate(parts) for parts in zip(*gathered.messages, strict=True)] if gathered.messages else []
    if not columns:
        empty = np.empty(0)
        nothing = np.empty(0, np.int64)
        return Messages(empty, np.empty(0, np.bool_), nothing, nothing, empty)
    chat, sent, took, answered = columns
    open_chats = np.searchsorted(starts, sent, "right") - np.searchsorted(ends, sent, "right")
    begun = due[0] if len(due) else 0.0
    window = np.clip(sent - begun, 1.0, _WINDOW)
    rate = (np.searchsorted(due, sent, "right") - np.searchsorted(due, sent - window, "right")) / window
    return Messages(took, answered, chat, np.maximum(open_chats, 1), rate)


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
    p50, p95 = _quantile(took, 0.5), _quantile(took, 0.95)
    return LoadBand(
        low=_plain(load[0]),
        high=_plain(load[-1]),
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


def _quantile(ordered: Floats, share: float) -> tuple[float | None, Bounds]:
    """A quantile of sorted numbers, with the 95 % interval of its rank; that is None where it would reach beyond them."""
    if not len(ordered):
        return None, None
    count = len(ordered)
    middle, half = share * count, 1.96 * np.sqrt(count * share * (1 - share))
    low, high = int(np.floor(middle - half)), int(np.ceil(middle + half))
    value = float(ordered[min(int(np.ceil(middle)) - 1, count - 1)])
    if low < 0 or high >= count:
        return _plain(value), None
    return _plain(value), (_plain(ordered[low]), _plain(ordered[high]))


def _interval(count: int, of: int) -> Bounds:
    return wilson(count, of) if of else None


def _plain(value: float) -> float:
    return float(f"{value:.6g}")
