"""Folds a run's samples into aggregates whose size depends on the run's length in seconds, not on its samples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reports.histogram import Histograms, bins_of
from reports.samples import Batch, Damage
from reports.vocabulary import DISCONNECT, OK, OUTCOMES, SIZE_BANDS, START, STARTED, STOP, UNKNOWN

LONGEST_RUN = 8 * 86_400
"""Rows further than this (s) from the record's first row cannot be placed on the time axis and are named as such."""

_MOST_WORDS = 32  # distinct operations, content types and kinds that are told apart
_OTHER = "(other)"
_CODES = {outcome: code for code, outcome in enumerate((*OUTCOMES, UNKNOWN))}
_OUTCOMES = len(_CODES)
_BAND_EDGES = np.array([edge for edge, _ in SIZE_BANDS])


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


class BySecond:
    """Counts for each second of a run and each of `series` series. Row 0 is second `origin` (unix)."""

    def __init__(self, series: int) -> None:
        self.origin = 0
        self.counts = np.zeros((0, series), dtype=np.int64)

    def add(self, seconds: NDArray[np.int64], series: NDArray[np.int64]) -> None:
        """Count one event in each of `seconds` (unix) for the series of the same index."""
        if len(seconds) == 0:
            return
        first, last = int(seconds.min()), int(seconds.max())
        self.cover(first, last)
        width = self.counts.shape[1]
        flat = np.bincount((seconds - first) * width + series, minlength=(last - first + 1) * width)
        self.counts[first - self.origin : last - self.origin + 1] += flat.reshape(-1, width)

    def cover(self, first: int, last: int) -> None:
        """Make room for the unix seconds from `first` to `last`, both included."""
        size, width = self.counts.shape
        if size == 0:
            self.origin, self.counts = first, np.zeros((last - first + 1, width), dtype=np.int64)
            return
        before, after = max(0, self.origin - first), max(0, last - (self.origin + size - 1))
        if before or after:
            grow_by = max(after, size // 2) if after else 0  # so that a long run is not copied each second
            self.counts = np.pad(self.counts, ((before, grow_by), (0, 0)))
            self.origin -= before

    def trimmed(self, first: int, last: int) -> NDArray[np.int64]:
        """The counts of the unix seconds from `first` to `last`, both included; zero where nothing was counted."""
        self.cover(first, last)
        return self.counts[first - self.origin : last - self.origin + 1]


@dataclass
class Aggregates:
    """Everything that a report shows of the samples.

    `outcomes[operation, outcome]` counts rows. Of StartChatContact: `by_sent` counts each outcome by the second in
    which the call was sent, `offered` all calls by the second in which they were due; `first_sent` and `last_sent`
    (unix s, NaN for none) bound each outcome's calls. `changes` counts chats that started (0) and ended (1) by the
    second of the answer. Latencies in seconds: `from_sent` and `from_scheduled` by pair (operation, outcome),
    `lateness` is sent - scheduled, `started_by_type` and `started_by_band` are from sent, of started chats.
    """

    operations: Words = field(default_factory=Words)
    types: Words = field(default_factory=Words)
    kinds: Words = field(default_factory=Words)
    rows: int = 0
    unplaced: int = 0
    outcomes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _OUTCOMES), dtype=np.int64))
    by_sent: BySecond = field(default_factory=lambda: BySecond(_OUTCOMES))
    offered: BySecond = field(default_factory=lambda: BySecond(1))
    changes: BySecond = field(default_factory=lambda: BySecond(2))
    late_by_second: dict[int, float] = field(default_factory=dict)
    first_sent: NDArray[np.float64] = field(default_factory=lambda: np.full(_OUTCOMES, np.nan))
    last_sent: NDArray[np.float64] = field(default_factory=lambda: np.full(_OUTCOMES, np.nan))
    first: float = float("nan")
    last: float = float("nan")
    by_type: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _OUTCOMES), dtype=np.int64))
    by_kind: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_MOST_WORDS, _OUTCOMES), dtype=np.int64))
    by_band: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(SIZE_BANDS), _OUTCOMES), dtype=np.int64))
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    from_sent: Histograms = field(default_factory=lambda: Histograms(_MOST_WORDS * 2))
    from_scheduled: Histograms = field(default_factory=lambda: Histograms(_MOST_WORDS * 2))
    lateness: Histograms = field(default_factory=lambda: Histograms(1))
    started_by_type: Histograms = field(default_factory=lambda: Histograms(_MOST_WORDS))
    started_by_band: Histograms = field(default_factory=lambda: Histograms(len(SIZE_BANDS)))
    damage: list[str] = field(default_factory=list)

    def count(self, operation: str, outcome: str) -> int:
        """How many rows have this operation and outcome."""
        number = self.operations.numbers.get(operation)
        return 0 if number is None else int(self.outcomes[number, _CODES[outcome]])

    def starts(self) -> dict[str, int]:
        """The count of each outcome of StartChatContact that occurred."""
        return {outcome: count for outcome in _CODES if (count := self.count(START, outcome))}

    def first_of(self, outcome: str) -> float | None:
        """When (unix s) the first StartChatContact of this outcome was sent; None if there is none."""
        value = float(self.first_sent[_CODES[outcome]])
        return None if np.isnan(value) else value

    def series(self, outcome: str) -> int:
        """The column of `by_sent` and the like that holds `outcome`."""
        return _CODES[outcome]


