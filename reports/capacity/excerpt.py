"""Chooses the stretch of a long record that an inference reads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stretch(by_second: NDArray[Any], refused: int | None, most: int) -> tuple[int, int]:
    """The seconds from (included) and to (not included) that hold about `most` calls; all of them if they are no more.

    `by_second` counts the calls of each second, `refused` is the second of the first refusal. At least three quarters of
    the calls come after it; they begin with the record, or in the emptiest second of the stretch before the refusal,
    where a bucket is the fullest.
    """
    if by_second.sum() <= most:
        return 0, len(by_second)
    pivot = refused if refused is not None else 0
    before = np.cumsum(by_second[:pivot][::-1])[::-1]
    reachable = np.flatnonzero(before <= most // 4)
    begin = pivot
    if len(reachable):
        quietest = reachable[0] + np.argmin(by_second[reachable[0] : pivot])
        begin = int(reachable[0]) if reachable[0] == 0 else int(quietest)
    following = np.cumsum(by_second[begin:])
    return begin, begin + max(1, int(np.searchsorted(following, most, side="right")))
