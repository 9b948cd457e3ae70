"""Folds a run's samples into aggregates whose size depends on the run's length in seconds, not on its samples."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.vocabulary import ends_chat
from reports.run.by_second import LONGEST_RUN, MANY_CODES, BySecond, Seconds
from reports.run.histogram import Histograms, bins_of
from reports.run.over_time import LatencyOverTime
from reports.run.samples import FAR, TIMES, Batch, Codes, Damage
from reports.run.told_ends import ToldEnd
from reports.wording.vocabulary import OK, OUTCOMES, SIZE_BANDS, START, STARTED, UNKNOWN

BEGUN, ENDED, FOUND_GONE, UNCHANGED = range(4)
"""The columns of `changes`."""

_MOST_WORDS = 32  # distinct operations, content types and kinds that are told apart
_OTHER = "(other)"
_CODES = {outcome: code for code, outcome in enumerate((*OUTCOMES, UNKNOWN))}
_OUTCOMES = len(_CODES)
_NOT_A_START = _OUTCOMES
_SERIES = _OUTCOMES + 1
_MOST_PAIRS = 64
_BAND_OF = np.searchsorted([edge for edge, _ in SIZE_BANDS], np.arange(SIZE_BANDS[-1][0] + 1), side="right") - 1


TIMED = {(START, STARTED): 0, ("Greeting", OK): 1, ("Reply", OK): 2}
"""The pairs (operation, outcome) whose latency is also counted over time, with their groups there."""


class Words:
    """Numbers texts in order of appearance; beyond 32 distinct ones, the rest share the last number, "(other)"."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def codes(self, words: list[str]) -> NDArray[np.int64]:
        """The number of each word."""
        return np.array([self._number(word) for word in words], dtype=np.int64)

    def _number(self, word: str) -> int:
        if word not in self.numbers:
            if len(self.numbers) >= _MOST_WORDS - 1:
                word = _OTHER
            self.numbers.setdefault(word, len(self.numbers))
        return self.numbers[word]


@dataclass
class Aggregates:
    """Everything that a report shows of the samples.

    `outcomes[operation, outcome]` counts rows. Of StartChatContact: `by_sent` counts each outcome by the second in
    which the call was sent, `offered` all calls by the second in which they were due; `first_sent` (unix s, infinite for
    none) is when each outcome's first call was sent. `changes` counts chats that started (0), were ended (1) and were found
    to have ended (2) by the second of the answer. Latencies in seconds: `from_sent` and `from_scheduled` by pair
    (operation, outcome), `latency_over_time` (groups: `TIMED`) from when calls were due, by when they were sent;
    `lateness` is sent - scheduled; `started_by_type` and `started_by_band` are from sent, of started chats. The last column
    of `by_*`, `offered` and `changes`, and group 1 of `lateness`, hold the rows that are none of these.
    """

    operations: Words = field(default_factory=Words)
    types: Words = field(default_factory=Words)
    kinds: Words = field(default_factory=Words)
    rows: int = 0
    unplaced: int = 0
    outcomes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _OUTCOMES), dtype=np.int64))
    by_sent: BySecond = field(default_factory=lambda: BySecond(_SERIES))
    offered: BySecond = field(default_factory=lambda: BySecond(2))
    changes: BySecond = field(default_factory=lambda: BySecond(4))
    late_by_second: dict[int, float] = field(default_factory=dict)
    first_sent: NDArray[np.float64] = field(default_factory=lambda: np.full(_SERIES, np.inf))
    first: float = float("nan")
    last: float = float("nan")
    by_type: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _SERIES), dtype=np.int64))
    by_kind: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _SERIES), dtype=np.int64))
    by_band: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(SIZE_BANDS), _SERIES), dtype=np.int64))
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    from_sent: Histograms = field(default_factory=lambda: Histograms(_MOST_PAIRS))
    from_scheduled: Histograms = field(default_factory=lambda: Histograms(_MOST_PAIRS))
    lateness: Histograms = field(default_factory=lambda: Histograms(2))
    latency_over_time: LatencyOverTime = field(default_factory=lambda: LatencyOverTime(len(TIMED)))
    started_by_type: Histograms = field(default_factory=lambda: Histograms(_MOST_WORDS))
    started_by_band: Histograms = field(default_factory=lambda: Histograms(len(SIZE_BANDS)))
    damage: list[str] = field(default_factory=list)
    holes: bool = False

    def count(self, operation: str, outcome: str) -> int:
        """How many rows have this operation and outcome."""
        number = self.operations.numbers.get(operation)
        return 0 if number is None else int(self.outcomes[number, _CODES[outcome]])

    def starts(self) -> dict[str, int]:
        """The count of each outcome of StartChatContact that occurred."""
        return {outcome: count for outcome in _CODES if (count := self.count(START, outcome))}

    def counts_of(self, numbers: Mapping[str, int], counts: NDArray[np.int64]) -> dict[str, dict[str, int]]:
        """Return how often each category that occurred had each outcome that occurred; `counts` is one of the `by_*`."""
        rows = {
            name or "(not set)": counts[at, :_OUTCOMES] for name, at in numbers.items() if counts[at, :_OUTCOMES].any()
        }
        present = [(outcome, code) for outcome, code in _CODES.items() if any(row[code] for row in rows.values())]
        return {name: {outcome: int(row[code]) for outcome, code in present} for name, row in rows.items()}

    def first_of(self, outcome: str) -> float | None:
        """When (unix s) the first StartChatContact of this outcome was sent; None if there is none."""
        value = float(self.first_sent[_CODES[outcome]])
        return value if np.isfinite(value) else None

    def held(self, first: int, last: int) -> NDArray[np.int64]:
        """Return the chats that this run held at the end of each unix second from `first` to `last`, both included."""
        changes = self.changes.trimmed(first, last)
        return np.maximum(np.cumsum(changes[:, BEGUN] - changes[:, ENDED] - changes[:, FOUND_GONE]), 0)

    def started_over_time(self, *shares: float) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
        """Return quantiles (s) of the latency of started chats, (blocks, shares), not-a-number where a block has none; the
        second (unix) in which each block begins; and a block's length (s).
        """
        found = self.latency_over_time
        quantiles = found.quantiles(TIMED[START, STARTED], shares)
        return quantiles, (np.arange(len(quantiles)) + found.first) * found.width, found.width

    def series(self, outcome: str) -> int:
        """The column of `by_sent` and the like that holds `outcome`."""
        return _CODES[outcome]


