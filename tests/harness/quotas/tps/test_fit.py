"""What the bucket's fit is made of."""

import numpy as np
import pytest
from scipy import special

from harness.quotas.tps.fit import normalised


def test_log_probabilities_are_normalised_as_by_scipy() -> None:
    """Of arrays of any shape and size of numbers, with nothing in some of their rows."""
    random = np.random.default_rng(1)
    for n in range(200):
        values = random.normal(size=random.integers(1, 30, 1 + n % 2)) * 10.0 ** random.uniform(-3, 3)
        values = np.round(values) if n % 3 == 0 else values
        values[0] = -np.inf if n % 5 == 0 and len(values) > 1 else values[0]
        assert normalised(values) == pytest.approx(special.softmax(values), rel=1e-12, abs=1e-300)
