"""Writes numbers, intervals, shares, times and counts for a reader: the one place that knows how many digits to show."""

import math
from datetime import UTC, datetime
from typing import Protocol

from reports.wording.vocabulary import LABELS

UNKNOWN = "unknown"


class Bounded(Protocol):
    """A number and the bounds it lies between; None where nothing is known."""

    @property
    def estimate(self) -> float | None:
        """The likeliest value."""

    @property
    def low(self) -> float | None:
        """What it is at least."""

    @property
    def high(self) -> float | None:
        """What it is at most."""


def interval(entry: Bounded, unit: str = "") -> str:
    """An estimate with its bounds, or what there is of it."""
    if entry.high is None:
        return at_least(entry, unit) if entry.low is not None else "unknown" if entry.estimate is None else "not met"
    if entry.estimate is None:
        return f"{between(entry, unit)}"
    if entry.low == entry.high:
        return f"{number(entry.estimate)}{unit} (exact)"
    return f"{number(entry.estimate)}{unit} ({_bound(entry.low)} to {_bound(entry.high)})"


def at_least(entry: Bounded, unit: str = "") -> str:
    """The lower bound of a number: never its estimate."""
    return f"at least {number(entry.low)}{unit}" if entry.low else "not known"


def lies(entry: Bounded, unit: str = "") -> str:
    """Where a number lies, as the end of a sentence."""
    if entry.high is None:
        return f"is {at_least(entry, unit)}"
    if entry.low == entry.high:
        return f"is exactly {number(entry.high)}{unit}"
    return f"lies between {between(entry, unit)}"


def known(entry: Bounded) -> str:
    """A number with the digits that its interval leaves: 4.9993 within 4.998 and 5.001 is 5.00. A bare bound says so."""
    value, low, high = entry.estimate, entry.low, entry.high
    if high is None or value is None:
        return at_least(entry)
    if low is None or high <= low:
        return number(value)
    decimals = max(0, math.floor(-math.log10((high - low) / 2)))
    while decimals < 6 and not low <= round(value, decimals) <= high:
        decimals += 1
    return f"{value:,.{min(decimals, 6)}f}"


def with_bounds(entry: Bounded) -> str:
    """A number and its bounds with one digit more than is sure, the bounds rounded outwards: "5.0 (4.9 to 5.3)"."""
    value, low, high = entry.estimate, entry.low, entry.high
    if value is None or low is None or high is None or not 0 < high - low < 1e9:
        return interval(entry)
    decimals = min(6, max(0, math.ceil(-math.log10((high - low) / 2))))
    step = 10.0**-decimals
    least, most = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    return f"{value:,.{decimals}f} ({least:,.{decimals}f} to {most:,.{decimals}f})"


def at_once(low: float, high: float) -> str:
    """How many were admitted at once, in whole calls: what was refilled meanwhile is taken off, and leaves parts of one."""
    return spread(round(low), round(high))


def between(entry: Bounded, unit: str = "") -> str:
    """The two bounds of an estimate."""
    return f"{_bound(entry.low)} and {_bound(entry.high)}{unit}"


def spread(low: float, high: float) -> str:
    """Two bounds as "4.9 to 5.2", or one number where they are equal."""
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _bound(value: float | None) -> str:
    return UNKNOWN if value is None else number(value)


def number(value: float) -> str:
    """A number with at most four significant digits, thousands grouped; never with an exponent."""
    value = float(value)
    if not math.isfinite(value):
        return UNKNOWN
    if value.is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0 or abs(value) < 1e-6:
        return "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".")


def rounded_down(value: float) -> str:
    """A lower bound with three significant digits, rounded down: what is promised is never more than what is known."""
    if not 0 < value < 1e9:
        return number(value)
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return number(math.floor(value / step + 1e-9) * step)


def milliseconds(value: float | None) -> str:
    """A latency in ms with at most three significant digits below 100; "" for none."""
    if value is None:
        return ""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    decimals = min(3, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{decimals}f}"


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage with two or three significant digits."""
    value = share * 100
    if value == 0 or value >= 99.95:
        return f"{value:.0f} %"
    if value < 0.01:
        return "under 0.01 %"
    text = f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    return f"{text.removesuffix('.0')} %"


def contrary_share(share: float) -> str:
    """The share of contrary decisions, with two digits as everywhere: more are not known."""
    return f"{share * 100:.2g} %"


def wilson(count: int, calls: int, widening: float = 1.0) -> tuple[float, float]:
    """Wilson's 95 % interval of the share `count` of `calls` (over 0), `widening` times as wide as for independent calls."""
    z = 1.96 * widening
    p, scale = count / calls, 1 + z * z / calls
    centre = (p + z * z / (2 * calls)) / scale
    half = z * math.sqrt(p * (1 - p) / calls + z * z / (4 * calls * calls)) / scale
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def share(count: int, calls: int, bounds: tuple[float, float] | None = None) -> str:
    """A share of calls with its 95 % interval, of independent calls unless told: "46.9 % (41.1 to 52.6)"."""
    return share_of(count / calls, bounds or wilson(count, calls))


def share_of(value: float, bounds: tuple[float, float]) -> str:
    """A share with its interval."""
    return f"{percent(value)} ({bounds[0] * 100:.1f} to {bounds[1] * 100:.1f})"


def rounded(value: float, digits: int = 3) -> str:
    """A number with so many significant digits (up to four), thousands grouped; never with an exponent."""
    return number(float(f"{value:.{digits}g}"))


def signed(value: float) -> str:
    """A change, with its sign, four significant digits and no exponent."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}"


def seconds(value: float) -> str:
    """A length of time for a reader."""
    if not math.isfinite(value):
        return UNKNOWN
    if 0 < value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 60 or (value < 120 and value % 60):
        return f"{value:,.3g} s" if value < 100 else f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:,.3g} min"
    return f"{value / 3600:,.1f} h".replace(".0 h", " h")


def utc(unix: float | None) -> str:
    """A unix time in UTC, to the second."""
    if unix is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def label(outcome: str) -> str:
    """An outcome's name for a reader."""
    return LABELS.get(outcome, outcome)
