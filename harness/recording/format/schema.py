"""The columns of a sample: one row for each attempt on the wire. Readers and writers both start here."""

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow.lib import StringBuilder

from harness.recording.format.layout import RUN_SCHEMA


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One attempt on the wire.

    `scheduled`, `sent` and `received` are unix seconds; `sent - scheduled` is the generator's own lateness and `received`
    is when the answer was there or was given up. `status` is 0 without an answer. For StartChatContact `contact_id` is the
    started chat, for other operations the chat that the call is about. Sizes are UTF-8 bytes, `duration_minutes` is the
    request's ChatDurationInMinutes; 0 is none. `end_reason` is why somebody else has ended the chat (EndReason).
    """

    operation: str
    scheduled: float
    sent: float
    received: float
    outcome: str
    status: int = 0
    error_code: str | None = None
    worker: str = "local"
    contact_id: str | None = None
    content_types: str | None = None
    attribute_bytes: int = 0
    attribute_count: int = 0
    message_bytes: int = 0
    duration_minutes: int = 0
    request_id: str | None = None
    kind: str | None = None
    end_reason: str | None = None


_LABEL = pa.dictionary(pa.int32(), pa.string())

SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("operation", _LABEL),
        pa.field("scheduled", pa.float64()),
        pa.field("sent", pa.float64()),
        pa.field("received", pa.float64()),
        pa.field("outcome", _LABEL),
        pa.field("status", pa.int16()),
        pa.field("error_code", _LABEL),
        pa.field("worker", _LABEL),
        pa.field("contact_id", pa.string()),
        pa.field("content_types", _LABEL),
        pa.field("attribute_bytes", pa.int32()),
        pa.field("attribute_count", pa.int32()),
        pa.field("message_bytes", pa.int32()),
        pa.field("duration_minutes", pa.int32()),
        pa.field("request_id", pa.string()),
        pa.field("kind", _LABEL),
        pa.field("end_reason", _LABEL),
    ],
    metadata={"chatquota_schema": str(RUN_SCHEMA)},
)
"""What `samples/*.parquet` holds, column by column."""

JOURNAL_SCHEMA = pa.schema(
    [pa.field(column.name, pa.string() if column.type == _LABEL else column.type) for column in SAMPLE_SCHEMA]
)
"""The same columns with plain strings: what is appended while the run goes on (dictionaries cannot grow in a stream)."""

assert tuple(SAMPLE_SCHEMA.names) == Sample.__struct_fields__

_REQUIRED = ("operation", "scheduled", "sent", "received", "outcome")


_CODES = {pa.float64(): "d", pa.int32(): "i", pa.int16(): "h"}


def to_batch(rows: list[Sample]) -> pa.RecordBatch:
    """Return `rows` as a record batch of JOURNAL_SCHEMA."""
    columns: Any = zip(*map(msgspec.structs.astuple, rows), strict=True)
    arrays = [_to_array(column, field.type) for column, field in zip(columns, JOURNAL_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=JOURNAL_SCHEMA)


def conform(table: pa.Table) -> pa.Table:
    """Return samples of any version as a table of SAMPLE_SCHEMA: columns that it lacks are empty, others are left out.

    Raises ValueError where they are not samples: a column is there twice, of another type, or one that each sample has is
    not there.
    """
    names = table.schema.names
    missing = [name for name in _REQUIRED if name not in names]
    if missing or len(set(names)) != len(names):
        raise ValueError(f"lacks the column {missing[0]}" if missing else "holds a column twice")
    columns = [
        table[field.name].cast(field.type) if field.name in names else pa.nulls(table.num_rows, field.type)
        for field in SAMPLE_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SAMPLE_SCHEMA)


def _to_array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    # Not pa.array(): it imports pandas where that is installed, half a second in the middle of a run.
    if kind == pa.string():
        builder = StringBuilder()
        builder.append_values(column)
        return builder.finish()
    return pa.Array.from_buffers(kind, len(column), [None, pa.py_buffer(array(_CODES[kind], column))])
