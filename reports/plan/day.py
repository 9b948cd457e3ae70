"""Expected arrivals: a constant rate, or a day from a CSV file."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.day_file import FORM, DayFile, read_day_file
from harness.errors import UsageError

_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FORM = f"a rate such as 4/s, 240/m or 9000/h, or {FORM}"
_STEPS = 1440
_HOUR = 3600.0


@dataclass(frozen=True)
class Day:
    """Arrival rates over time: `rates[i]` (1/s) holds from `starts[i]` seconds on; `length` seconds in all.

    `constant`: one rate that holds for ever, so that limits are judged in their steady state. `labels` name the starts.
    """

    starts: NDArray[np.float64]
    rates: NDArray[np.float64]
    length: float
    labels: tuple[str, ...]
    constant: bool = False

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rate (1/s) at each of some times (s)."""
        return self.rates[np.clip(np.searchsorted(self.starts, seconds, side="right") - 1, 0, None)]

    def label(self, seconds: float) -> str:
        """The name of the interval that holds a time (s)."""
        return self.labels[int(np.clip(np.searchsorted(self.starts, seconds, side="right") - 1, 0, None))]

    def repeated(self, times: int) -> "Day":
        """The same day `times` times in a row."""
        offsets = np.repeat(np.arange(times) * self.length, len(self.starts))
        starts = np.tile(self.starts, times) + offsets
        return Day(starts, np.tile(self.rates, times), self.length * times, self.labels * times, self.constant)

    def before(self, memory: float) -> int:
        """How many days like this one, before it, can still be felt in it after `memory` seconds."""
        return 0 if self.constant else math.ceil(memory / self.length)

    @property
    def expected(self) -> float:
        """How many arrivals the day has on average."""
        ends = np.append(self.starts[1:], self.length)
        return float(self.rates @ (ends - self.starts))

    @property
    def busiest_hour(self) -> tuple[str | None, float]:
        """With which interval the hour with the most arrivals begins (None: within one), and how many it has.

        Of a day that is shorter than an hour, all of it.
        """
        edges = np.append(self.starts, self.length)
        so_far = np.concatenate(([0.0], np.cumsum(self.rates * np.diff(edges))))
        begins = np.clip(np.concatenate((self.starts, edges - _HOUR)), 0.0, max(0.0, self.length - _HOUR))
        counts = np.interp(begins + _HOUR, edges, so_far) - np.interp(begins, edges, so_far)
        begin, most = float(begins[counts.argmax()]), float(counts.max())
        return self.label(begin) if begin in self.starts else None, most


def parse_arrivals(text: str) -> Day:
    """Read `--arrivals`: a rate, or the path of a CSV file. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|m|min|h)\s*", text)
    if match:
        rate = float(match[1]) / _PER[match[2]]
        if rate <= 0:
            raise UsageError(f"--arrivals {text!r}: the rate must be over zero")
        return Day(np.zeros(1), np.array([rate]), 3600.0, ("any time",), constant=True)
    path = Path(text)
    if not path.is_file():
        raise UsageError(f"--arrivals {text!r} is neither a file nor a rate; give {_FORM}")
    return read_day(path)


def read_day(path: Path) -> Day:
    """Read a day's file as `--load-shape` does (see `harness.day_file`). Raises UsageError that names the row."""
    try:
        file = read_day_file(str(path))
    except ValueError as error:
        raise UsageError(str(error)) from error
    starts, rates = np.array(file.starts) - file.starts[0], np.array(file.rates)
    if len(rates) == 1:
        return Day(starts, rates, file.length, file.labels)
    if file.interpolated:
        return _by_steps(file)
    return Day(starts, rates, file.length, file.labels)


def _by_steps(file: DayFile) -> Day:
    """A day whose rates go from row to row, as short steps of one rate each."""
    starts = np.array(file.starts) - file.starts[0]
    edges = np.unique(np.concatenate((starts, np.linspace(0.0, file.length, _STEPS, endpoint=False))))
    widths = np.diff(np.append(edges, file.length))
    rates = np.array([file.at(float(at)) for at in edges + widths / 2])
    rows = np.searchsorted(starts, edges, side="right") - 1
    return Day(edges, rates, file.length, tuple(file.labels[row] for row in rows))
