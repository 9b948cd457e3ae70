"""Publishes the shape of `capacity.json` as JSON Schema, made from its type: `python -m reports.capacity.schema`."""

import json
from pathlib import Path

import msgspec

from reports.capacity.model import SCHEMA, Capacity

PUBLISHED = Path(__file__).with_name("capacity.schema.json")


def schema_text() -> str:
    """Return the JSON Schema of `capacity.json` as it is published."""
    shape = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:chatquota:capacity:{SCHEMA}",
        "title": f"capacity.json, schema {SCHEMA}: the answer of one chatquota run",
        **msgspec.json.schema(Capacity, schema_hook=_anything),
    }
    return json.dumps(shape, indent=2, ensure_ascii=False) + "\n"


def _anything(kind: type) -> dict[str, object]:
    """Return the schema of `object`, in the tables whose keys are not part of the promise: any value."""
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)


if __name__ == "__main__":
    PUBLISHED.write_text(schema_text(), encoding="utf-8")