def fold(
    parts: Iterable[Batch | Damage],
    progress: Callable[[int], None] = lambda rows: None,
    others: Sequence[Callable[[Batch], None]] = (),
) -> Aggregates:
    """Fold all batches; `others` see each too, and `progress` is told the number of rows after each of them."""
    total = Aggregates()
    _keep_freed_memory()
    for part in parts:
        if isinstance(part, Damage):
            total.damage.append(part.text)
            total.holes |= part.hole
        elif len(part):
            _add(total, part)
            for other in others:
                other(part)
            progress(len(part))
    return total


def _keep_freed_memory() -> None:
    """Have the C library keep what one batch frees for the next, rather than return it to the kernel, which clears it anew.

    glibc keeps blocks as large as the largest that was ever freed, up to 32 MiB (mallopt(3): its threshold is dynamic).
    Nothing is written into this one, so it takes no memory.
    """
    np.empty(31 << 20, np.uint8)


def place_ends(total: Aggregates, told: Mapping[str, ToldEnd]) -> None:
    """Count chats that somebody else ended as ended when they were, and no longer when StopContact found them gone."""
    if np.isnan(total.first):
        return
    first, last = int(np.floor(total.first)), int(np.floor(total.last))
    total.changes.cover(first - 1, last + 1)
    counts, origin = total.changes.counts, total.changes.origin
    for end in told.values():
        noticed = int(min(max(end.noticed, first), last))
        for second in (noticed, noticed - 1, noticed + 1):  # the ledger notes it a moment after the answer
            if counts[second - origin, FOUND_GONE]:
                counts[second - origin, FOUND_GONE] -= 1
                counts[int(min(max(end.at, first), last)) - origin, ENDED] += 1
                break


