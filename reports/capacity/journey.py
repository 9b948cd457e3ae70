"""The limit of each operation of a run, and which of them a customer's journey meets first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.journey import JourneyCost, binding_order, infer_operation
from reports.capacity.excerpt import stretch
from reports.capacity.model import Capacity, Interval, Operation, OperationLimit
from reports.run.by_second import BySecond, Seconds
from reports.run.fold import Aggregates
from reports.run.samples import Batch, Samples
from reports.wording.vocabulary import DISCONNECT, HARNESS_CALLS, NO_CALLS, OK, START, START_OUTCOMES, STOP, TPS

MOST_CALLS = 2_000
"""The limit of an operation beside StartChatContact is inferred from at most about this many of its attempts."""
MOST_CHATS = 4_000
"""What a chat costs is counted on at most this many chats, drawn by their ids from the whole run."""

_COLUMNS = ("operation", "outcome", "contact_id", "scheduled", "sent", "received")
_JUDGED = frozenset({*START_OUTCOMES, OK})


@dataclass(frozen=True)
class Journey:
    """The limits of a run's operations, the attempts each was inferred from, and the calls that one chat makes."""

    limits: dict[str, TpsEstimate] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    calls_per_chat: dict[str, float] = field(default_factory=dict)


def is_journey(operations: Iterable[str]) -> bool:
    """Whether a run made more calls than those that start and stop chats."""
    return bool(set(operations) - {START} - HARNESS_CALLS)


def infer_journey(samples: Samples, total: Aggregates, survey: "Survey", start: TpsEstimate, attempts: int) -> Journey:
    """Infer the limit of each operation; `start` is that of StartChatContact, from so many `attempts`.

    A run that only starts and stops chats has no journey.
    """
    names = total.operations.numbers
    if not is_journey(names):
        return Journey()
    limits, used = {START: start}, {START: attempts}
    calls = [name for name in names if name not in NO_CALLS and name != START]
    for name, (sent, received, outcome) in _read(samples, survey.spans(calls)).items():
        limits[name], used[name] = infer_operation(sent, received, outcome), len(sent)
    return Journey(limits, used, survey.calls_per_chat())


def add_limits(counted: Mapping[str, Operation], journey: Journey) -> tuple[dict[str, Operation], str | None]:
    """The operations of capacity.json with their limits, and which of the limits that were met binds first."""
    order = binding_order(journey.limits, journey.calls_per_chat or {START: 1.0})
    binds = {one.operation: Interval(**one.chats.to_json()) for one in order}
    table = {}
    for name, row in counted.items():
        found = journey.limits.get(name)
        limit = None
        if found is not None:
            rate, burst = Interval(**found.rate.to_json()), Interval(**found.burst.to_json())
            limit = OperationLimit(rate, burst, found.limiter, found.verdict, journey.attempts[name])
        cost = journey.calls_per_chat.get(name)
        table[name] = msgspec.structs.replace(
            row,
            limit=limit,
            calls_per_chat=None if cost is None else round(cost, 4),
            binds_at_chats_per_s=binds.get(name),
        )
    return table, order[0].operation if order else None


def others_throttled(answer: Capacity) -> list[str]:
    """The operations beside StartChatContact of which calls were throttled."""
    return [name for name, row in answer.operations.items() if row.throttled and name not in (START, *NO_CALLS)]


def bind_first(answer: Capacity) -> list[str]:
    """The operation that binds first, and those that may as well, by their intervals."""
    first = answer.operations.get(answer.binds_first or "")
    if answer.binds_first is None or first is None:
        return []
    at = first.binds_at_chats_per_s
    if at is None or at.high is None:
        return [answer.binds_first]
    alike = [
        name
        for name, row in answer.operations.items()
        if name != answer.binds_first
        and row.binds_at_chats_per_s is not None
        and row.binds_at_chats_per_s.low is not None
        and row.binds_at_chats_per_s.low <= at.high
    ]
    return [answer.binds_first, *alike]


