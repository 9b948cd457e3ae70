"""Compares a run with an earlier one for its page: the one that is named, or the newest like it in a directory."""

from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.layout import MANIFEST
from reports.capacity.load import load_capacity
from reports.capacity.model import Capacity
from reports.compare.comparison import TOLERANCE, Delta, compare, differences
from reports.compare.texts import cell_text, change_text
from reports.page.baseline import BaselineRow, BaselineView

_MOST_TRIED = 50
_NOTHING = frozenset[str]()


def load_baseline(path: Path) -> list[tuple[Path, Capacity]]:
    """Return the answers to compare with: that of the run at `path`, or of the runs in it, newest first.

    Raises UsageError where neither is there.
    """
    if (path / MANIFEST).exists() or (path / "capacity.json").exists() or path.is_file():
        return [(path, load_capacity(path))]
    if not path.is_dir():
        raise UsageError(f"--baseline {path}: no run and no directory of runs is there")
    found = sorted((each for each in path.iterdir() if (each / "capacity.json").is_file()), reverse=True)
    answers = []
    for each in found[:_MOST_TRIED]:
        try:
            answers.append((each, load_capacity(each)))
        except UsageError:
            continue  # a run that cannot be read is not a baseline; another may be
    if not answers:
        raise UsageError(f"--baseline {path}: no run there has a report; make one with `chatquota report RUN`")
    return sorted(answers, key=lambda each: each[1].run.started_at or 0.0, reverse=True)


def baseline_view(answer: Capacity, candidates: list[tuple[Path, Capacity]]) -> BaselineView:
    """Compare `answer` with the newest of `candidates` that was made under the same conditions before it."""
    others = [(path, other) for path, other in candidates if other.run.id != answer.run.id or len(candidates) == 1]
    before = [each for each in others if (each[1].run.started_at or 0.0) <= (answer.run.started_at or 0.0)] or others
    if not before:
        return BaselineView("", "There is no other run to compare with.", [])
    for path, other in before:
        if other.generator.valid and not differences(other, answer, _NOTHING):
            return _compared(path, other, answer)
    path, other = before[0]
    found = differences(other, answer, _NOTHING)
    why = f"they differ in {', '.join(found)}" if found else f"it is not valid ({'; '.join(other.generator.reasons)})"
    return BaselineView(str(path), f"Not compared with {path}: {why}.", [])


def _compared(path: Path, base: Capacity, answer: Capacity) -> BaselineView:
    rows = compare(base, answer, TOLERANCE)
    worse = [row.metric for row in rows if row.direction == "worse"]
    better = [row.metric for row in rows if row.direction == "better"]
    parts = [f"{what}: {', '.join(names)}" for what, names in (("worse", worse), ("better", better)) if names] or [
        "no change shown"
    ]
    beware = "" if answer.generator.valid else " This run is not valid: do not rely on its side."
    return BaselineView(str(path), f"Against {path}: {'; '.join(parts)}.{beware}", [_row(row) for row in rows])


def _row(row: Delta) -> BaselineRow:
    return BaselineRow(row.metric, cell_text(row.base), cell_text(row.new), change_text(row), row.direction, row.why)
