"""Sets what others held and started, where CloudWatch counted all chats, beside what this run found of both limits."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import numpy as np
from msgspec import Struct

from harness.counting import counted
from harness.quotas.attempts import CHAT_LIMIT, STARTED
from harness.quotas.estimates import ActiveChatsEstimate
from harness.quotas.others import Count, OthersOpen, others_open
from harness.recording.format.manifest import Number, Table
from reports.capacity.inference import Inference
from reports.capacity.model import ActiveChats, Others, Tps
from reports.capacity.model import Interval as Bounds
from reports.wording.numbers import interval, number

_SOURCE = "CloudWatch ConcurrentActiveChats"
_STARTS = "CloudWatch SuccessfulChatsPerInterval"
_FEWEST_OTHERS, _LEAST_SHARE = 3, 0.05  # of starts, below which they are none of others
_MINUTE = 60.0
_MOST_MINUTES = 100_000  # ten weeks, longer than CloudWatch keeps them


class _Minute(Struct, frozen=True):
    at: Number
    most_open: Number | None = None
    least_open: Number | None = None
    started: Number | None = None


def active_chats_of(declared: Table, inference: Inference) -> ActiveChats:
    """The limit of the whole instance: what this run held of it, and what others held in the minutes in which it was met."""
    found = inference.active_chats
    own = Bounds(**found.chats.to_json())
    ours = ActiveChats(
        estimate=own.estimate, low=own.low, high=own.high, verdict=found.verdict, evidence=found.evidence
    )
    attempts = inference.chats_excerpt.attempts
    met = attempts.sent[attempts.outcome == CHAT_LIMIT]
    others = others_open(_counts(declared), found.at, found.open_chats, met)
    if others is None:
        return ours
    beside = Others(others.low, others.high, f"{_SOURCE}, {counted(others.counts, 'minute')} of the run")
    if not others.high:
        return msgspec.structs.replace(ours, others=beside)
    quota = Bounds(**others.quota(found.chats).to_json())
    return ActiveChats(
        estimate=quota.estimate,
        low=quota.low,
        high=quota.high,
        verdict=found.verdict,
        evidence={**found.evidence, "sentence": _sentence(found, quota, others)},
        ours=own,
        others=beside,
    )


def shared_tps(tps: Tps, declared: Table, inference: Inference) -> Tps:
    """The limit on chat starts, called shared where no exact limiter explains it and CloudWatch saw others start chats.

    Only whole minutes of the excerpt are counted; a few starts more than ours may be those of its edges.
    """
    if tps.verdict == "explained" or tps.class_ in (None, "not_met"):
        return tps
    attempts = inference.tps_excerpt.attempts
    begin, end = inference.tps_excerpt.span
    ours_at = attempts.received[attempts.outcome == STARTED]
    ours, everybody, minutes = 0, 0.0, 0
    for minute in _minutes(declared):
        if minute.started is not None and begin <= minute.at and minute.at + _MINUTE <= end:
            ours += int(np.sum((ours_at >= minute.at) & (ours_at < minute.at + _MINUTE)))
            everybody, minutes = everybody + minute.started, minutes + 1
    others = everybody - ours
    if others < max(_FEWEST_OTHERS, _LEAST_SHARE * ours):
        return tps
    finding = (
        f"Others started {counted(number(others), 'chat')} in {counted(minutes, 'minute')} of this run, in which it "
        f"started {ours:,} ({_STARTS}): the limit is shared with them, and what this run was admitted is a part of it."
    )
    return msgspec.structs.replace(tps, class_="shared", findings=[finding, *tps.findings])


def _minutes(declared: Table) -> Iterator[_Minute]:
    minutes = declared.get("minutes")
    for entry in minutes[:_MOST_MINUTES] if isinstance(minutes, list) else ():
        with suppress(msgspec.ValidationError):
            yield msgspec.convert(entry, _Minute)


def _counts(declared: Table) -> list[Count]:
    counts = []
    for minute in _minutes(declared):
        if minute.most_open is not None:
            least = minute.most_open if minute.least_open is None else minute.least_open
            counts.append(Count(minute.at, minute.at + _MINUTE, least, minute.most_open))
    return counts


def _sentence(found: ActiveChatsEstimate, quota: Bounds, others: OthersOpen) -> str:
    beside = number(others.low) if others.low == others.high else f"{number(others.low)} to {number(others.high)}"
    if found.verdict == "lower_bound":
        least = number(quota.low or 0.0)
        return f"The quota of active chats was not met: {least} at once are admitted, {beside} of them of others."
    total, held = interval(quota), interval(Bounds(**found.chats.to_json()))
    return f"The quota is {total}: {counted(held, 'chat')} of this run while others held {beside} ({_SOURCE})."
