"""Says what `QuotaProbe --probe journey` found of the participants' operations: limits, shared buckets, what binds first."""

from dataclasses import dataclass

from harness.counting import counted
from harness.recording.format.journey_probe import JourneyProbe, OperationLimit, SharedBucket
from reports.capacity.model import Interval
from reports.wording.numbers import interval, number

_ONE, _TWO = "yes", "no"


@dataclass(frozen=True)
class JourneyProbeSection:
    """A sentence for what binds first, rows of (operation, rate, burst, calls a chat), and what is shared."""

    sentence: str
    rows: list[tuple[str, str, str, str]]
    shared: list[str]


def journey_probe(found: JourneyProbe | None) -> JourneyProbeSection | None:
    """Return the section; None where the run did not probe the journey."""
    if found is None or not found.operations:
        return None
    rows = [
        (name, _bounds(limit, "rate"), _bounds(limit, "burst"), _calls(found.calls_per_chat.get(name)))
        for name, limit in found.operations.items()
    ]
    first = found.binds_first
    sentence = (
        f"{first.operation} binds first, at {counted(number(first.chats_per_s), 'chat')} a second of this workload's "
        "journey."
        if first is not None
        else "Which operation binds first is not known: not every limit was found."
    )
    shared = [_shared("SendMessage and SendEvent", found.messages_and_events_share)]
    shared += [_more_chats(name, answer) for name, answer in found.chats_share.items()]
    return JourneyProbeSection(sentence, rows, [text for text in shared if text])


def _bounds(limit: OperationLimit, what: str) -> str:
    found = limit.rate if what == "rate" else limit.burst
    if limit.verdict != "explained":
        return limit.sentence if what == "rate" and limit.sentence else "not found"
    return interval(Interval(found.estimate, found.low, found.high), "/s" if what == "rate" else "")


def _calls(calls: float | None) -> str:
    return "" if calls is None else number(calls)


def _shared(what: str, answer: SharedBucket) -> str:
    calls = f"of {counted(answer.calls, 'call')} of one"
    counts = f"{counted(answer.admitted, f'{calls} was', f'{calls} were')} admitted after the other had drained it"
    if answer.one_bucket == _ONE:
        return f"{what} share one bucket: {counts}."
    if answer.one_bucket == _TWO:
        return f"{what} have a bucket each: {counts}."
    return f"Whether {what} share one bucket is not clear: {counts}." if answer.calls else ""


def _more_chats(name: str, answer: SharedBucket) -> str:
    if answer.one_bucket == _ONE:
        return f"{name}: a second chat brings no more calls."
    if answer.one_bucket == _TWO:
        return f"{name}: each chat has calls of its own."
    return ""
