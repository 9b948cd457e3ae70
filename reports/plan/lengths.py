"""Distributions of a chat's length, written as the harness's `--hold` is."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from harness.errors import UsageError

LONGEST = 7 * 86_400.0
"""Seconds that a chat lasts at most: the longest ChatDurationInMinutes."""
_MOST_SIGMA = 5.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORMS = "8m, exponential:8m (mean), uniform:2m,10m or lognormal:8m,0.6 (median, sigma)"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Length:
    """A distribution of seconds: its `mean`, the share that lasts longer than each of some times, and random draws.

    `memory` is how long a start can still be felt, in seconds, where that is far longer than the mean; else 0.
    """

    text: str
    mean: float
    survival: Callable[[Array], Array]
    draw: Callable[[np.random.Generator, int], Array]
    memory: float = 0.0


def parse_seconds(text: str) -> float:
    """Read a duration such as 500ms, 30s, 5m or 2h. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(ms|s|m|h)\s*", text)
    if not match or not float(match[1]) > 0:
        raise UsageError(f"{text!r} is not a length; write one like 30s, 8m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def parse_length(text: str) -> Length:
    """Read a distribution of lengths. Raises UsageError that names the forms there are, or the longest mean."""
    length = _parse(text)
    if length.mean > LONGEST:
        raise UsageError(
            f"{text!r}: a mean of over 7 days (168h), which is the longest that a chat may last; give less"
        )
    return length


def _parse(text: str) -> Length:
    name, _, rest = text.strip().partition(":")
    parts = rest.split(",") if rest else []
    if not parts:
        return _fixed(text, parse_seconds(name))
    if name == "exponential" and len(parts) == 1:
        return _exponential(text, parse_seconds(parts[0]))
    if name == "uniform" and len(parts) == 2:
        low, high = parse_seconds(parts[0]), parse_seconds(parts[1])
        if low < high:
            return _uniform(text, low, high)
    if (
        name == "lognormal"
        and len(parts) == 2
        and re.fullmatch(r"\s*\d*\.?\d+\s*", parts[1])
        and 0 < float(parts[1]) <= _MOST_SIGMA
    ):
        return _lognormal(text, parse_seconds(parts[0]), float(parts[1]))
    raise UsageError(f"{text!r} is not a distribution of lengths; write {_FORMS}")


def with_abandoned(length: Length, share: float, duration: float) -> Length:
    """Return the lengths when a `share` of the customers leave without ending: their chats last `duration` seconds.

    Amazon Connect ends such a chat when its ChatDurationInMinutes are over: 25 hours unless the caller asked for less
    (https://docs.aws.amazon.com/connect/latest/APIReference/API_StartChatContact.html).
    """

    def survival(t: Array) -> Array:
        return (1 - share) * length.survival(t) + share * np.where(t < duration, 1.0, 0.0)

    def draw(rng: np.random.Generator, n: int) -> Array:
        return np.where(rng.random(n) < share, duration, length.draw(rng, n))

    mean = (1 - share) * length.mean + share * duration
    return Length(length.text, mean, survival, draw, memory=duration)


def _fixed(text: str, seconds: float) -> Length:
    return Length(text, seconds, lambda t: np.where(t < seconds, 1.0, 0.0), lambda rng, n: np.full(n, seconds))


def _exponential(text: str, mean: float) -> Length:
    return Length(text, mean, lambda t: np.exp(-t / mean), lambda rng, n: rng.exponential(mean, n))


def _uniform(text: str, low: float, high: float) -> Length:
    def survival(t: Array) -> Array:
        return np.clip((high - t) / (high - low), 0.0, 1.0)

    return Length(text, (low + high) / 2, survival, lambda rng, n: rng.uniform(low, high, n))


def _lognormal(text: str, median: float, sigma: float) -> Length:
    def survival(t: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(norm.sf((np.log(t) - math.log(median)) / sigma), dtype=np.float64)

    mean = median * math.exp(sigma**2 / 2)
    return Length(text, mean, survival, lambda rng, n: rng.lognormal(math.log(median), sigma, n))
