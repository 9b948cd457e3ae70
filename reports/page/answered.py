"""The part of the page that says whether the other side of the chats answered."""

from dataclasses import dataclass

import msgspec

from harness.counting import counted
from reports.capacity.answered.model import Agents, Answered, Behind, LoadBand, MinuteOfReplies
from reports.capacity.answered.sentences import agents_sentences, knee_sentence
from reports.capacity.model import Capacity
from reports.page.behind import behind_sentences, trouble_words
from reports.run.latencies import Bounds, Latency, Quantiles
from reports.wording.numbers import milliseconds, number, percent, seconds, share, utc


@dataclass(frozen=True)
class WaitRow:
    """The greetings, or the replies, as texts."""

    name: str
    answered: str
    never: str
    never_share: str
    unknown: str
    p50: str
    p95: str
    p99: str
    longest: str


@dataclass(frozen=True)
class AgentsRow:
    """What customers saw of agents, as texts: in how many chats, how often, and how long it took."""

    what: str
    since: str
    chats: str
    times: str
    p50: str
    p95: str
    p99: str
    longest: str


@dataclass(frozen=True)
class BandRow:
    """Messages under one load, as texts with their intervals."""

    load: str
    messages: str
    p50: str
    p95: str
    within: str
    never: str


@dataclass(frozen=True)
class BehindRow:
    """What CloudWatch counted of one queue, flow, bot or function, as texts."""

    metric: str
    of: str
    value: str
    worst: str
    source: str


@dataclass(frozen=True)
class MinuteRow:
    """The replies of a minute in which something behind the chats failed, as texts."""

    at: str
    counted: str
    messages: str
    p95: str
    never: str


@dataclass(frozen=True)
class AnsweredSection:
    """What the customers felt: sentences, the waits, and how it depends on the load."""

    sentences: list[str]
    goal: str
    waits: list[WaitRow]
    agents: list[AgentsRow]
    by_open_chats: list[BandRow]
    by_start_rate: list[BandRow]
    behind: list[BehindRow]
    by_minute: list[MinuteRow]


def answered(answer: Capacity) -> AnsweredSection | None:
    """What the customers of a run felt; None where none of them waited."""
    found = answer.answered
    if found is None:
        return None
    queue = found.queue
    return AnsweredSection(
        sentences_of(found),
        "" if found.knee is None else seconds(found.knee.goal),
        [
            _wait(
                "Greeting of a chat", found.greeted, found.no_greeting, found.greeting_not_awaited, found.greeting_ms
            ),
            _wait("Reply to a message", found.replied, found.no_reply, found.reply_not_awaited, found.reply_ms),
            *([_wait("Agent, from the queue", *msgspec.structs.astuple(queue))] if queue else []),
        ],
        _agents(found.agents),
        [_band(band, 0) for band in found.by_open_chats],
        [_band(band, 2) for band in found.by_start_rate],
        [_behind(series) for series in found.behind if series.value],
        [_minute(minute, found.behind) for minute in found.by_minute],
    )


def sentences_of(found: Answered) -> list[str]:
    """Who was never answered, and up to how many open chats replies came in time."""
    told = []
    chats, messages = found.greeted + found.no_greeting, found.replied + found.no_reply
    if chats:
        told.append(_never(found.no_greeting, counted(chats, "chat"), "greeted", chats))
    if messages:
        told.append(_never(found.no_reply, counted(messages, "message"), "answered", messages))
    if found.knee is not None:
        told.append(knee_sentence(found.knee))
    return [*told, *agents_sentences(found.agents), *behind_sentences(found)]


def _never(count: int, of_all: str, done: str, total: int) -> str:
    if not count:
        was = "was" if total == 1 else "were all"
        return f"{of_all} {was} {done}: never {done} are {share(count, total)}."
    silent = counted(count, f"of {of_all} was", f"of {of_all} were")
    return f"{silent} never {done}: {share(count, total)}."


def _agents(found: Agents | None) -> list[AgentsRow]:
    if found is None:
        return []
    rows = (
        ("First agent joined", "the subscription", found.joined_chats, found.joined_chats, found.first_joined_ms),
        ("Transferred", "an agent had joined", found.transferred_chats, found.transfers, found.until_transfer_ms),
        ("Agent left", "that agent had joined", None, found.left, found.until_left_ms),
        ("Next agent joined", "the transfer, or the leaving", None, None, found.next_joined_ms),
    )
    return [_agents_row(*row) for row in rows if row[3] or row[4]]


def _agents_row(what: str, since: str, chats: int | None, times: int | None, took: Quantiles | None) -> AgentsRow:
    values = (None,) * 4 if took is None else (took.p50, took.p95, took.p99, took.max)
    often = times if times is not None else took.n if took else 0
    return AgentsRow(
        what, since, "" if chats is None else f"{chats:,}", f"{often:,}", *(milliseconds(value) for value in values)
    )


def _behind(series: Behind) -> BehindRow:
    worst = max(series.minutes, key=lambda minute: minute.value)
    return BehindRow(
        series.metric, series.of, number(series.value), f"{number(worst.value)} at {utc(worst.at)}", series.source
    )


def _minute(minute: MinuteOfReplies, behind: list[Behind]) -> MinuteRow:
    counted = [
        trouble_words(series.metric, series.of, one.value)
        for series in behind
        if series.is_trouble
        for one in series.minutes
        if one.at == minute.at
    ]
    never = share(minute.no_reply, minute.messages) if minute.messages else ""
    return MinuteRow(utc(minute.at), "; ".join(counted[:4]), f"{minute.messages:,}", milliseconds(minute.p95), never)


def _wait(name: str, came: int, never: int, unknown: int, latency: Latency | None) -> WaitRow:
    values = (None,) * 4 if latency is None else (latency.p50, latency.p95, latency.p99, latency.max)
    return WaitRow(
        name,
        f"{came:,}",
        f"{never:,}",
        share(never, came + never) if came + never else "",
        f"{unknown:,}",
        *(milliseconds(value) for value in values),
    )


def _band(band: LoadBand, digits: int) -> BandRow:
    low, high = (f"{value:,.{digits}f}" for value in (band.low, band.high))
    return BandRow(
        low if low == high else f"{low} to {high}",
        f"{band.messages:,}",
        _with(band.p50, band.p50_interval),
        _with(band.p95, band.p95_interval),
        _share_with(band.within_goal, band.within_goal_interval),
        _share_with(band.no_reply, band.no_reply_interval),
    )


def _with(value: float | None, bounds: Bounds) -> str:
    if value is None:
        return ""
    between = "" if bounds is None else f" ({number(bounds[0])} to {number(bounds[1])})"
    return f"{milliseconds(value)}{between}"


def _share_with(value: float, bounds: Bounds) -> str:
    between = "" if bounds is None else f" ({bounds[0] * 100:.1f} to {bounds[1] * 100:.1f})"
    return f"{percent(value)}{between}"
