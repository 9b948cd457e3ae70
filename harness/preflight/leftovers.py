"""Chats of earlier runs on the same instance that were left open, as this machine's run directories tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.preflight.rows import Row

_MOST_RUNS = 500
_MOST_BYTES = 4 << 20


class _Target(msgspec.Struct):
    instance_id: str = ""


class _Chats(msgspec.Struct):
    left_open: int = 0


class _Run(msgspec.Struct):
    status: str = ""
    target: _Target = msgspec.field(default_factory=_Target)
    chats: _Chats = msgspec.field(default_factory=_Chats)


def check_leftovers(runs: Path, instance_id: str) -> Iterator[Row]:
    """Yield a row for each earlier run of the instance that left chats open or never ended, newest first."""
    found = False
    for path in sorted(runs.glob("*/run.json"), reverse=True)[:_MOST_RUNS]:
        run = _read(path)
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


def _read(path: Path) -> _Run | None:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=_Run)
    except (OSError, msgspec.MsgspecError):
        return None
