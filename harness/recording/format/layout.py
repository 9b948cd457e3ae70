"""The run directory: where a run is recorded, and its manifest `run.json`."""

import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

import orjson

from harness.errors import UsageError
from harness.recording.format.schema import RUN_SCHEMA

MANIFEST = "run.json"
SAMPLES = "samples"


def new_run_id(user_class: str, at: float | None = None) -> str:
    """Return a run's id: UTC time, user class and a random part, so that two machines never share one."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return f"{stamp}-{_slug(user_class)}-{secrets.token_hex(3)}"


def create_run_directory(chosen: str, run_id: str) -> Path:
    """Create and return the directory of a run: `chosen`, or by default `runs/<UTC time>-<user class>`.

    Raises UsageError when `chosen` already holds a run or cannot be made.
    """
    try:
        if chosen:
            path = Path(chosen)
            if (path / MANIFEST).exists():
                raise UsageError(f"--run-dir {chosen}: it already holds a run; name a new directory")
            path.mkdir(parents=True, exist_ok=True)
            return path.resolve()
        base = Path("runs") / run_id.rsplit("-", 1)[0]
        for attempt in range(1, 1000):
            path = base if attempt == 1 else base.with_name(f"{base.name}-{attempt}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return path.resolve()
    except OSError as error:
        where = chosen or "runs/"
        raise UsageError(
            f"--run-dir {where}: {(error.strerror or 'cannot be made').lower()}; name a writable one"
        ) from error
    raise UsageError("runs/ holds a thousand runs of this second; give --run-dir")


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Replace `run.json` in one step, so that a reader never sees half of it."""
    partial = directory / f".{MANIFEST}.{os.getpid()}"
    partial.write_bytes(orjson.dumps({"schema": RUN_SCHEMA, **manifest}, option=orjson.OPT_INDENT_2) + b"\n")
    partial.replace(directory / MANIFEST)


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return `run.json` of a run directory.

    Raises UsageError, in one line, when there is none, it cannot be read, or a newer chatquota wrote it.
    """
    path = directory / MANIFEST
    try:
        manifest = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{directory}: no {MANIFEST} there; name a run directory, such as one under runs/") from error
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}: no valid JSON ({error}); the file is damaged") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("schema"), int):
        raise UsageError(f"{path}: not the manifest of a run")
    if manifest["schema"] > RUN_SCHEMA:
        raise UsageError(
            f"{path}: written by a newer chatquota (schema {manifest['schema']}, this one reads {RUN_SCHEMA}); upgrade"
        )
    return manifest


def _slug(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
