"""Says whether the variety of the calls mattered: what differs and by how much, or how small a difference must be."""

import math

from harness.counting import counted
from reports.capacity.model import Capacity, Variety
from reports.wording.numbers import percent, rounded

_NAMES = {
    "attribute_bytes": "size of the attributes",
    "attribute_count": "number of attributes",
    "message_bytes": "size of the first message",
    "duration_minutes": "ChatDurationInMinutes",
    "content_types": "content types",
    "kind": "kind of chat",
}
_MEASURES = {"outcome": "the share of calls that started a chat", "latency": "the latency of started chats"}
_UNITS = {"points": "points", "ms": "ms"}


def variety_sentences(found: list[Variety]) -> list[str]:
    """Return a sentence for each difference that the run shows, then one for each measure on what it does not show."""
    sentences = [_difference(each, len(found)) for each in found if each.shown]
    for on in ("outcome", "latency"):
        rest = [each for each in found if each.on == on and not each.shown]
        if rest:
            sentences.append(_no_difference(on, rest))
    return sentences


def _difference(each: Variety, questions: int) -> str:
    first, second = each.between
    name = _NAMES.get(each.dimension, each.dimension)
    if each.low * each.high <= 0:
        return (
            f"The {name} matters for {_MEASURES[each.on]} ({_chance(each.p_holm)} after correction for "
            f"{counted(questions, 'question')}); by how much on average is not known: {_quoted(second)} against "
            f"{_quoted(first)}, {rounded(each.low)} to {rounded(each.high)} {_UNITS[each.unit]} (95 %)."
        )
    change = "raises" if each.effect > 0 else "lowers"
    low, high = sorted((abs(each.low), abs(each.high)))
    return (
        f"The {name} matters: {_quoted(second)} against {_quoted(first)} {change} {_MEASURES[each.on]} by "
        f"{rounded(abs(each.effect))} {_UNITS[each.unit]} ({rounded(low)} to {rounded(high)}, 95 %; {_chance(each.p_holm)} "
        f"after correction for {counted(questions, 'question')})."
    )


def _no_difference(on: str, rest: list[Variety]) -> str:
    parts = [
        f"{_NAMES.get(each.dimension, each.dimension)} (at most {rounded(max(abs(each.low), abs(each.high)))}, "
        f"found from {rounded(each.detectable)})"
        for each in rest
    ]
    unit = _UNITS[rest[0].unit]
    return f"No difference shown in {_MEASURES[on]}, in {unit} with 95 %, by {', '.join(parts)}."


def balance_advice(answer: Capacity) -> list[str]:
    """Suggest the balanced draw where something rare was too rare to show whether it matters; of all, the rarest."""
    if answer.run.workload.draw == "balanced":
        return []
    rare = [
        each
        for each in answer.variety
        if not each.shown and each.share is not None and each.share < 0.5 / max(each.parts, 2)
    ]
    if not rare:
        return []
    each = min(rare, key=lambda one: (one.share or 0.0) * one.parts)
    seen = f"a difference of {rounded(each.detectable)} {_UNITS[each.unit]} in {_MEASURES[each.on]}"
    gain = f" instead of about {rounded(_balanced(each))}" if each.dimension == "kind" else ""
    return [
        f"Whether the {_NAMES.get(each.dimension, each.dimension)} matters was hard to see: its rarer side is "
        f'{percent(each.share or 0.0)} of the calls, so that only {seen} is found{gain}. `draw = "balanced"` in the '
        "workload gives every kind an equal share."
    ]


def _balanced(each: Variety) -> float:
    """Return what would be detectable of as many calls in equal shares: an error goes with 1 / sqrt(share (1 - share))."""
    share, equal = each.share or 0.0, 1 / max(each.parts, 2)
    return each.detectable * math.sqrt(share * (1 - share) / (equal * (1 - equal)))


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _quoted(text: str) -> str:
    shown = text.replace("application/vnd.amazonaws.connect.message.", "").replace(",", ", ")
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
