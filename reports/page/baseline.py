"""What the page shows of an earlier run: each metric beside this run's, or why they cannot be compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BaselineRow:
    """One metric in both runs, as texts; `direction` is "worse", "better" or another verdict in words."""

    metric: str
    base: str
    new: str
    change: str
    direction: str
    why: str


@dataclass(frozen=True)
class BaselineView:
    """The comparison with an earlier run: a sentence, and rows where the two may be compared."""

    run: str
    sentence: str
    rows: list[BaselineRow]
