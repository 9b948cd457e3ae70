"""Reads a day of expected chats from a CSV file: the same meaning for `--load-shape day:FILE` and for `chatquota plan`."""

import csv
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from harness.input_files import read_bounded

DAY = 86_400.0
FORM = "a CSV file of time,arrivals or time,starts_per_s"
_RATES = frozenset({"starts_per_s", "rate"})
"""Headers of a second column that holds chat starts a second at that moment; any other holds chats until the next row."""


@dataclass(frozen=True)
class DayFile:
    """Chat starts over time: `rates[i]` a second from `starts[i]` seconds on, for `length` seconds after the first row.

    Counts of arrivals are spread evenly until the next row. Rates are `interpolated` to the next row's. `labels` are the
    times as the file has them.
    """

    starts: tuple[float, ...]
    rates: tuple[float, ...]
    length: float
    labels: tuple[str, ...]
    interpolated: bool

    def at(self, seconds: float) -> float:
        """Return the chat starts a second at a time after the first row."""
        moment = self.starts[0] + seconds
        index = max(bisect_right(self.starts, moment), 1)
        if not self.interpolated or index == len(self.starts):
            return self.rates[index - 1]
        share = (moment - self.starts[index - 1]) / (self.starts[index] - self.starts[index - 1])
        return self.rates[index - 1] + share * (self.rates[index] - self.rates[index - 1])


def read_day_file(path: str) -> DayFile:
    """Read a file of two columns: a time (HH:MM, ISO 8601 or seconds), and chats until the next row or starts a second.

    The last count lasts as long as the one before it, the last rate until midnight; times of day end at midnight. Raises
    ValueError, in one line that names the file and the row.
    """
    try:
        content = read_bounded(path, FORM).decode("utf-8-sig")
        rows = [row for row in csv.reader(content.splitlines()) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8; name {FORM}") from error
    header = rows[0] if rows and _number(rows[0][-1]) is None else None
    body = rows[1:] if header else rows
    is_rate = header is not None and len(header) == 2 and header[1].strip().lower() in _RATES
    if len(body) < (1 if is_rate else 2):
        raise ValueError(f"{path} has too few rows; write {FORM}")
    starts, values = _columns(path, body, 2 if header else 1)
    by_clock = all(":" in row[0] for row in body)
    widths = [later - earlier for earlier, later in pairwise(starts)]
    widths.append(_last_width(starts, widths, by_clock, is_rate))
    rates = values if is_rate else [value / width for value, width in zip(values, widths, strict=True)]
    if not any(rates):
        raise ValueError(f"{path} has no arrivals; there is nothing to offer or to plan")
    labels = tuple(row[0].strip() for row in body)
    return DayFile(tuple(starts), tuple(rates), sum(widths), labels, is_rate)


def _columns(path: str, body: list[list[str]], first: int) -> tuple[list[float], list[float]]:
    starts: list[float] = []
    values: list[float] = []
    for number, row in enumerate(body, first):
        time = _time(row[0].strip()) if len(row) == 2 else None
        value = _number(row[1]) if len(row) == 2 else None
        if time is None or value is None or value < 0:
            raise ValueError(f"{path}, row {number}: {','.join(row)!r} is not a time and a number of 0 or more")
        if starts and time <= starts[-1]:
            raise ValueError(f"{path}, row {number}: the times do not grow from row to row; sort them")
        starts.append(time)
        values.append(value)
    return starts, values


def _last_width(starts: list[float], widths: list[float], by_clock: bool, is_rate: bool) -> float:
    left = DAY - starts[-1]
    if by_clock and left > 0:
        return left if is_rate or not widths else min(widths[-1], left)
    return widths[-1] if widths else DAY


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str) -> float | None:
    if match := re.fullmatch(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?", text):
        return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3] or 0)
    if (value := _number(text)) is not None:
        return value
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
