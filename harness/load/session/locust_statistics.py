"""Feeds Locust's own statistics with attempts, many at a time."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gevent

from harness.connect.client import Reply
from harness.vocabulary import NOT_AWAITED, OK, OUTCOMES, STARTED

if TYPE_CHECKING:  # who imports Locust has gevent patch the whole process
    from locust.stats import RequestStats, StatsEntry

logger = logging.getLogger(__name__)

REQUEST_TYPE = "Connect"
_FIRED_TOGETHER = 64
"""Attempts of which Locust's listeners are told without a pause: more would hold up the sends."""
_PAUSE = 0.001

Report = Callable[[Sequence[tuple[str, Reply]]], None]
"""Takes attempts in their order, each as its operation and its reply."""


class Refused(Exception):
    """An attempt that was not admitted. Locust groups failures by repr, so each outcome is one row.

    Each outcome has a class of its own with its name, since OpenTelemetry's `error.type` is the name of the class.
    """

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __repr__(self) -> str:
        return self.outcome


# Made once: an exception that is only looked at needs no traceback and no allocation.
_REFUSED: dict[str, Refused] = {
    outcome: type(outcome, (Refused,), {})(outcome) for outcome in OUTCOMES if outcome not in (STARTED, OK)
}


def reporter(fire: Callable[..., Any], statistics: Callable[[], RequestStats | None]) -> Report:
    """Return a function that tells Locust of attempts.

    `statistics()` are Locust's where nobody else listens to its `request` event: all attempts of an operation are then added
    to them at once, as Locust's master adds those of a worker. Where somebody does (None), the event is fired for each;
    `fire` is the event's own.
    """

    def report(attempts: Sequence[tuple[str, Reply]]) -> None:
        kept = statistics()
        if kept is not None:
            add(kept, attempts)
            return
        for number, (operation, reply) in enumerate(attempts):
            if number and number % _FIRED_TOGETHER == 0:
                gevent.sleep(_PAUSE)
            try:
                _fire(fire, operation, reply)
            except Exception:  # Locust passes on what a listener raises to end a user; the others are still to be told
                logger.exception("a listener of Locust's request event failed")

    return report


def add(statistics: RequestStats, attempts: Sequence[tuple[str, Reply]]) -> None:
    """Add attempts to Locust's statistics, as if its `request` event had been fired for each of them now."""
    replies: defaultdict[str, list[Reply]] = defaultdict(list)
    for operation, reply in attempts:
        if reply.outcome != NOT_AWAITED:  # neither a success nor a failure
            replies[operation].append(reply)
    at = time.time()
    for operation, answered in replies.items():
        refused = Counter(reply.outcome for reply in answered if reply.outcome in _REFUSED)
        part = _entry(statistics, operation, answered, refused.total(), at)
        _extend(statistics.total, part, at)
        _extend(statistics.get(operation, REQUEST_TYPE), part, at)
        for outcome, count in refused.items():
            _add_error(statistics, operation, _REFUSED[outcome], count)


def _extend(entry: StatsEntry, part: StatsEntry, at: float) -> None:
    """Add `part`, of now. What the percentiles of the last ten seconds are told from is kept as it was before the first
    call of a second, as where calls are logged one by one: Locust's own `extend` would keep it with that call already in.
    """
    last = entry.last_request_timestamp
    if entry.use_response_times_cache and last is not None and int(at) > int(last):
        entry._cache_response_times(int(at) - 1)  # noqa: SLF001 - there is no other way to it
    entry.last_request_timestamp = at
    entry.extend(part)


def _entry(statistics: RequestStats, operation: str, answered: Sequence[Reply], refused: int, at: float) -> StatsEntry:
    """Return what `answered` are for Locust: `refused` of them are failures."""
    from locust import stats as locust_stats

    part = locust_stats.StatsEntry(statistics, operation, REQUEST_TYPE)
    times: Any = [
        (reply.received - reply.sent) * 1000 for reply in answered
    ]  # Locust types its sum and extremes as int
    part.num_requests = len(times)
    part.total_response_time = sum(times)
    part.min_response_time, part.max_response_time = min(times), max(times)
    part.response_times = Counter(map(locust_stats.bucket_response_time, times))  # a user may have replaced it
    part.total_content_length = sum([reply.body_bytes for reply in answered])
    part.last_request_timestamp = at
    part.num_reqs_per_sec = {int(at): len(times)}
    if refused:
        part.num_failures = refused
        part.num_fail_per_sec = {int(at): refused}
    return part


def _add_error(statistics: RequestStats, operation: str, error: Refused, count: int) -> None:
    from locust.stats import StatsError

    key = StatsError.create_key(REQUEST_TYPE, operation, error)
    known = statistics.errors.get(key)
    if known is None:
        known = statistics.errors[key] = StatsError(REQUEST_TYPE, operation, error)
    known.occurrences += count - 1
    known.occurred()


def _fire(fire: Callable[..., Any], operation: str, reply: Reply) -> None:
    if reply.outcome == NOT_AWAITED:
        return
    fire(
        request_type=REQUEST_TYPE,
        name=operation,
        response_time=(reply.received - reply.sent) * 1000,
        response_length=reply.body_bytes,
        response=None,
        context={},
        exception=_REFUSED.get(reply.outcome),
    )
