"""Reads what AWS declared in a run: quotas and CloudWatch metrics, each with its source, or why there is none."""

import msgspec
from msgspec import Struct

from harness.recording.format.manifest import Number, Table, Text


class DeclaredValue(Struct, frozen=True):
    """A quota or metric that AWS declares, with its source, or an error that says why there is none."""

    value: Number | None = None
    source: Text | None = None
    error: Text | None = None


def declared_value(declared: Table, name: str) -> DeclaredValue | None:
    """Return the entry `name` of the declared values; None where there is none, or it is not such an entry."""
    entry = declared.get(name)
    if not isinstance(entry, dict):
        return None
    try:
        return msgspec.convert(entry, DeclaredValue)
    except msgspec.ValidationError:
        return None
