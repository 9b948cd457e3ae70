"""The cards under the headline: each limit in one number and one note."""

from dataclasses import dataclass

from harness.counting import counted
from reports.capacity import sentences as words
from reports.capacity.journey import bind_first, others_throttled
from reports.capacity.model import Capacity, Interval, Tps
from reports.wording.numbers import (
    at_once,
    between,
    known,
    label,
    number,
    percent,
    rounded_down,
    seconds,
    spread,
    with_bounds,
)
from reports.wording.vocabulary import FIRST_LIMIT


@dataclass(frozen=True)
class Key:
    """One card: what it is about, its value, and a note."""

    name: str
    value: str
    note: str


def keys_of(answer: Capacity) -> list[Key]:
    """The cards of a report, the most important first."""
    first = Key(
        "First limit of chat starts" if others_throttled(answer) else "First limit",
        FIRST_LIMIT[answer.first_limit],
        _first(answer),
    )
    keys = [*_tps_keys(answer.tps), _chats_key(answer), first]
    if (at := answer.crossover_s) is not None:
        note = f"longer chats meet the active-chat limit first ({spread(at.low or 0, at.high or 0)} s)"
        keys.append(Key("The limits meet at a mean length of", f"{known(at)} s", note))
    row = answer.operations.get(answer.binds_first or "")
    if row is not None and row.binds_at_chats_per_s is not None:
        names = bind_first(answer)
        note = f"a second: {' and '.join(names)} {'binds' if len(names) == 1 else 'bind'} first"
        keys.append(Key("Whole journeys", known(row.binds_at_chats_per_s), note))
    keys.append(_left_open(answer))
    return keys


def _safe_key(tps: Tps) -> list[Key]:
    if tps.safe is None or tps.safe.poisson is None or not tps.safe.poisson.low:
        return []
    safe = tps.safe.poisson
    note = f"a second at random, at most {percent(safe.refused_share)} refused (95 %)"
    return [Key("Safe rate", rounded_down(safe.low or 0), note)]


def _tps_keys(tps: Tps) -> list[Key]:
    if not tps.exact and tps.sustained is not None:
        rate, bounds = with_bounds(tps.sustained).split(" (", 1)
        keys = [Key("Chat starts a second, sustained", rate, f"({bounds} at 95 %")]
        if (burst := tps.burst_from_rest) is not None:
            note = counted(number(burst.volleys), "volley") if burst.volleys else ""
            keys.append(Key("At once from rest", at_once(burst.low, burst.high), note))
        return [*keys, *_safe_key(tps)]
    return [
        Key("Chat starts a second", _value(tps.rate, tps.verdict), _pace(tps) or _note(tps.rate, tps.verdict)),
        Key("Burst", _value(tps.burst, tps.verdict), _note(tps.burst, tps.verdict)),
        *_safe_key(tps),
    ]


def _chats_key(answer: Capacity) -> Key:
    chats = answer.active_chats
    if chats.verdict == "not_explained" and chats.low:
        return Key("Chats at once", f"≥ {number(chats.low)}", "met, but not explained by one limit on this run's chats")
    note = _note(chats, chats.verdict)
    if chats.verdict == "lower_bound" and chats.low and answer.peak_active.chats > chats.low:
        note = f"not reached; {number(answer.peak_active.chats)} were counted, of which some may have been ending"
    return Key("Chats at once", _value(chats, chats.verdict), note)


def _left_open(answer: Capacity) -> Key:
    chats = answer.chats
    note = "" if chats.started is None else f"of {number(chats.started)} started"
    if chats.unanswered:
        note += f"; {counted(number(chats.unanswered), 'call')} unanswered, which may have started one"
    return Key("Chats left open", "unknown" if chats.left_open is None else number(chats.left_open), note)


def _value(entry: Interval, verdict: str) -> str:
    if verdict == "explained" and entry.high is not None:
        return known(entry)
    if verdict == "lower_bound" and not _is_bound(entry):
        return "not met"
    if verdict != "not_explained" and entry.low is not None:
        return f"≥ {number(entry.low)}"
    return "unknown"


def _is_bound(entry: Interval) -> bool:
    """Whether a bound says more than that something was admitted at all."""
    return entry.low is not None and entry.low > 1


def _pace(tps: Tps) -> str | None:
    """What was admitted by an instance that throttled nothing; None of any other."""
    admitted, span = tps.evidence.get("admitted"), tps.evidence.get("admitted_in_s")
    if tps.verdict != "lower_bound" or not isinstance(admitted, int | float) or not isinstance(span, int | float):
        return None
    if not admitted or not span:
        return None
    return f"{number(admitted)} admitted in {seconds(span)}; a burst may have carried them"


def _note(entry: Interval, verdict: str) -> str:
    if verdict == "lower_bound":
        return "not reached" if _is_bound(entry) else ""
    if verdict == "not_explained":
        return "not explained by one limiter"
    if entry.high is None:
        return "" if entry.estimate is None else f"{number(entry.estimate)}, if it was full at the start"
    if entry.low == entry.high:
        return "exact"
    return f"between {between(entry)} ({words.LEVEL})"


def _first(answer: Capacity) -> str:
    times = [f"{label(name)} from {seconds(entry.after_s)}" for name, entry in answer.first_seen.items()]
    if times:
        return ", ".join(times)
    throttled = others_throttled(answer)
    were = "was" if len(throttled) == 1 else "were"
    return f"{', '.join(throttled)} {were} throttled" if throttled else "no call was refused by a limit"
