"""What one process did during a run: typed, checked where it comes in from another process, and added up here alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from harness.quotas.stages import Stage
from harness.recording.format.journey_probe import JourneyProbe
from harness.recording.format.layout import WORKER_PATTERN
from harness.recording.format.manifest import Chats, Count, Number
from harness.recording.validity import BINS, LatenessHistogram

WorkerName = Annotated[str, Meta(pattern=WORKER_PATTERN)]
"""A worker's name becomes the name of files: see `harness.recording.format.layout.is_worker_name`."""
Label = Annotated[str, Meta(max_length=300)]
Text = Annotated[str, Meta(max_length=20_000)]
Second = Annotated[int, Meta(ge=0, le=10**12)]
Bin = Annotated[int, Meta(ge=0, le=BINS)]

_Key = TypeVar("_Key")


class OutcomeCount(Struct, frozen=True, array_like=True):
    """How often an operation had an outcome."""

    operation: Label
    outcome: Label
    count: Count


class ErrorText(Struct, frozen=True):
    """A distinct answer that was not a success: how often it came, and first at `first_at` (unix seconds)."""

    operation: Label
    outcome: Label
    status: int
    error_code: Label | None
    message: Text
    count: Count
    first_at: Number


class Cpu(Struct, frozen=True):
    """The CPU of the loop that sends the calls: `busy` of `seconds`, and the highest percentage of a core over a window."""

    busy: Number = 0.0
    seconds: Number = 0.0
    max: Number = 0.0


class SdkTally(Struct, frozen=True):
    """What `--sdk-retries` did in one process. `span` is the first call's begin and the last one's end (unix seconds),
    `latency` and `added` are histograms of started calls by lateness bin.
    """

    mode: Label
    calls: Count = 0
    span: tuple[Number, Number] | None = None
    attempts_by_call: dict[Count, Count] = {}
    gave_up: dict[Label, Count] = {}
    retry_quota_reached: Count = 0
    latency: dict[Bin, Count] = {}
    added: dict[Bin, Count] = {}


class Summary(Struct, frozen=True, kw_only=True):
    """What a process, or several together, did. Counts are arrivals unless their names say otherwise.

    `dropped_by_second` counts by unix second, `offering_seconds` is how long load was offered, `lateness` a histogram of
    StartChatContact by bin. `samples` were recorded, `samples_lost` could not be. `troubles` are sentences that make the run
    invalid, `chat_ends` the reasons for which chats ended that somebody else ended, `stages` those of the probe and
    `progress` what it is about to do and knows so far. `last_at` is the time of the last answer (unix seconds), known of
    recovered processes.
    """

    worker: WorkerName
    offered: Count = 0
    sent: Count = 0
    dropped: Count = 0
    dropped_late: Count = 0
    withheld: Count = 0
    dropped_by_second: dict[Second, Count] = {}
    offering_seconds: Number = 0.0
    outcomes: Annotated[tuple[OutcomeCount, ...], Meta(max_length=1000)] = ()
    answers: Annotated[tuple[ErrorText, ...], Meta(max_length=1000)] = ()
    lateness: dict[Bin, Count] = {}
    cpu: Cpu = Cpu()
    samples: Count = 0
    samples_lost: Count = 0
    troubles: Annotated[tuple[Text, ...], Meta(max_length=100)] = ()
    chats: Chats = Chats()
    chat_ends: dict[Label, Count] = {}
    sdk_retries: tuple[SdkTally, ...] = ()
    stages: Annotated[tuple[Stage, ...], Meta(max_length=10_000)] = ()
    journey_probe: JourneyProbe | None = None
    last_at: Number = 0.0
    progress: Text = ""

    def outcomes_of(self, operation: str) -> dict[str, int]:
        """Return the counts of one operation by outcome."""
        return {each.outcome: each.count for each in self.outcomes if each.operation == operation}


def add_up(parts: Iterable[Summary], worker: str = "all") -> Summary:
    """Return what `parts` did together, under the name `worker`; nothing at all for no parts."""
    parts = list(parts)
    lateness = LatenessHistogram()
    for part in parts:
        lateness.merge(part.lateness)
    outcomes = _total({(each.operation, each.outcome): each.count for each in part.outcomes} for part in parts)
    return Summary(
        worker=worker,
        offered=sum(part.offered for part in parts),
        sent=sum(part.sent for part in parts),
        dropped=sum(part.dropped for part in parts),
        dropped_late=sum(part.dropped_late for part in parts),
        withheld=sum(part.withheld for part in parts),
        dropped_by_second=_total(part.dropped_by_second for part in parts),
        offering_seconds=max((part.offering_seconds for part in parts), default=0.0),
        outcomes=tuple(OutcomeCount(*key, count) for key, count in outcomes.items()),
        answers=_add_error_texts(parts),
        lateness=lateness.counts(),
        cpu=Cpu(
            sum(part.cpu.busy for part in parts),
            sum(part.cpu.seconds for part in parts),
            max((part.cpu.max for part in parts), default=0.0),
        ),
        samples=sum(part.samples for part in parts),
        samples_lost=sum(part.samples_lost for part in parts),
        troubles=tuple(dict.fromkeys(trouble for part in parts for trouble in part.troubles)),
        chats=add_chats(part.chats for part in parts),
        chat_ends=_total(part.chat_ends for part in parts),
        sdk_retries=tuple(tally for part in parts for tally in part.sdk_retries),
        stages=tuple(stage for part in parts for stage in part.stages),
        journey_probe=next((part.journey_probe for part in parts if part.journey_probe is not None), None),
        last_at=max((part.last_at for part in parts), default=0.0),
        progress=next((part.progress for part in parts if part.progress), ""),
    )


def add_chats(parts: Iterable[Chats]) -> Chats:
    """Return what became of the chats of all parts."""
    return Chats(**_total(msgspec.structs.asdict(part) for part in parts))


def _total(counts: Iterable[Mapping[_Key, int]]) -> dict[_Key, int]:
    total: Counter[_Key] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _add_error_texts(parts: Iterable[Summary]) -> tuple[ErrorText, ...]:
    """Return the error texts of all parts, the most frequent first."""
    merged: dict[tuple[object, ...], ErrorText] = {}
    for text in (text for part in parts for text in part.answers):
        key = (text.operation, text.outcome, text.status, text.error_code, text.message)
        known = merged.get(key)
        merged[key] = (
            text
            if known is None
            else msgspec.structs.replace(
                known, count=known.count + text.count, first_at=min(known.first_at, text.first_at)
            )
        )
    return tuple(sorted(merged.values(), key=lambda text: -text.count))
