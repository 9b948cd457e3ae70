"""The fitted bucket on the same calls again: what else could have been seen, had the jitter fallen out otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.quotas.attempts import Floats
from harness.quotas.tps.timing import Calls, Mask

Shares = tuple[float, float]


def replay(
    calls: Calls,
    shares: Shares,
    jitter: float,
    deficit: float,
    rate: float,
    burst: float,
    rng: np.random.Generator,
    times: int,
    *,
    parts: int = 1,
) -> npt.NDArray[np.bool_]:
    """Return what the bucket would have admitted of the same calls, (times, n), each time with a jitter of its own.

    It may be cut into equal `parts` that take calls in turn.
    """
    at = _moments(calls, shares)
    moments = at + calls.spread(jitter) * rng.standard_normal((times, len(at)))
    order = np.argsort(moments, axis=1)
    columns = np.ascontiguousarray(np.take_along_axis(moments, order, 1).T)
    answers = np.empty(columns.shape, bool)
    rate, burst, deficit = rate / parts, max(1.0, burst / parts), deficit / parts
    level = np.full((parts, times), burst - deficit)
    last = np.tile(columns[0], (parts, 1)) if len(columns) else np.zeros((parts, times))
    for row, now in enumerate(columns):
        turn = row % parts
        there = np.minimum(burst, level[turn] + rate * (now - last[turn]))
        last[turn] = now
        answers[row] = there >= 1.0
        level[turn] = there - answers[row]
    result = np.empty((times, len(at)), bool)
    np.put_along_axis(result, order, answers.T, 1)
    return result


def as_decided(calls: Calls, admitted: Mask, shares: Shares) -> tuple[Calls, Shares]:
    """Return the same calls with the outcomes of a replay, and the shares to read them with.

    A replayed call keeps the moment that its own outcome was given.
    """
    if shares[0] == shares[1]:
        return replace(calls, admitted=admitted), shares
    moments = _moments(calls, shares)
    return replace(calls, sent=moments, admitted=admitted, stalled_before=np.zeros(len(moments))), (0.0, 0.0)


def _moments(calls: Calls, shares: Shares) -> Floats:
    return np.where(calls.admitted, calls.decided(shares[0]), calls.decided(shares[1]))
