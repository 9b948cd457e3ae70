"""Run directories that the tests of reports read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reports.synthetic import Scenario, simulate, write_run

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write the run of a scenario into a fresh directory; keyword arguments replace entries of run.json."""
    made: list[Path] = []

    def make(scenario: Scenario | None = None, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        path = tmp_path / f"run-{len(made)}"
        made.append(path)
        return write_run(path, simulate(scenario or Scenario()) if rows is None else rows, **changes)

    return make
