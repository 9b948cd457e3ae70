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
    at = moments_of(calls, shares)
    moments = at + calls.spread(jitter) * rng.standard_normal((times, len(at)))
    order = np.argsort(moments, axis=1)
    rate, burst = rate / parts, max(1.0, burst / parts)
    level = burst - deficit / parts
    answers = np.empty(moments.shape, bool)
    for answer, row in zip(answers, np.take_along_axis(moments, order, 1), strict=True):
        for turn in range(min(parts, len(row))):
            answer[turn::parts] = admitted_in_turn(row[turn::parts], float(row[0]), rate, burst, level)
    result = np.empty(moments.shape, bool)
    np.put_along_axis(result, order, answers, 1)
    return result


def admitted_in_turn(moments: Floats, last: float, rate: float, burst: float, level: float) -> list[bool]:
    """Return whether a bucket that held `level` at `last` admits a call at each of `moments`, (n,), in order.

    Each answer depends on the one before; numbers of Python cost a tenth of arrays that are a few replays long.
    """
    answers: list[bool] = []
    answer = answers.append
    for gained in (rate * np.diff(moments, prepend=last)).tolist():
        level += gained
        if level > burst:  # noqa: PLR1730 - `min` would take half of the loop's time
            level = burst
        if level >= 1.0:
            level -= 1.0
            answer(True)
        else:
            answer(False)
    return answers


def as_decided(calls: Calls, admitted: Mask, shares: Shares) -> tuple[Calls, Shares]:
    """Return the same calls with the outcomes of a replay, and the shares to read them with.

    A replayed call keeps the moment that its own outcome was given.
    """
    if shares[0] == shares[1]:
        return replace(calls, admitted=admitted), shares
    moments = moments_of(calls, shares)
    return replace(calls, sent=moments, admitted=admitted, stalled_before=np.zeros(len(moments))), (0.0, 0.0)


def moments_of(calls: Calls, shares: Shares) -> Floats:
    """Return the moment of each decision, (n,), with the shares of the way up of admitted and refused calls."""
    return np.where(calls.admitted, calls.decided(shares[0]), calls.decided(shares[1]))
