"""Chats of earlier runs on the same instance that were left open, as this machine's run directories tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.preflight.model.rows import Row
from harness.recording.format.layout import MANIFEST
from harness.recording.format.manifest import Manifest, load_manifest

_MOST_RUNS = 500


def check_leftovers(runs: Path, instance_id: str) -> Iterator[Row]:
    """Yield a row for each earlier run of the instance that left chats open or never ended, newest first."""
    found = False
    for path in sorted(runs.glob(f"*/{MANIFEST}"), reverse=True)[:_MOST_RUNS]:
        run = _read(path.parent)
        if run is None or run.target.instance_id != instance_id:
            continue
        command = f"`chatquota cleanup {path.parent}`"
        if run.status == "running":
            found = True
            text = (
                f"{path.parent.name} is running or was killed; where it was killed, {command} stops the chats it left"
            )
            yield Row(check="leftovers", state="note", text=text)
        elif run.chats.left_open:
            found = True
            text = f"{path.parent.name} left {run.chats.left_open} chats open, which count against the quota: {command}"
            yield Row(check="leftovers", state="note", text=text)
    if not found:
        yield Row(check="leftovers", state="ok", text=f"no run in {runs} left a chat open on this instance")


def _read(directory: Path) -> Manifest | None:
    try:
        return load_manifest(directory).contents
    except (OSError, UsageError):
        return None
