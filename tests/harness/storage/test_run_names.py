"""`latest` is the run that began last, whatever its directory is called."""

import json
import os
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.storage.run_names import newest_run


def _run(runs: Path, name: str, content: str, written: float) -> Path:
    directory = runs / name
    directory.mkdir()
    manifest = directory / "run.json"
    manifest.write_text(content)
    os.utime(manifest, (written, written))
    return directory


def test_newest_run_is_the_one_that_began_last(tmp_path: Path) -> None:
    """Names that somebody chose do not matter, nor does a manifest that was written anew; a broken one goes by its time."""
    one = _run(tmp_path, "one", json.dumps({"schema": 1, "started_at": 2000.0}), written=100.0)
    _run(tmp_path, "two", json.dumps({"schema": 1, "started_at": 1000.0}), written=9000.0)
    assert newest_run(tmp_path) == one
    broken = _run(tmp_path, "a", "{", written=3000.0)
    assert newest_run(tmp_path) == broken


def test_no_run_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    """An empty directory is one line."""
    with pytest.raises(UsageError, match="make a run with `chatquota run`"):
        newest_run(tmp_path)
