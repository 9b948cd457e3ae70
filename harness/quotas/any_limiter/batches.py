"""The mean of batch durations with an honest interval, and whether that mean moved.

The seconds that each of m batches of J admissions took are modelled as a mean, plus noise that is independent or lasts for
a few batches (the count wanders, as beside neighbours who come and go), plus differenced noise e_i - e_(i-1) (the count is
kept to within an admission or two, as a bucket does: what one batch gains the next one loses). The sine basis makes that
covariance diagonal, so the noises' ratio, and how long the first one lasts, are averaged over a grid (REML).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.quotas.attempts import Floats
from harness.quotas.special import stdtr

_RATIOS = np.concatenate(([0.0], np.geomspace(1e-4, 1e4, 29)))
"""Variance of the independent noise over that of the differenced noise: what the grid holds."""
_LASTING = ((0.0, 1.0), (0.5, 0.3), (0.8, 0.1))
"""How much of the wandering noise one batch hands on to the next, and how likely that is before the batches are seen."""
_STEP_GAIN = 20.0
_STEP_SHARE = 0.03
_STEP_ADMISSIONS = 4.0


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of batch durations, seconds, with its 95 % interval."""

    estimate: float
    low: float
    high: float


@lru_cache(maxsize=64)
def _sines(m: int) -> tuple[Floats, Floats]:
    """Return the orthonormal sine basis (m, m) and the differenced noise's variance in it (m,)."""
    index = np.arange(1, m + 1)
    basis = np.sqrt(2 / (m + 1)) * np.sin(np.pi * np.outer(index, index) / (m + 1))
    return basis, 2 - 2 * np.cos(np.pi * index / (m + 1))


def _variances(m: int, kept: float = 0.0) -> Floats:
    """Relative variance in the sine basis for each ratio of the grid, (ratios, m), where a batch hands on so much of the
    wandering noise to the next.
    """
    differenced = _sines(m)[1]
    wandering = (1 - kept) ** 2 / ((1 - kept) ** 2 + kept * differenced)  # 1 where slowest
    return np.asarray(_RATIOS[:, None] * wandering[None, :] + differenced[None, :])


@lru_cache(maxsize=64)
def _noises(m: int) -> tuple[Floats, Floats]:
    """Relative variance in the sine basis for each noise of the grid, (noises, m), and the logarithm of its weight."""
    variances = np.concatenate([_variances(m, kept) for kept, _ in _LASTING])
    return variances, np.repeat(np.log([weight for _, weight in _LASTING]), len(_RATIOS))


def mean_of(durations: Floats, confidence: float = 0.95) -> Mean:
    """Return the mean of `durations` (m,), m at least 3, with an interval of Student quantiles over the grid of noises."""
    m = len(durations)
    basis, _ = _sines(m)
    y, ones = basis @ durations, basis @ np.ones(m)
    v, log_weight = _noises(m)
    information = np.sum(ones**2 / v, axis=1)
    centre = np.sum(ones * y / v, axis=1) / information
    rest = np.sum((y[None, :] - centre[:, None] * ones[None, :]) ** 2 / v, axis=1)
    rest = np.maximum(rest, 1e-18 * max(1.0, float(np.sum(durations**2))))
    log_p = log_weight - 0.5 * (np.sum(np.log(v), axis=1) + np.log(information) + (m - 1) * np.log(rest))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    scale = np.sqrt(rest / (m - 1) / information)
    middle = float(p @ centre)
    tail = (1 - confidence) / 2
    return Mean(
        middle, _quantile(p, centre, scale, m - 1, tail, middle), _quantile(p, centre, scale, m - 1, 1 - tail, middle)
    )


def _quantile(p: Floats, centre: Floats, scale: Floats, degrees: int, share: float, middle: float) -> float:
    """Return the quantile of a mixture of Student distributions, by bisection."""
    reach = 60 * float(scale.max()) + float(np.ptp(centre)) + 1e-12
    low, high = middle - reach, middle + reach
    for _ in range(60):
        guess = 0.5 * (low + high)
        if float(p @ stdtr(degrees, (guess - centre) / scale)) < share:
            low = guess
        else:
            high = guess
    return 0.5 * (low + high)


def moved(durations: Floats, admissions: int) -> int | None:
    """Return the batch at which the mean of `durations` (batches of `admissions` each) took a step, or None.

    One step against none under the same kinds of noise: twice the gain in likelihood over 20, the step over 3 %, and over
    four admissions more or fewer in all.
    """
    m = len(durations)
    if m < 8:
        return None
    basis, _ = _sines(m)
    y, ones, v = basis @ durations, basis @ np.ones(m), _variances(m)
    weight = 1 / v
    log_v = np.sum(np.log(v), axis=1)
    oo, oy, yy = weight @ ones**2, weight @ (ones * y), weight @ y**2
    tiny = 1e-12 * float(np.sum(durations**2))
    null = float(np.max(-0.5 * (log_v + m * np.log(np.maximum(yy - oy**2 / oo, tiny)))))
    best, where, step = -np.inf, 0, 0.0
    for at in range(2, m - 1):
        after = basis @ (np.arange(m) >= at).astype(float)
        aa, ao, ay = weight @ after**2, weight @ (after * ones), weight @ (after * y)
        determinant = oo * aa - ao**2
        size = (oo * ay - ao * oy) / determinant
        first = (aa * oy - ao * ay) / determinant
        rest = np.maximum(yy - first * oy - size * ay, tiny)
        gain = -0.5 * (log_v + m * np.log(rest))
        top = int(np.argmax(gain))
        if gain[top] > best:
            best, where, step = float(gain[top]), at, float(size[top] / first[top])
    if 2 * (best - null) < _STEP_GAIN or abs(step) < _STEP_SHARE:
        return None
    return where if abs(step) * min(where, m - where) * admissions > _STEP_ADMISSIONS else None
