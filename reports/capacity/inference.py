"""Chooses the part of a record that the inference reads, so that any number of samples costs a bounded time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.counting import counted
from harness.quotas.active_chats import COUNTED_WITHIN, infer_active_chats
from harness.quotas.any_limiter.estimates import AnyLimiterEstimate
from harness.quotas.any_limiter.measure import measure_capacity
from harness.quotas.attempts import Attempts
from harness.quotas.estimates import ActiveChatsEstimate, Interval, TpsEstimate
from harness.quotas.tps.infer import infer_tps
from harness.vocabulary import NOT_FOUND, ends_chat
from reports.capacity.customers import Customers
from reports.capacity.excerpt import stretch
from reports.capacity.journey import Journey, infer_journey
from reports.run.fold import BEGUN, ENDED, FOUND_GONE, Aggregates
from reports.run.rundir import Run
from reports.run.samples import Batch, Samples
from reports.run.told_ends import ToldEnd
from reports.wording.vocabulary import OK, QUOTA, START, START_OUTCOMES, STARTED, STOP, TPS

MOST_ATTEMPTS = 8_000
"""The inference reads at most about this many attempts; a longer record is read around the first refusals."""

MOST_FOR_ANY_LIMITER = 20_000
"""What holds for any limiter is measured on at most about this many attempts, around the first throttle."""

MOST_OF_A_PROBE = 200_000
"""So many attempts of a probe are read at most: each part of it tells something else, and it concluded from all."""

_COLUMNS = ("operation", "outcome", "scheduled", "sent", "received")


@dataclass(frozen=True)
class Excerpt:
    """The attempts of a span (unix s) of the run, and the ends of chats in it.

    `ends` are unix seconds, one for each chat, and `ends_sent` when each was asked for (not-a-number: by somebody else);
    `already_ended` counts chats that our StopContact found gone;
    `open_before` counts the chats that were open when the span began, or whose start was on its way.
    """

    span: tuple[float, float]
    attempts: Attempts
    ends: NDArray[np.float64]
    ends_sent: NDArray[np.float64]
    already_ended: int
    open_before: int


@dataclass(frozen=True)
class Inference:
    """What the inference says of a run, and on how much of the record."""

    tps: TpsEstimate
    active_chats: ActiveChatsEstimate
    tps_excerpt: Excerpt
    chats_excerpt: Excerpt
    journey: Journey
    any_limiter: AnyLimiterEstimate | None = None
    any_limiter_attempts: int = 0


def infer(
    run: Run, samples: Samples, total: Aggregates, customers: Customers, told: Mapping[str, ToldEnd]
) -> Inference:
    """Infer the limits from the run's samples; no number is given for a record that lacks some of them.

    `customers` were gathered as the samples were read. `told` are the ends of chats that somebody else ended, where the
    service said when.
    """
    most = MOST_OF_A_PROBE if run.stages else MOST_ATTEMPTS
    chats_excerpt = read_excerpt(samples, total, span_around(total, QUOTA, most), told)
    tps_span = span_around(total, TPS, most)
    tps_excerpt = chats_excerpt if tps_span == chats_excerpt.span else read_excerpt(samples, total, tps_span)
    chats = with_open_chats(chats_excerpt)
    if why := missing_rows(run, total):
        evidence = {"sentence": f"{why}, and a limit cannot be told from a part of the decisions."}
        unknown = Interval()
        tps = TpsEstimate(unknown, unknown, "unknown", "not_explained", evidence)
        none = ActiveChatsEstimate(unknown, "not_explained", evidence)
        return Inference(tps, none, tps_excerpt, chats_excerpt, Journey())
    tps = infer_tps(tps_excerpt.attempts)
    longer = _for_any_limiter(samples, total, tps_excerpt, max(most, MOST_FOR_ANY_LIMITER))
    return Inference(
        tps,
        infer_active_chats(
            chats,
            chats_excerpt.ends,
            ends_sent=chats_excerpt.ends_sent,
            already_ended=chats_excerpt.already_ended,
        ),
        tps_excerpt,
        chats_excerpt,
        infer_journey(samples, total, customers.survey, tps, len(tps_excerpt.attempts)),
        None if longer is None else measure_capacity(longer, tps, run.stages),
        0 if longer is None else len(longer),
    )


def _for_any_limiter(samples: Samples, total: Aggregates, excerpt: Excerpt, most: int) -> Attempts | None:
    """The attempts that say what holds for any limiter, about `most`; None where no call was throttled."""
    if total.first_of(TPS) is None:
        return None
    span = span_around(total, TPS, most)
    return excerpt.attempts if span == excerpt.span else read_excerpt(samples, total, span).attempts


def missing_rows(run: Run, total: Aggregates) -> str | None:
    """Why the record cannot be whole, or None. The cut-off end of a killed run's journal is not a hole in it."""
    if total.holes:
        return "Files of samples/ are damaged"
    recorded, lost = (run.manifest.generator.samples_recorded, run.manifest.generator.samples_lost)
    if run.tells("generator", "samples_recorded") and recorded != total.rows:
        return f"samples/ holds {counted(total.rows, 'row')} where {counted(recorded, 'was', 'were')} recorded"
    return f"{counted(lost, 'sample was', 'samples were')} lost" if lost else None