def fold(parts: Iterable[Batch | Damage], progress: Callable[[int], None] = lambda rows: None) -> Aggregates:
    """Fold all batches; `progress` is told the number of rows after each of them."""
    total = Aggregates()
    for part in parts:
        if isinstance(part, Damage):
            total.damage.append(part.text)
        elif len(part):
            _add(total, part)
            progress(len(part))
    return total


def _add(total: Aggregates, batch: Batch) -> None:
    total.rows += len(batch)
    scheduled, sent, received = (batch.times[name] for name in ("scheduled", "sent", "received"))
    outcome = _outcome_codes(batch.words["outcome"])[batch.codes["outcome"]]
    operation = total.operations.codes(batch.words["operation"])[batch.codes["operation"]]
    total.outcomes += np.bincount(operation * _OUTCOMES + outcome, minlength=total.outcomes.size).reshape(-1, _OUTCOMES)

    placed = _placed(total, scheduled, sent, received)
    if not placed.all():
        total.unplaced += int(len(batch) - placed.sum())
        scheduled, sent, received = scheduled[placed], sent[placed], received[placed]
        outcome, operation = outcome[placed], operation[placed]
        if len(sent) == 0:
            return
    total.first = float(np.fmin(total.first, min(scheduled.min(), sent.min())))
    total.last = float(np.fmax(total.last, received.max()))

    bins = bins_of(received - sent)
    pair = _pair_codes(total, operation * _OUTCOMES + outcome)
    total.from_sent.add(pair, bins)
    total.from_scheduled.add(pair, bins_of(received - scheduled))
    is_start = operation == total.operations.numbers.get(START, -1)
    _add_ends(total, operation, outcome, received)
    _add_starts(total, batch, placed, is_start, (scheduled, sent, received), outcome, bins)


