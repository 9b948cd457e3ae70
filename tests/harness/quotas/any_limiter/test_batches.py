"""The interval of a mean of batches: as wide as their noise asks for, whichever kind of noise it is."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.quotas.any_limiter.batches import mean_of
from harness.quotas.attempts import Floats

BATCHES = 32


def _independent(rng: np.random.Generator) -> Floats:
    return rng.normal(0.0, 0.1, BATCHES)


def _kept(rng: np.random.Generator) -> Floats:
    """What one batch gains the next one loses."""
    return np.diff(rng.normal(0.0, 0.1, BATCHES + 1))


def _lasting(rng: np.random.Generator) -> Floats:
    """What one batch gains the next one gains too, as beside neighbours who come and go in seconds."""
    noise = [float(rng.normal(0.0, 0.1))]
    for step in rng.normal(0.0, 0.1 * np.sqrt(1 - 0.6**2), BATCHES - 1):
        noise.append(0.6 * noise[-1] + float(step))
    return np.array(noise)


@pytest.mark.parametrize("noise", [_independent, _kept, _lasting])
def test_the_interval_holds_the_mean_whatever_the_noise(noise: Callable[[np.random.Generator], Floats]) -> None:
    """Of 300 intervals of 95 %, at least 92 % hold the mean."""
    found = [mean_of(1.0 + noise(np.random.default_rng(seed))) for seed in range(300)]
    assert np.mean([mean.low <= 1.0 <= mean.high for mean in found]) >= 0.92


def test_a_count_that_is_kept_is_known_more_closely_than_one_that_wanders() -> None:
    """Noise that the next batch takes back leaves an interval of a quarter of the width, in the middle of many."""

    def width(noise: Callable[[np.random.Generator], Floats]) -> float:
        found = [mean_of(1.0 + noise(np.random.default_rng(seed))) for seed in range(60)]
        return float(np.median([mean.high - mean.low for mean in found]))

    assert width(_kept) < 0.25 * width(_independent) < 0.25 * width(_lasting)