def _add(total: Aggregates, batch: Batch) -> None:
    total.rows += len(batch)
    code, roles = _pairs(total, batch)
    placed = _placed(total, batch.times)
    if placed is not None:
        total.unplaced += int(len(batch) - placed.sum())
        if not placed.any():
            return
        batch, code = batch.rows(placed), code[placed]
    scheduled, sent, received = (batch.times[name] for name in TIMES)
    total.first = float(np.fmin(total.first, min(scheduled.min(), sent.min())))
    total.last = float(np.fmax(total.last, received.max()))

    seconds, bins, from_due = Seconds.of(sent), bins_of(received - sent), bins_of(received - scheduled)
    total.from_sent.add(code, bins, roles.pair)
    total.from_scheduled.add(code, from_due, roles.pair)
    total.changes.add(Seconds.of(received), code, roles.change)
    started = _rows(code, roles.outcome == _CODES[STARTED])
    timed = roles.timed < len(TIMED)
    shown = started if (timed == (roles.outcome == _CODES[STARTED])).all() else _rows(code, timed)
    if len(shown):
        group, at = roles.timed.take(code.take(shown)), seconds.first + seconds.after.take(shown).astype(np.int64)
        total.latency_over_time.add(group, at, from_due.take(shown))
    _add_starts(total, batch, code, roles, seconds)
    _add_varieties(total, batch, code, roles, started, bins.take(started))


def _placed(total: Aggregates, times: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_] | None:
    """Which rows have three usable times, near the record's other rows; None if all have."""
    columns = [times[name] for name in TIMES]
    lowest = float(np.min([column.min() for column in columns]))  # numpy's min and max keep not-a-number
    highest = float(np.max([column.max() for column in columns]))
    anchor = lowest if np.isnan(total.first) else total.first
    if -FAR < anchor < FAR and anchor - LONGEST_RUN < lowest and highest < anchor + LONGEST_RUN:
        return None
    usable = np.isfinite(columns[0]) & np.isfinite(columns[1]) & np.isfinite(columns[2])
    if np.isnan(total.first):
        plausible = usable & (np.abs(columns[1]) < FAR)
        if not plausible.any():
            return plausible
        anchor = float(np.median(columns[1][plausible]))
    for column in columns:
        with np.errstate(invalid="ignore", over="ignore"):
            usable &= np.abs(column - anchor) < LONGEST_RUN
    return usable


def _pick(table: NDArray[np.int64], codes: Codes) -> NDArray[np.int64]:
    """`table[codes]`, at half of its cost: the codes are known to lie inside."""
    return table.take(codes, mode="clip")


def _coded(numbers: NDArray[np.int64], codes: Codes) -> tuple[NDArray[np.int64], Codes]:
    """What number each code stands for, and the codes: those of words, or where there are many words their numbers."""
    return (numbers, codes) if len(numbers) <= _MOST_WORDS else (np.arange(_MOST_WORDS), _pick(numbers, codes))


