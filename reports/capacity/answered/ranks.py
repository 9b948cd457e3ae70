"""Quantiles of what was measured one by one, with intervals from their ranks."""

import numpy as np
from numpy.typing import NDArray

from reports.run.latencies import Bounds, Quantiles

Floats = NDArray[np.float64]

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def quantile(ordered: Floats, share: float) -> tuple[float | None, Bounds]:
    """Return a quantile of sorted numbers, with the 95 % interval of its rank; None where that would reach beyond them."""
    if not len(ordered):
        return None, None
    count = len(ordered)
    middle, half = share * count, 1.96 * np.sqrt(count * share * (1 - share))
    low, high = int(np.floor(middle - half)), int(np.ceil(middle + half))
    value = float(ordered[min(int(np.ceil(middle)) - 1, count - 1)])
    if low < 0 or high >= count:
        return plain(value), None
    return plain(value), (plain(ordered[low]), plain(ordered[high]))


def quantiles_of(seconds: Floats) -> Quantiles | None:
    """Return the quantiles (ms) of durations (s); None of none."""
    if not len(seconds):
        return None
    ordered = np.sort(seconds) * 1000
    found = {name: quantile(ordered, share) for name, share in _SHARES.items()}
    return Quantiles(
        n=len(ordered),
        p50=found["p50"][0],
        p95=found["p95"][0],
        p99=found["p99"][0],
        max=plain(ordered[-1]),
        intervals={name: bounds for name, (_, bounds) in found.items()},
    )


def plain(value: float) -> float:
    """Return the number with the six digits that a file has."""
    return float(f"{value:.6g}")
