"""Makes the report of a run as its user does, and checks its answer against the published schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from harness.command import main
from reports.capacity.schema import PUBLISHED

SHAPE = json.loads(PUBLISHED.read_text())


def report(path: Path, *, figures: bool = False) -> dict[str, Any]:
    """Report the run at `path` and return its capacity.json, valid by the published schema."""
    assert main(["report", str(path), *([] if figures else ["--no-figures"])]) == 0
    answer: dict[str, Any] = json.loads((path / "capacity.json").read_text())
    jsonschema.validate(answer, SHAPE)
    return answer
