"""How long a started chat stays open: `--hold`."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_FORMS = "0s, 30s, uniform:1m,3m, exponential:5m (mean) or lognormal:8m,0.6 (median, sigma)"


@dataclass(frozen=True)
class Hold:
    """A distribution of seconds. `text` is how the user wrote it, `mean` its expectation."""

    text: str
    mean: float
    draw: Callable[[random.Random], float]


def parse_duration(text: str) -> float:
    """Read a duration such as 500ms, 30s, 5m or 25h and return seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write one like 500ms, 30s, 5m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def parse_hold(text: str) -> Hold:
    """Read a `--hold` distribution. Raises ValueError, naming the forms there are."""
    name, _, rest = text.strip().partition(":")
    arguments = rest.split(",") if rest else []
    try:
        if not rest:
            seconds = parse_duration(name)
            return Hold(text, seconds, lambda rng: seconds)
        if name == "exponential" and len(arguments) == 1:
            mean = _positive(parse_duration(arguments[0]))
            return Hold(text, mean, lambda rng: rng.expovariate(1 / mean))
        if name == "uniform" and len(arguments) == 2:
            low, high = (parse_duration(argument) for argument in arguments)
            if low > high:
                raise ValueError("the lower bound is over the upper")
            return Hold(text, (low + high) / 2, lambda rng: rng.uniform(low, high))
        if name == "lognormal" and len(arguments) == 2:
            median, sigma = _positive(parse_duration(arguments[0])), _positive(float(arguments[1]))
            return Hold(text, median * exp(sigma**2 / 2), lambda rng: rng.lognormvariate(log(median), sigma))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a distribution ({error}); write {_FORMS}") from error
    raise ValueError(f"{text!r} is not a distribution; write {_FORMS}")


def _positive(value: float) -> float:
    if not value > 0 or value == float("inf"):
        raise ValueError("it must be over zero")
    return value
