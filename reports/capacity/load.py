"""Reads a `capacity.json` that an earlier report wrote."""

import json
from pathlib import Path
from typing import Any

from harness.errors import UsageError


def load_answer(path: Path) -> dict[str, Any]:
    """Read the capacity.json of a run directory, or the file itself. Raises UsageError that says how to make one."""
    file = path / "capacity.json" if path.is_dir() else path
    try:
        answer = json.loads(file.read_bytes())
    except FileNotFoundError:
        if path.is_dir():
            raise UsageError(f"{path} has no capacity.json; make it with 'chatquota report {path}'") from None
        raise UsageError(f"{path} does not exist; give a run directory or a capacity.json") from None
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{file} is not a capacity.json; make it with 'chatquota report RUN'") from None
    wanted = ("tps", "active_chats", "outcomes", "latency_ms", "generator", "run")
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), dict) for name in wanted):
        raise UsageError(f"{file} is not a capacity.json; make it with 'chatquota report RUN'")
    if answer.get("schema") != 1:
        raise UsageError(f"{file} has schema {answer.get('schema')}; this chatquota reads schema 1")
    return answer
