"""Says one metric of a comparison in a few characters, for tables."""

from reports.compare.comparison import Delta, Figure
from reports.wording.numbers import number, signed


def cell_text(one: Figure | None) -> str:
    """A metric of one run as a table has it."""
    if one is None:
        return "-"
    return f">= {number(one.low)}" if one.estimate is None else number(one.estimate)


def change_text(row: Delta) -> str:
    """What changed between two runs, with its interval."""
    if row.change is None:
        return "-"
    change, low, high = row.change
    relative = ""
    if row.base is not None and row.base.estimate and not row.metric.startswith("outcome_share"):
        relative = f" ({change / row.base.estimate:+.1%})"
    return f"{signed(change)}{relative} [{signed(low)}, {signed(high)}] {row.level}"
