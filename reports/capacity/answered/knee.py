"""The most open chats at which enough replies come in time. Pure numbers."""

import numpy as np
from numpy.typing import NDArray

from reports.capacity.answered.model import Knee
from reports.wording.numbers import wilson

SHARE = 0.95
"""The share of the replies that has to come within the goal."""
_RESAMPLES = 200
_FEWEST = 30
"""Messages below which nothing is said."""
_NEAR = 40
"""Messages that are looked at right behind the place where the share is left."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def knee_of(open_chats: Ints, in_time: Bools, chats: Ints, goal: float) -> Knee | None:
    """Return the knee of messages, each with the chats open when it was sent and whether its reply came within `goal` (s).

    `chats` numbers the chat of each message: messages of one chat are alike, so the interval is from resampled chats. The
    share in time is taken to fall, or stay, as more chats are open. None for under 30 messages.
    """
    if len(open_chats) < _FEWEST:
        return None
    most, fewest = int(open_chats.max()), int(open_chats.min())
    found = _last_that_keeps(open_chats, in_time.astype(float), np.ones(len(open_chats)))
    if found is None:
        return Knee(goal, SHARE, None, None, fewest)
    beyond = open_chats > found
    missed = int(np.count_nonzero(beyond))
    # A late reply or two at the very top are not a knee.
    if not missed or wilson(int(np.count_nonzero(in_time & beyond)), missed)[1] >= SHARE:
        return Knee(goal, SHARE, None, most, None)
    seen = np.unique(open_chats)
    rng = np.random.default_rng(1)
    knees = [found]
    for _ in range(_RESAMPLES):
        weight = rng.poisson(1.0, int(chats.max()) + 1)[chats].astype(float)
        again = _last_that_keeps(open_chats, in_time * weight, weight)
        knees.append(fewest if again is None else again)
    low, high = (int(value) for value in np.quantile(knees, (0.025, 0.975), method="nearest"))
    # Up to the next number of open chats at which a message was sent, the record is silent.
    above = seen[seen > max(high, found)]
    return Knee(goal, SHARE, found, min(low, found), int(above[0]) - 1 if len(above) else most)


def _last_that_keeps(open_chats: Ints, good: NDArray[np.float64], weight: NDArray[np.float64]) -> int | None:
    """The most open chats at which a falling share in time still keeps the wanted one; None if none does.

    Every message in time counts for going on, every other one against it, so that they weigh the same at the wanted share:
    the largest sum is where the falling least-squares fit leaves that share. A second pass weighs them by the shares before
    and right behind that place, which finds a sudden end to the chat and changes nothing where the share falls slowly.
    """
    values, place = np.unique(open_chats, return_inverse=True)
    goods, alls = np.bincount(place, good), np.bincount(place, weight)
    sums = np.cumsum(goods - SHARE * alls)
    at = len(sums) - 1 - int(np.argmax(sums[::-1]))
    if sums[at] < 0:
        return None
    counted = np.cumsum(alls)
    end = int(np.searchsorted(counted, counted[at] + _NEAR)) + 1
    before = min(goods[: at + 1].sum() / alls[: at + 1].sum(), 1 - 1e-3) if counted[at] else SHARE
    behind = max(goods[at + 1 : end].sum() / alls[at + 1 : end].sum(), 1e-3) if alls[at + 1 : end].sum() else before
    if behind < SHARE <= before:
        gain = np.log(before / behind) * goods + np.log((1 - before) / (1 - behind)) * (alls - goods)
        sums = np.cumsum(gain[:end])
        at = len(sums) - 1 - int(np.argmax(sums[::-1]))
    return int(values[at])