class Survey:
    """Calls by operation and second, each operation's first throttle, and the attempts of some chats."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._by_second = BySecond(32)
        self._throttled: dict[str, float] = {}
        self._chats: dict[str, list[tuple[float, str, str]]] = {}
        self._one_in = 1

    def add(self, batch: Batch) -> None:
        """Count a batch; an operation beyond the 32nd has no limit."""
        names = batch.words["operation"]
        for name in names:
            if len(self._numbers) < 32:
                self._numbers.setdefault(name, len(self._numbers))
        sent = batch.times["sent"]
        numbers = np.array([self._numbers.get(name, -1) for name in names])[batch.codes["operation"]]
        placed = np.isfinite(sent) & (numbers >= 0)
        self._by_second.add(Seconds.of(sent[placed]), numbers[placed])
        refused = np.array([word == TPS for word in batch.words["outcome"]])[batch.codes["outcome"]] & placed
        for name, number in self._numbers.items():
            moments = sent[refused & (numbers == number)]
            if len(moments):
                self._throttled[name] = min(self._throttled.get(name, np.inf), float(moments.min()))
        self._keep_chats(batch)

    def _keep_chats(self, batch: Batch) -> None:
        words = batch.words["contact_id"]
        kept = np.array([bool(word) and crc32(word.encode()) % self._one_in == 0 for word in words], dtype=bool)
        operations, outcomes = batch.words["operation"], batch.words["outcome"]
        for row in np.flatnonzero(kept[batch.codes["contact_id"]]):
            operation = operations[batch.codes["operation"][row]]
            if operation not in NO_CALLS:
                entry = (float(batch.times["sent"][row]), operation, outcomes[batch.codes["outcome"][row]])
                self._chats.setdefault(words[batch.codes["contact_id"][row]], []).append(entry)
        while len(self._chats) > MOST_CHATS:  # which chats stay depends on their ids alone, not on the files' order
            self._one_in *= 2
            self._chats = {name: rows for name, rows in self._chats.items() if crc32(name.encode()) % self._one_in == 0}

    def spans(self, names: list[str]) -> dict[str, tuple[float, float]]:
        """The seconds (unix) to read for the limit of each operation."""
        spans = {}
        first, last = self._by_second.origin, self._by_second.origin + len(self._by_second.counts) - 1
        for name in names:
            if name in self._numbers:
                counts = self._by_second.trimmed(first, last)[:, self._numbers[name]]
                refused = self._throttled.get(name)
                begin, end = stretch(counts, None if refused is None else int(refused) - first, MOST_CALLS)
                spans[name] = (float(first + begin), float(first + end))
        return spans

    def calls_per_chat(self) -> dict[str, float]:
        """Mean calls of each operation by a chat that nothing hindered."""
        cost = JourneyCost()
        for contact, rows in self._chats.items():
            for _, operation, outcome in sorted(rows):
                if operation not in HARNESS_CALLS:
                    cost.add(contact, operation, outcome)
                if operation == STOP or (operation == DISCONNECT and outcome == OK):
                    cost.ended(contact, by_customer=operation == DISCONNECT)
        return cost.calls_per_chat()


def _read(
    samples: Samples, spans: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], list[str]]]:
    """Sent, received and outcome of each operation's attempts within its span."""
    parts: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.object_]]]] = {}
    whole = (min(span[0] for span in spans.values()), max(span[1] for span in spans.values()))
    for part in samples.read(_COLUMNS, whole):
        if not isinstance(part, Batch):
            continue
        words = np.array(part.words["outcome"], dtype=object)
        known = np.array([word in _JUDGED for word in words])[part.codes["outcome"]]
        sent, received = part.times["sent"], part.times["received"]
        for code, name in enumerate(part.words["operation"]):
            if name in spans:
                begin, end = spans[name]
                chosen = known & (part.codes["operation"] == code) & (sent >= begin) & (sent < end)
                rows = (sent[chosen], received[chosen], words[part.codes["outcome"][chosen]])
                parts.setdefault(name, []).append(rows)
    return {
        name: (
            np.concatenate([one[0] for one in found]),
            np.concatenate([one[1] for one in found]),
            [str(word) for one in found for word in one[2]],
        )
        for name, found in parts.items()
    }
