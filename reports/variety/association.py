"""Tests within short stretches of time whether what a call carried goes with what became of it.

Labels of calls are exchangeable within a stretch if they do not matter, whatever the service does from stretch to stretch:
the statistic's mean and covariance over all such exchanges are known exactly (N. Mantel and W. Haenszel, 1959; J. Landis,
E. Heyman and G. Koch, "Average partial association", 1978), and so many calls make it normal. Few calls are exchanged at
random instead.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.quotas.special import chdtrc, ndtri

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BLOCK_CALLS, BLOCK_SECONDS = 24, 10.0
"""A stretch has at most so many calls and lasts at most so long: a limiter's phases are longer."""
_FEW = 200
_EXCHANGES = 999
_POWER = 0.8


@dataclass(frozen=True)
class Effect:
    """How much of `y` goes with one unit of `x`, with its standard error."""

    slope: float
    error: float


def blocks(sent: Floats) -> Codes:
    """Number the stretches of calls that were `sent` (n,) in order; returns each call's stretch, from 0."""
    if not len(sent):
        return np.empty(0, np.int64)
    found = np.zeros(len(sent), np.int64)
    begin, number = 0, 0
    while begin < len(sent):
        end = min(begin + BLOCK_CALLS, int(np.searchsorted(sent, sent[begin] + BLOCK_SECONDS, side="right")))
        found[begin:end] = number
        begin, number = max(end, begin + 1), number + 1
    return found


def within(values: Floats, block: Codes) -> Floats:
    """Return `values` (n,) or (n, k) less their mean in each block."""
    table = values if values.ndim == 2 else values[:, None]
    counts = np.bincount(block)
    means = np.column_stack([np.bincount(block, column) / np.maximum(counts, 1) for column in table.T])
    left = table - means[block]
    return left if values.ndim == 2 else left[:, 0]


def p_value(x: Floats, y: Floats, block: Codes, seed: int = 1) -> float:
    """Return the probability of an association of `x` (n, k) with `y` (n,) as strong as this, if there is none.

    1.0 where nothing varies within a block.
    """
    x, y = within(x, block), within(y, block)
    statistic, rank = _statistic(x, y, block)
    if not rank:
        return 1.0
    if len(y) > _FEW:
        return float(chdtrc(rank, statistic))
    covariance = np.linalg.pinv(_covariance(x, y, block), hermitian=True)
    order, exchanges = _exchanges(block.tobytes(), seed)
    totals = y[order][exchanges] @ x[order]
    exchanged = np.einsum("ij,jk,ik->i", totals, covariance, totals)
    return float((np.sum(exchanged >= statistic * (1 - 1e-9)) + 1) / (_EXCHANGES + 1))


@lru_cache(maxsize=1)
def _exchanges(blocks: bytes, seed: int) -> tuple[Codes, Codes]:
    """Return the order of the calls by block, (n,), and random exchanges within blocks of those, (999, n).

    All questions about the same calls take the same ones, which are what takes longest.
    """
    block = np.frombuffer(blocks, np.int64)
    order = np.argsort(block, kind="stable")
    keys = block[order] + np.random.default_rng(seed).random((_EXCHANGES, len(block)))
    return order, np.argsort(keys, axis=1)


def _statistic(x: Floats, y: Floats, block: Codes) -> tuple[float, int]:
    covariance = _covariance(x, y, block)
    total = x.T @ y
    rank = int(np.linalg.matrix_rank(covariance, hermitian=True)) if covariance.any() else 0
    return float(total @ np.linalg.pinv(covariance, hermitian=True) @ total), rank


def _covariance(x: Floats, y: Floats, block: Codes) -> Floats:
    """Of sum x y over all exchanges within blocks; `x` and `y` have mean 0 in each."""
    counts = np.bincount(block)
    spread = np.bincount(block, y * y) / np.maximum(counts - 1, 1)
    weighted = x * spread[block][:, None]
    return np.asarray(x.T @ weighted, np.float64)


def effect_of(x: Floats, y: Floats, block: Codes) -> Effect | None:
    """Return the slope of `y` (n,) on `x` (n,) within blocks; unequal spread is allowed. None for a constant `x`."""
    x, y = within(x, block), within(y, block)
    square = float(x @ x)
    if square <= 0:
        return None
    slope = float(x @ y) / square
    left = y - slope * x
    counts = np.bincount(block)[block]
    left = left * np.sqrt(counts / np.maximum(counts - 1, 1))  # the block's mean took a share of it
    return Effect(slope, float(np.sqrt((x * x) @ (left * left))) / square)


def holm(p_values: list[float]) -> list[float]:
    """Return the p-values corrected for having asked so many questions (S. Holm, 1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = worst
    return [float(value) for value in corrected]


def detectable(error: float, questions: int, level: float = 0.05) -> float:
    """Return the effect that would be found in four of five runs like this, with so many questions asked."""
    return float((ndtri(1 - level / (2 * max(questions, 1))) + ndtri(_POWER)) * error)
