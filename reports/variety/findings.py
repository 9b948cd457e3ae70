"""Asks of each dimension of the workload whether it matters for the outcome and for the latency, and says it."""

import math
from dataclasses import dataclass

import numpy as np

from reports.capacity.model import Variety
from reports.variety.association import Codes, Floats, blocks, detectable, effect_of, holm, p_value
from reports.variety.calls import CATEGORIES, SIZES, Calls
from reports.wording.numbers import rounded

LEVEL = 0.05
_FEWEST_CALLS = 20
_FEWEST_OF_CATEGORY = 5
_MOST_CATEGORIES = 12
_TAILS = {"outcome": 0.0, "latency": 0.005}
"""The share of what is left at either end that counts less: a stall of the service."""


@dataclass(frozen=True)
class _Question:
    dimension: str
    on: str
    p_value: float
    effect: float
    error: float
    quantile: float
    """How many errors the interval reaches to either side."""
    between: tuple[str, str]
    share: float
    parts: int = 2

    @property
    def most(self) -> float:
        """The largest difference that there can be: a share of calls differs by 100 points at most."""
        return 100.0 if self.on == "outcome" else math.inf


def variety_of(calls: Calls) -> list[Variety]:
    """Return a finding for each dimension that varied, on the outcome of all calls and the latency of started ones."""
    started = calls.where(calls.started > 0)
    asked = [
        question
        for on, some in (("outcome", calls), ("latency", started))
        if len(some) >= _FEWEST_CALLS
        for question in _ask(some, on)
    ]
    corrected = holm([question.p_value for question in asked])
    return [
        Variety(
            dimension=question.dimension,
            on="outcome" if question.on == "outcome" else "latency",
            p_value=question.p_value,
            p_holm=p_holm,
            effect=question.effect,
            low=max(question.effect - question.quantile * question.error, -question.most),
            high=min(question.effect + question.quantile * question.error, question.most),
            detectable=detectable(question.error, len(asked)),
            unit="points" if question.on == "outcome" else "ms",
            between=question.between,
            calls=len(calls) if question.on == "outcome" else len(started),
            share=question.share,
            parts=question.parts,
        )
        for question, p_holm in zip(asked, corrected, strict=True)
    ]


def _ask(calls: Calls, on: str) -> list[_Question]:
    block = blocks(calls.sent)
    if on == "outcome":
        y = ranks = 100 * calls.started
    else:
        y, ranks = calls.latency_ms, _ranks(calls.latency_ms)
    if y.min() == y.max():
        return []
    found = [_of_size(name, on, calls.sizes[name], y, ranks, block) for name in SIZES]
    found += [_of_category(name, on, calls, y, ranks, block) for name in CATEGORIES]
    return [question for question in found if question is not None]


def _of_size(name: str, on: str, sizes: Floats, y: Floats, ranks: Floats, block: Codes) -> _Question | None:
    """Small against large: the effect is that of going from the smallest to the largest."""
    low, high = float(sizes.min()), float(sizes.max())
    effect = effect_of(sizes, y, block, _TAILS[on])
    if low == high or effect is None:
        return None
    p = p_value(_ranks(sizes)[:, None], ranks, block)
    span = high - low
    between = _size_text(name, low), _size_text(name, high)
    upper = float(np.mean(sizes > (low + high) / 2))
    share = min(upper, 1 - upper)
    return _Question(name, on, p, effect.slope * span, effect.error * span, effect.reach(), between, share)


def _of_category(name: str, on: str, calls: Calls, y: Floats, ranks: Floats, block: Codes) -> _Question | None:
    """One against the others: the effect is that of the category that differs most; its interval allows for the choice."""
    codes, words = calls.categories[name], calls.words[name]
    counts = np.bincount(codes, minlength=len(words))
    chosen = [code for code in np.argsort(-counts)[:_MOST_CATEGORIES] if counts[code] >= _FEWEST_OF_CATEGORY]
    if len(chosen) < 2:
        return None
    members = np.column_stack([(codes == code).astype(np.float64) for code in chosen])
    effects = [effect_of(column, y, block, _TAILS[on]) for column in members.T]
    known = [(code, effect) for code, effect in zip(chosen, effects, strict=True) if effect and effect.error > 0]
    if not known:
        return None
    code, effect = max(known, key=lambda each: abs(each[1].slope) / each[1].error)
    quantile = effect.reach(questions=len(known))
    between = "the others", words[code] or "none set"
    p, rarest = p_value(members, ranks, block), float(counts[chosen].min() / len(y))
    return _Question(name, on, p, effect.slope, effect.error, quantile, between, rarest, len(chosen))


def _ranks(values: Floats) -> Floats:
    """The rank of each value (n,), from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], np.float64)


def _size_text(name: str, value: float) -> str:
    if name.endswith("bytes"):
        return f"{rounded(value / 1024)} KiB" if value >= 1024 else f"{value:.0f} bytes"
    if name == "duration_minutes":
        return f"{value:.0f} min" if value else "the service's own duration"
    return f"{value:.0f}"