def _rows(code: Codes, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows whose code is a chosen one."""
    only = np.flatnonzero(chosen)
    return np.flatnonzero(code == only[0] if len(only) == 1 else chosen.take(code))


@dataclass(frozen=True)
class _Roles:
    """What the rows of a pair (operation, outcome) count as, by the code of the pair in a batch.

    `pair` is its latency histogram; `outcome` its outcome if it is a StartChatContact and `_NOT_A_START` otherwise;
    `change` is BEGUN for a chat that started, ENDED for one that was ended (a StopContact that worked, the customer's own
    disconnect), FOUND_GONE for one that StopContact found ended, UNCHANGED for none of these; `timed` its
    group in the latency over time, or `len(TIMED)` for none.
    """

    pair: NDArray[np.int64]
    outcome: NDArray[np.int64]
    change: NDArray[np.int64]
    timed: NDArray[np.int64]


def _pairs(total: Aggregates, batch: Batch) -> tuple[Codes, _Roles]:
    """Count the pairs (operation, outcome) of a batch; return the code of each row's pair, and what each code counts as.

    There are few codes, so that counting by them and putting the counts together costs less than a look at each row for each
    of its roles.
    """
    operations, operation = _coded(total.operations.codes(batch.words["operation"]), batch.codes["operation"])
    outcomes, outcome = _coded(_outcome_codes(batch.words["outcome"]), batch.codes["outcome"])
    code = operation * len(outcomes)
    code += outcome
    dense = np.repeat(operations, len(outcomes)) * _OUTCOMES + np.tile(outcomes, len(operations))
    counts = np.bincount(code, minlength=len(dense))
    np.add.at(total.outcomes.reshape(-1), dense, counts)
    if len(dense) <= MANY_CODES:
        return code, _roles(total, dense, counts > 0)
    present = np.flatnonzero(counts)
    narrow = np.zeros(len(dense), np.int32)
    narrow[present] = np.arange(len(present))
    return narrow.take(code), _roles(total, dense[present], counts[present] > 0)


def _roles(total: Aggregates, dense: NDArray[np.int64], present: NDArray[np.bool_]) -> _Roles:
    names, outcomes = list(total.operations.numbers), list(_CODES)
    roles = _Roles(*(np.full(len(dense), other, dtype=np.int64) for other in (0, _NOT_A_START, UNCHANGED, len(TIMED))))
    for code in np.argsort(dense, kind="stable"):
        if not present[code]:
            continue
        operation, outcome = names[dense[code] // _OUTCOMES], outcomes[dense[code] % _OUTCOMES]
        pair = (operation, outcome)
        if pair not in total.pairs and len(total.pairs) >= _MOST_PAIRS - 1:
            pair = (_OTHER, _OTHER)
        roles.timed[code] = TIMED.get(pair, len(TIMED))
        roles.pair[code] = total.pairs.setdefault(pair, len(total.pairs))
        if operation == START:
            roles.outcome[code] = _CODES[outcome]
            roles.change[code] = BEGUN if outcome == STARTED else UNCHANGED
        elif ends_chat(operation, outcome):
            roles.change[code] = ENDED if outcome == OK else FOUND_GONE
    return roles


def _outcome_codes(words: list[str]) -> NDArray[np.int64]:
    return np.array([_CODES.get(word, _CODES[UNKNOWN]) for word in words], dtype=np.int64)


def _add_starts(total: Aggregates, batch: Batch, code: Codes, roles: _Roles, seconds: Seconds) -> None:
    """Count when the StartChatContact rows were due and, in `seconds`, sent.

    The others stay in the arrays, for a column that nobody reads: counting them costs less than taking them out.
    """
    scheduled, sent = batch.times["scheduled"], batch.times["sent"]
    other = roles.outcome == _NOT_A_START
    total.offered.add(Seconds.of(scheduled), code, other.astype(np.int64))
    total.by_sent.add(seconds, code, roles.outcome)
    late = sent - scheduled
    total.lateness.add(code, bins_of(late), other.astype(np.int64))
    if other.any():
        late -= np.where(other, np.inf, 0.0).take(code)  # none that is not a start is the latest of its second
    _note_latest(total, seconds, late)
    first = total.first_sent.take(roles.outcome)
    if sent.min() < first.max():
        earlier = np.flatnonzero(sent < first.take(code))
        np.minimum.at(total.first_sent, roles.outcome.take(code.take(earlier)), sent.take(earlier))


def _add_varieties(
    total: Aggregates,
    batch: Batch,
    code: Codes,
    roles: _Roles,
    started: NDArray[np.int64],
    bins: NDArray[np.int64],
) -> None:
    """Count the outcomes of what was asked for, and the latency, in `bins`, of the chats that were `started`."""
    kinds, kind = _coded(total.kinds.codes(batch.words["kind"]), batch.codes["kind"])
    types, of_type = _coded(total.types.codes(batch.words["content_types"]), batch.codes["content_types"])
    bands, band = np.arange(len(SIZE_BANDS)), _BAND_OF.take(batch.counts["attribute_bytes"], mode="clip")
    shape = (len(roles.outcome), len(kinds), len(types), len(bands))
    key = code * len(kinds)
    for more, columns in ((kind, len(types)), (of_type, len(bands)), (band, 1)):
        key += more
        key *= columns
    counts = np.bincount(key, minlength=math.prod(shape)).reshape(shape)
    tables = ((total.by_kind, kinds, (2, 3)), (total.by_type, types, (1, 3)), (total.by_band, bands, (1, 2)))
    for table, numbers, others in tables:
        np.add.at(table, (numbers, roles.outcome[:, np.newaxis]), counts.sum(axis=others))
    total.started_by_type.add(of_type.take(started), bins, types)
    total.started_by_band.add(band.take(started), bins, bands)


def _note_latest(total: Aggregates, seconds: Seconds, lateness: NDArray[np.float64]) -> None:
    """Keep each second's largest lateness (s)."""
    latest = np.full(seconds.last - seconds.first + 1, -np.inf)
    after = seconds.after
    begins = np.concatenate(([0], np.flatnonzero(after[1:] != after[:-1]) + 1))  # of rows in a row of one second
    np.maximum.at(latest, after[begins], np.maximum.reduceat(lateness, begins))
    for offset in np.flatnonzero(np.isfinite(latest)):
        second = seconds.first + int(offset)
        total.late_by_second[second] = max(total.late_by_second.get(second, -np.inf), float(latest[offset]))
