"""Expected arrivals: a constant rate, or a day from a CSV file."""

import csv
import math
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError

_DAY = 86_400.0
_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FORM = "a rate such as 4/s, 240/m or 9000/h, or a CSV file of time,arrivals"


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
    """Read a CSV of two columns: a time (HH:MM, ISO 8601 or seconds) and how many chats arrive until the next row.

    The last interval is as long as the one before it, but times of day end at midnight.

    If the second column's header is "rate", it holds rates in 1/s instead. Raises UsageError that names the line.
    """
    try:
        rows = [
            row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if any(cell.strip() for cell in row)
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as CSV ({error}); give {_FORM}") from error
    header = rows[0] if rows and _number(rows[0][-1]) is None else None
    body = rows[1:] if header else rows
    if len(body) < 2:
        raise UsageError(f"{path} has fewer than two intervals; give rows of time,arrivals")
    starts, values = [], []
    for number, row in enumerate(body, 2 if header else 1):
        time = _time(row[0].strip()) if len(row) == 2 else None
        value = _number(row[1]) if len(row) == 2 else None
        if time is None or value is None or value < 0:
            raise UsageError(f"{path}, row {number}: {','.join(row)!r} is not a time and a number of arrivals")
        starts.append(time)
        values.append(value)
    if any(later <= earlier for earlier, later in pairwise(starts)):
        raise UsageError(f"{path}: the times do not grow from row to row; sort them")
    steps = np.diff(starts)
    last = steps[-1]
    if all(":" in row[0] for row in body) and starts[-1] < _DAY:
        last = min(last, _DAY - starts[-1])  # times of day end at midnight
    widths = np.append(steps, last)
    is_rate = header is not None and header[1].strip().lower() == "rate"
    rates = np.array(values) if is_rate else np.array(values) / widths
    if not rates.any():
        raise UsageError(f"{path} has no arrivals; there is nothing to plan")
    return Day(
        np.array(starts) - starts[0], rates, float(widths.sum()), tuple(row[0].strip() for row in body), constant=False
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _time(text: str) -> float | None:
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text):
        return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3] or 0)
    if (value := _number(text)) is not None:
        return value
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
