"""Load profiles as functions of time: ramp, steps, spike, waves, soak, and a day's curve from a CSV file (`--load-shape`).

A curve gives a share of the peak, so that one profile serves any `--users`; a day's curve gives chat starts per second.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.day_file import read_day_file
from harness.durations import parse_duration

FORMS = "ramp:2m, steps:5,1m, spike:2m,30s,0.1, waves:3,10s,5s, soak:8h or day:FILE.csv,60"
DAY = "day"
"""The form that names a file."""


@dataclass(frozen=True)
class Curve:
    """`at(seconds)` for 0 <= seconds < `seconds`: a share of the peak from 0 to 1, or with `absolute` starts per second."""

    text: str
    seconds: float
    at: Callable[[float], float]
    absolute: bool = False


def parse_curve(text: str) -> Curve:
    """Read a `--load-shape`. Raises ValueError, in one line with the forms there are.

    `ramp:2m` rises from nothing to the peak; `steps:5,1m` takes five equal steps of a minute each; `spike:2m,30s,0.1` holds
    a tenth of the peak for 2 min, the peak for 30 s, and a tenth again for 2 min; `waves:3,10s,5s` holds the peak for 10 s
    and rests for 5 s, three times, so that a bucket fills again between; `soak:8h` holds the peak;
    `day:FILE.csv,60` follows the file 60 times faster than the day (see `read_day`).
    """
    name, _, rest = text.partition(":")
    arguments = [argument.strip() for argument in rest.split(",")] if rest else []
    counts, curve = _CURVES.get(name, ((), None))
    if curve is None or len(arguments) not in counts:
        raise ValueError(f"{text!r} is not a load shape; write {FORMS}")
    try:
        return curve(text, arguments)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error


def read_day(path: str, speed: float, text: str) -> Curve:
    """Follow a day's file, `speed` times faster than the day (see `harness.day_file`). Raises ValueError."""
    day = read_day_file(path)
    return Curve(text, day.length / speed, lambda seconds: day.at(seconds * speed), absolute=True)


def _ramp(text: str, arguments: list[str]) -> Curve:
    rise = _seconds(arguments[0])
    return Curve(text, rise, lambda at: at / rise)


def _steps(text: str, arguments: list[str]) -> Curve:
    steps, each = _count(arguments[0]), _seconds(arguments[1])
    return Curve(text, steps * each, lambda at: min(int(at / each) + 1, steps) / steps)


def _spike(text: str, arguments: list[str]) -> Curve:
    before, high = _seconds(arguments[0]), _seconds(arguments[1])
    base = _share(arguments[2]) if len(arguments) == 3 else 0.1
    return Curve(text, 2 * before + high, lambda at: 1.0 if before <= at < before + high else base)


def _waves(text: str, arguments: list[str]) -> Curve:
    waves, high, rest = _count(arguments[0]), _seconds(arguments[1]), _seconds(arguments[2])
    return Curve(text, waves * (high + rest), lambda at: 1.0 if at % (high + rest) < high else 0.0)


def _soak(text: str, arguments: list[str]) -> Curve:
    return Curve(text, _seconds(arguments[0]), lambda at: 1.0)


def _day(text: str, arguments: list[str]) -> Curve:
    return read_day(arguments[0], _speed(arguments[1]) if len(arguments) == 2 else 1.0, text)


def _seconds(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("a duration over 0 is needed")
    return seconds


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError("the base is a share of the peak from 0 to 1")
    return share


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < math.inf:
        raise ValueError("the speed is a number over 0")
    return speed


_CURVES: dict[str, tuple[tuple[int, ...], Callable[[str, list[str]], Curve]]] = {
    "ramp": ((1,), _ramp),
    "steps": ((2,), _steps),
    "spike": ((2, 3), _spike),
    "waves": ((3,), _waves),
    "soak": ((1,), _soak),
    DAY: ((1, 2), _day),
}
"""The name of each form, how many arguments it takes, and its curve."""
