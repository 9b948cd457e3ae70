"""How surely one run is worse or better than another, over all the metrics that are compared at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.quotas.special import ndtr, ndtri

LEVEL = 0.05
"""Of comparisons of equal runs at most so many are called worse, and at most so many better, by any metric."""


def standard_error(level: str, first: float, second: float) -> float:
    """The standard error of a difference whose sides reach `first` and `second` from their numbers, at `level` ("95 %")."""
    share = float(level.removesuffix(" %")) / 100 if level else 0.95
    return math.hypot(first, second) / float(ndtri((1 + share) / 2))


def chance_of_more(change: float, error: float) -> float:
    """The probability that a change is at least as large as this if there is none, of a normal `error`."""
    if error > 0:
        return float(ndtr(-change / error))
    return 0.0 if change > 0 else 1.0


@dataclass(frozen=True)
class Chance:
    """The probability `p` of a change at least as large as one is, if there is none; `most` is the largest that can count.

    A change within the tolerance never counts: its `p` is 1, and `most` is the probability of one that is beyond it.
    """

    p: float
    most: float


def chance_beyond(change: float, tolerated: float, error: float) -> Chance:
    """The chance of a change that is beyond what is `tolerated`, of a normal `error`."""
    return Chance(chance_of_more(change, error) if change > tolerated else 1.0, chance_of_more(tolerated, error))


def corrected(chances: Sequence[Chance | None]) -> list[float | None]:
    """The probabilities corrected for their number by Holm's steps; None stays None and does not count.

    A metric counts no more than chance could ever bring it beyond its tolerance: one that is known so well that it cannot
    takes nothing from the others (Tarone, 1990).
    """
    order = sorted(
        (place for place, chance in enumerate(chances) if chance is not None), key=lambda place: _p(chances[place])
    )
    found: list[float | None] = [None] * len(chances)
    so_far = 0.0
    for step, place in enumerate(order):
        p = _p(chances[place])
        together = sum(
            min(p, one.most) for other in order[step:] if (one := chances[other]) is not None and other != place
        )
        so_far = max(so_far, min(1.0, p + together))
        found[place] = so_far
    return found


def _p(chance: Chance | None) -> float:
    return 1.0 if chance is None else chance.p
