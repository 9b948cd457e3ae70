"""The Answers tab: who was greeted and answered, and how soon, while a run lasts and after it."""

import math
from array import array
from collections.abc import Mapping
from typing import Any

from harness.vocabulary import (
    AGENT_JOINED,
    AGENT_LEFT,
    CHAT_ENDED_BY_OTHERS,
    GREETING,
    NO_AGENT,
    NO_GREETING,
    NO_REPLY,
    NOT_AWAITED,
    OK,
    QUEUE_WAIT,
    REPLY,
    TRANSFER,
)

KEY = "answers"
TAB = {"title": "Answers", "key": KEY}
COLUMNS = (
    ("wait", "What the customer waited for"),
    ("came", "Came"),
    ("never", "Never"),
    ("share", "Share never"),
    ("unknown", "Not known"),
    ("p50", "p50"),
    ("p95", "p95"),
    ("p99", "p99"),
    ("longest", "Longest"),
)
STRUCTURE = {"key": KEY, "structure": [{"key": key, "title": title} for key, title in COLUMNS]}
WAITS = {
    GREETING: ("Greeting of a chat (Greeting)", NO_GREETING),
    REPLY: ("Reply to a message (Reply)", NO_REPLY),
    QUEUE_WAIT: ("An agent, once the flow had said that the customer is in the queue (QueueWait)", NO_AGENT),
    AGENT_JOINED: ("An agent joined, since the subscription (AgentJoined)", ""),
    AGENT_LEFT: ("An agent left, since the subscription (AgentLeft)", ""),
    TRANSFER: ("Transfer, since the subscription (Transfer)", ""),
    CHAT_ENDED_BY_OTHERS: ("Chat ended by somebody else (ChatEnded)", ""),
}
"""The rows, in their order: the title, and the outcome of what never came."""

NONE = "–"
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_GROWTH = math.log(1.01)
_LEAST, _BUCKETS = 1e-4, 2000  # seconds; the last bucket begins beyond ten hours

Row = dict[str, str | int]


class Durations:
    """Any number of durations in bounded memory, told apart to 1 %."""

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * _BUCKETS))
        self._number = 0
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        """Take one in."""
        place = math.ceil(math.log(seconds / _LEAST) / _GROWTH) if seconds > _LEAST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self._number += 1
        self._longest = max(self._longest, seconds)

    def to_json(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in ms."""
        return {**{name: self._quantile(share) * 1000 for name, share in _SHARES.items()}, "max": self._longest * 1000}

    def _quantile(self, share: float) -> float:
        wanted, seen = math.ceil(share * self._number), 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_LEAST * math.exp(_GROWTH * (place - 0.5)), self._longest)
        return self._longest


def answer_rows(live: Mapping[str, Any]) -> list[Row]:
    """Return the table for what `LiveRun.snapshot` says. Locust sorts it by `name`, which is not shown."""
    counts: Mapping[str, Mapping[str, int]] = live.get("counts", {})
    felt: Mapping[str, Mapping[str, float]] = live.get("waits", {})
    rows = [
        _row(title, missed, counts[operation], felt.get(operation))
        for operation, (title, missed) in WAITS.items()
        if operation in counts
    ]
    ends: Mapping[str, int] = live.get("chat_ends", {})
    rows += [
        _row(f"Chat ended by somebody else: {reason}", "", {OK: count}, None)
        for reason, count in sorted(ends.items(), key=lambda end: -end[1])
        if count
    ]
    return [{"name": f"{number:03d}", **row} for number, row in enumerate(rows)]


def _row(title: str, missed: str, counts: Mapping[str, int], felt: Mapping[str, float] | None) -> Row:
    came, never = counts.get(OK, 0), counts.get(missed, 0) if missed else 0
    known = came + never
    return {
        "wait": title,
        "came": came,
        "never": never if missed else NONE,
        "share": f"{100 * never / known:.1f} %" if missed and known else NONE,
        "unknown": counts.get(NOT_AWAITED, 0) if missed else NONE,
        **{name: _seconds(felt, key) for name, key in (*((q, q) for q in _SHARES), ("longest", "max"))},
    }


def _seconds(felt: Mapping[str, float] | None, key: str) -> str:
    return NONE if not felt else f"{felt[key] / 1000:.3g} s"
