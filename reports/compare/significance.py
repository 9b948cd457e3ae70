"""How surely one run is worse or better than another, over all the metrics that are compared at once."""

import math
from collections.abc import Sequence

from scipy.special import ndtr, ndtri

from reports.variety.association import holm

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


def corrected(values: Sequence[float | None]) -> list[float | None]:
    """The probabilities corrected by Holm for their number; None stays None and does not count."""
    known = iter(holm([value for value in values if value is not None]))
    return [None if value is None else next(known) for value in values]
