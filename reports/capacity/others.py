"""Adds to this run's part of the active-chat quota what others held at the time, where CloudWatch counted all chats."""

import msgspec
from msgspec import Struct

from harness.quotas.attempts import CHAT_LIMIT
from harness.quotas.estimates import ActiveChatsEstimate
from harness.quotas.others import Count, OthersOpen, others_open
from harness.recording.format.manifest import Number, Table
from reports.capacity.inference import Inference
from reports.capacity.model import ActiveChats, Others
from reports.capacity.model import Interval as Bounds
from reports.wording.numbers import interval, number

_SOURCE = "CloudWatch ConcurrentActiveChats"
_MINUTE = 60.0
_MOST_MINUTES = 100_000  # ten weeks, longer than CloudWatch keeps them


class _Minute(Struct, frozen=True):
    at: Number
    most_open: Number | None = None
    least_open: Number | None = None


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
    beside = Others(others.low, others.high, f"{_SOURCE}, {others.counts} minutes of the run")
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


def _counts(declared: Table) -> list[Count]:
    minutes = declared.get("minutes")
    counts = []
    for entry in minutes[:_MOST_MINUTES] if isinstance(minutes, list) else ():
        try:
            minute = msgspec.convert(entry, _Minute)
        except msgspec.ValidationError:
            continue
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
    return f"The quota is {total}: {held} chats of this run while others held {beside} ({_SOURCE})."