def span_around(total: Aggregates, refusal: str, most: int) -> tuple[float, float]:
    """The seconds to read for the limit behind `refusal`: the whole run if it has no more than `most` attempts."""
    if np.isnan(total.first):
        return (0.0, 0.0)
    first, last = int(np.floor(total.first)), int(np.floor(total.last))
    by_second = total.by_sent.trimmed(first, last)[:, : len(START_OUTCOMES)].sum(axis=1)
    refused = total.first_of(refusal)
    pivot = None if refused is None else int(np.floor(refused)) - first
    begin, end = stretch(by_second, pivot, most)
    if (
        refusal == QUOTA and pivot is not None
    ):  # which chats were counted when it was met is only seen of a while before
        begin = max(0, min(begin, pivot - math.ceil(COUNTED_WITHIN) - 1))
    return (float(first + begin), float(first + end))


def read_excerpt(
    samples: Samples, total: Aggregates, span: tuple[float, float], told: Mapping[str, ToldEnd] | None = None
) -> Excerpt:
    """Read the attempts that were sent, and the ends that were answered, within `span`, and the ends that were told.

    Without `told` no ends are read: they need the chats' ids, which take most of the time.
    """
    sent: list[NDArray[np.float64]] = []
    received: list[NDArray[np.float64]] = []
    codes: list[NDArray[np.int64]] = []
    ends: _Ends = {}
    gone: set[str] = set()
    on_the_way = 0
    columns = _COLUMNS if told is None else (*_COLUMNS, "contact_id")
    parts = samples.read(columns, span) if span[1] > span[0] else iter(())
    for part in parts:
        if not isinstance(part, Batch):
            continue
        operation = np.array(part.words["operation"], dtype=object)[part.codes["operation"]]
        chosen = (operation == START) & (part.times["sent"] >= span[0]) & (part.times["sent"] < span[1])
        known = np.array(
            [START_OUTCOMES.index(word) if word in START_OUTCOMES else -1 for word in part.words["outcome"]]
        )
        outcome = known[part.codes["outcome"]]
        on_the_way += int(
            np.count_nonzero(
                (operation == START)
                & (outcome == START_OUTCOMES.index(STARTED))
                & (part.times["sent"] < span[0])
                & (part.times["received"] >= span[0])
            )
        )
        chosen &= outcome >= 0
        sent.append(part.times["sent"][chosen])
        received.append(part.times["received"][chosen])
        codes.append(outcome[chosen])
        if told is not None:
            _collect_ends(part, operation, span, ends, gone)
    for contact, end in (told or {}).items():
        if span[0] <= end.at < span[1]:
            ends.setdefault(contact, (end.at, np.nan))
        elif end.at < span[0]:
            gone.discard(contact)
    first = int(np.floor(total.first)) if not np.isnan(total.first) else 0
    changes = total.changes.trimmed(first, max(first, int(span[0]) - 1)) if span[0] > first else np.zeros((0, 3))
    ended = np.array(sorted(ends.values()), dtype=np.float64).reshape(-1, 2)
    return Excerpt(
        span,
        Attempts.of(_joined(sent), _joined(received), _joined(codes).astype(np.int8)),
        ended[:, 0],
        ended[:, 1],
        len(gone - ends.keys()),
        max(0, on_the_way + int(changes[:, BEGUN].sum() - changes[:, ENDED].sum() - changes[:, FOUND_GONE].sum())),
    )


_Ends = dict[str, tuple[float, float]]
"""By chat: when its end was answered, and when it was asked for."""


def _collect_ends(
    part: Batch,
    operation: NDArray[np.object_],
    span: tuple[float, float],
    ends: _Ends,
    gone: set[str],
) -> None:
    sent, received = part.times["sent"], part.times["received"]
    inside = (received >= span[0]) & (received < span[1])
    outcome = np.array(part.words["outcome"], dtype=object)[part.codes["outcome"]]
    words, contact = part.words["contact_id"], part.codes["contact_id"]
    found_gone = inside & (operation == STOP) & (outcome == NOT_FOUND)
    for row in np.flatnonzero(found_gone):
        gone.add(words[contact[row]] or f"row {len(gone)}")
    ending = [name for name in part.words["operation"] if ends_chat(name, OK)]
    for row in np.flatnonzero(inside & np.isin(operation, ending) & (outcome == OK)):
        name = words[contact[row]] or f"row {len(ends)}"
        ends[name] = min(ends.get(name, (np.inf, np.inf)), (float(received[row]), float(sent[row])))


def with_open_chats(excerpt: Excerpt) -> Attempts:
    """The excerpt's attempts, with the chats that were open before it as starts at its first moment."""
    if not excerpt.open_before or not len(excerpt.attempts):
        return excerpt.attempts
    at = np.full(excerpt.open_before, excerpt.span[0])
    code = np.full(excerpt.open_before, START_OUTCOMES.index(STARTED), dtype=np.int8)
    attempts = excerpt.attempts
    return Attempts(
        np.concatenate((at, attempts.sent)),
        np.concatenate((at, attempts.received)),
        np.concatenate((code, attempts.outcome)),
    )


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0)
