"""Lays what CloudWatch counted behind the chats beside the replies of the same minutes."""

from contextlib import suppress

import msgspec
import numpy as np
from msgspec import Struct

from harness.recording.format.manifest import Number, Table, Text
from reports.capacity.answered.messages import Messages
from reports.capacity.answered.model import Behind, BehindMinute, MinuteOfReplies

_MINUTE = 60
_MOST_SERIES, _MOST_MINUTES = 400, 60
_TROUBLE = "Sum"
"""Statistic of what should not happen at all: errors, throttles. Levels, such as a queue's size, are maxima."""


class _Minute(Struct, frozen=True):
    at: Number
    value: Number


class _Series(Struct, frozen=True):
    metric: Text
    of: Text
    statistic: Text
    source: Text
    known_minutes: int = 0
    minutes: list[_Minute] = []


def behind_of(declared: Table) -> list[Behind]:
    """Return what CloudWatch counted by queue, flow, bot and function, trouble first; what is broken is left out."""
    stored = declared.get("behind")
    found = []
    for entry in stored[:_MOST_SERIES] if isinstance(stored, list) else ():
        with suppress(msgspec.ValidationError):
            series = msgspec.convert(entry, _Series)
            values = [minute.value for minute in series.minutes]
            total = sum(values) if series.statistic == _TROUBLE else max(values, default=0.0)
            found.append(
                Behind(
                    metric=series.metric,
                    of=series.of,
                    statistic=series.statistic,
                    source=series.source,
                    known_minutes=max(series.known_minutes, 0),
                    value=total,
                    minutes=[BehindMinute(minute.at, minute.value) for minute in series.minutes],
                )
            )
    return sorted(found, key=lambda series: (series.statistic != _TROUBLE, -series.value, series.metric, series.of))


def unknown_behind(declared: Table) -> str | None:
    """Return why something behind the chats is not known; None where all is, or nobody asked."""
    said = declared.get("behind_unknown")
    return said[:500] if isinstance(said, str) and said else None


def minutes_of(behind: list[Behind], messages: Messages) -> list[MinuteOfReplies]:
    """Return the replies to the messages of each minute in which CloudWatch counted errors or throttles, in order."""
    starts = sorted({minute.at for series in behind if series.is_trouble for minute in series.minutes})
    found = []
    for at in starts[:_MOST_MINUTES]:
        rows = (messages.sent >= at) & (messages.sent < at + _MINUTE)
        answered = rows & messages.answered
        took = messages.took[answered]
        found.append(
            MinuteOfReplies(
                at=at,
                messages=int(np.count_nonzero(rows)),
                no_reply=int(np.count_nonzero(rows & ~messages.answered)),
                p95=float(f"{np.quantile(took, 0.95) * 1000:.6g}") if len(took) else None,
            )
        )
    return found
