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

from harness.quotas.special import chdtrc, ndtri, stdtrit

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BLOCK_CALLS, BLOCK_SECONDS = 24, 10.0
"""A stretch has at most so many calls and lasts at most so long: a limiter's phases are longer."""
_FEW = 200
_EXCHANGES = 999
_POWER = 0.8
_STEPS = 4
"""After so many the slope and what it leaves hardly change any more."""
_MOST_DRAWN = 0.95
_MOST_CUT = 0.1
"""Of a rare kind no more is cut at either end, however slow all of it is."""


@dataclass(frozen=True)
class Effect:
    """How much of `y` goes with one unit of `x`, with its standard error.

    `weight` is how many calls the error is as good as: of a rare kind few, whatever the number of the others.
    """

    slope: float
    error: float
    weight: float

    def reach(self, level: float = 0.05, questions: int = 1) -> float:
        """Return how many errors an interval reaches to either side, with so many of them at once (Student's t)."""
        return float(stdtrit(max(self.weight, 1.0), 1 - level / (2 * questions)))


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
    counts = np.maximum(np.bincount(block), 1)
    if values.ndim == 1:
        return np.asarray(values - (np.bincount(block, values) / counts)[block])
    means = np.column_stack([np.bincount(block, column) / counts for column in values.T])
    return np.asarray(values - means[block])


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


def effect_of(x: Floats, y: Floats, block: Codes, tails: float = 0.0) -> Effect | None:
    """Return the slope of `y` (n,) on `x` (n,) within blocks; unequal spread is allowed. None for a constant `x`.

    Of what the slope leaves of `y`, so large a share at either end counts as the next value does: one stall must not hide a
    difference elsewhere. Values of `y` themselves are not cut, since those of the slowest kind would be cut most.
    """
    x_left = within(x, block)
    square = float(x_left @ x_left)
    if square <= 0:
        return None
    large = x > (x.min() + x.max()) / 2
    taken = _cut(y, large, tails)
    slope, share = float(x_left @ within(taken, block)) / square, 1.0
    for _ in range(_STEPS if tails else 0):
        without = taken - slope * x
        middle = without - within(without, block)
        left = y - slope * x - middle
        cut = _cut(left, large, tails)
        taken, share = slope * x + middle + cut, float(np.mean(cut == left))
        slope = float(x_left @ within(taken, block)) / square
    left = within(taken, block) - slope * x_left
    # A call draws the slope and the block's mean towards itself (J. MacKinnon and H. White, 1985: HC3).
    drawn = np.minimum(1 / np.bincount(block)[block] + x_left * x_left / square, _MOST_DRAWN)
    error = float(np.sqrt(np.sum((x_left * left / (1 - drawn)) ** 2))) / square / share
    return Effect(slope, error, square * square / float(np.sum((x_left * x_left) ** 2)))


def _cut(values: Floats, large: NDArray[np.bool_], tails: float) -> Floats:
    """Return the values with this share of either end cut to the next one: of `large` ones, or of the others, never most."""
    if not tails:
        return values
    low, high = np.quantile(values, (tails, 1 - tails))
    found = np.clip(values, low, high)
    outside = values != found
    for rows in (large, ~large):
        if (
            np.count_nonzero(outside & rows) > _MOST_CUT * (np.count_nonzero(rows) - 1) - 1
        ):  # perhaps too many at one end
            least, most = np.quantile(values[rows], (_MOST_CUT, 1 - _MOST_CUT))
            found[rows] = np.clip(values[rows], min(low, least), max(high, most))
    return found


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
