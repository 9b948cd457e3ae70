"""Manifests from anywhere: what is of the wrong type is left out, and what is read can be written back."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.recording.format.layout import MANIFEST
from harness.recording.format.manifest import NotReadable, WorkerClock, read_manifest, write_manifest


def store(directory: Path, **members: Any) -> Path:
    """A run directory whose manifest has these members."""
    (directory / MANIFEST).write_text(json.dumps({"schema": 1, "run_id": "r", **members}))
    return directory


@pytest.mark.parametrize("wrong", ["x", 1, [], {"moved": "x"}, {"moved": None}])
def test_a_clock_that_is_none_is_left_out(wrong: Any, tmp_path: Path) -> None:
    """Of a table of tables one wrong entry takes the table out, and the problem is named."""
    stored = read_manifest(store(tmp_path, clocks={"w-0": {"moved": 0.5}, "w-1": wrong}))
    assert stored.contents.clocks == {}
    assert stored.contents.run_id == "r"
    assert [problem for problem in stored.problems if "clocks" in problem]


def test_clocks_are_read(tmp_path: Path) -> None:
    """The measured clock of each worker is there, what was not measured as None."""
    stored = read_manifest(store(tmp_path, clocks={"w-0": {"moved": 0.5, "within": None}}))
    assert stored.contents.clocks == {"w-0": WorkerClock(moved=0.5)}


@pytest.mark.parametrize("levels", [10, 200, 300, 900])
def test_a_manifest_that_is_read_can_be_written(levels: int, tmp_path: Path) -> None:
    """Whatever is nested too deeply to be written back is refused before anything is done for the run."""
    nested: Any = 0
    for _ in range(levels):
        nested = [nested]
    store(tmp_path, options={"x": nested})
    if levels > 250:
        with pytest.raises(NotReadable, match="nested too deeply"):
            read_manifest(tmp_path)
    else:
        write_manifest(tmp_path, read_manifest(tmp_path).tables)
        assert read_manifest(tmp_path).tables["options"] == {"x": nested}
