"""Answers for tests that need no run: everything unknown, but for what a test sets."""

from typing import Any

from msgspec.structs import replace

from reports.capacity.model import ActiveChats, Capacity, Chats, Generator, Interval, PeakActive, Run, Tps

EMPTY = Capacity(
    schema=2,
    run=Run("run"),
    first_limit=None,
    first_seen={},
    tps=Tps(Interval(), Interval(), "unknown", "not_explained"),
    active_chats=ActiveChats(verdict="not_explained"),
    crossover_s=None,
    peak_active=PeakActive(),
    outcomes={},
    outcome_share={},
    operations={},
    latency_ms={},
    quantile_error=0.001,
    generator=Generator(),
    chats=Chats(),
)


def an_answer(**members: Any) -> Capacity:
    """An answer in which everything is unknown or empty, but for `members`."""
    return replace(EMPTY, **members)