def _placed(total: Aggregates, *times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows have three usable times, near the record's other rows."""
    usable = np.isfinite(times[0]) & np.isfinite(times[1]) & np.isfinite(times[2])
    anchor = total.first
    if np.isnan(anchor):
        plausible = usable & (np.abs(times[1]) < 2**40)
        if not plausible.any():
            return plausible
        anchor = float(np.median(times[1][plausible]))
    for column in times:
        with np.errstate(invalid="ignore", over="ignore"):
            usable &= np.abs(column - anchor) < LONGEST_RUN
    return usable


def _outcome_codes(words: list[str]) -> NDArray[np.int64]:
    return np.array([_CODES.get(word, _CODES[UNKNOWN]) for word in words], dtype=np.int64)


def _pair_codes(total: Aggregates, dense: NDArray[np.int64]) -> NDArray[np.int64]:
    """A small number for each row's (operation, outcome); beyond 63 pairs the rest share the last one."""
    names, outcomes = list(total.operations.numbers), list(_CODES)
    table = np.zeros(_MOST_WORDS * _OUTCOMES, dtype=np.int64)
    for code in np.flatnonzero(np.bincount(dense, minlength=len(table))):
        pair = (names[code // _OUTCOMES], outcomes[code % _OUTCOMES])
        if pair not in total.pairs and len(total.pairs) >= _MOST_WORDS * 2 - 1:
            pair = (_OTHER, _OTHER)
        table[code] = total.pairs.setdefault(pair, len(total.pairs))
    return table[dense]


def _add_ends(
    total: Aggregates, operation: NDArray[np.int64], outcome: NDArray[np.int64], received: NDArray[np.float64]
) -> None:
    """Count chats that ended: a StopContact that worked or found the chat gone, or the customer's own disconnect."""
    stop, leave = (total.operations.numbers.get(name, -1) for name in (STOP, DISCONNECT))
    ended = (operation == stop) & ((outcome == _CODES[OK]) | (outcome == _CODES["not_found"]))
    ended |= (operation == leave) & (outcome == _CODES[OK])
    seconds = np.floor(received[ended]).astype(np.int64)
    total.changes.add(seconds, np.ones(len(seconds), dtype=np.int64))


def _add_starts(
    total: Aggregates,
    batch: Batch,
    placed: NDArray[np.bool_],
    is_start: NDArray[np.bool_],
    times: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    outcome: NDArray[np.int64],
    bins: NDArray[np.int64],
) -> None:
    if not is_start.any():
        return
    scheduled, sent, received = (column[is_start] for column in times)
    outcome, bins = outcome[is_start], bins[is_start]
    zeros = np.zeros(len(sent), dtype=np.int64)
    total.offered.add(np.floor(scheduled).astype(np.int64), zeros)
    seconds = np.floor(sent).astype(np.int64)
    total.by_sent.add(seconds, outcome)
    total.lateness.add(zeros, bins_of(sent - scheduled))
    _note_latest(total, seconds, sent - scheduled)
    for code in np.flatnonzero(np.bincount(outcome, minlength=_OUTCOMES)):
        of_outcome = sent[outcome == code]
        total.first_sent[code] = np.fmin(total.first_sent[code], of_outcome.min())
        total.last_sent[code] = np.fmax(total.last_sent[code], of_outcome.max())

    def chosen(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values[placed][is_start]

    kind_words, type_words = total.kinds.codes(batch.words["kind"]), total.types.codes(batch.words["content_types"])
    kind, types = chosen(kind_words[batch.codes["kind"]]), chosen(type_words[batch.codes["content_types"]])
    band = chosen(np.searchsorted(_BAND_EDGES, np.maximum(batch.counts["attribute_bytes"], 0), side="right") - 1)
    for table, category in ((total.by_kind, kind), (total.by_type, types), (total.by_band, band)):
        table += np.bincount(category * _OUTCOMES + outcome, minlength=table.size).reshape(-1, _OUTCOMES)
    started = outcome == _CODES[STARTED]
    total.started_by_type.add(types[started], bins[started])
    total.started_by_band.add(band[started], bins[started])
    answered = np.floor(received[started]).astype(np.int64)
    total.changes.add(answered, np.zeros(len(answered), dtype=np.int64))


def _note_latest(total: Aggregates, seconds: NDArray[np.int64], lateness: NDArray[np.float64]) -> None:
    """Keep each second's largest lateness (s)."""
    first = int(seconds.min())
    latest = np.full(int(seconds.max()) - first + 1, -np.inf)
    np.maximum.at(latest, seconds - first, lateness)
    for offset in np.flatnonzero(np.isfinite(latest)):
        second = first + int(offset)
        total.late_by_second[second] = max(total.late_by_second.get(second, -np.inf), float(latest[offset]))
