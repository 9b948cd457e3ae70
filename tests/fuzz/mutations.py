"""Mutations of the files of a run directory: bytes, JSON values, lines, columns. Each is made from a seed alone."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400),
    *(0.5, -0.5, 1e-300, 1e300, -1e300, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "\x00",
        "a\nb\r\n::error::c",
        "<script>alert(1)</script>",
        "x" * 100_000,
        "1e309",
        "{{7*7}}",
        "[bold]",
        "\u202e",
    ),
    *([], {}, [[]], [None], [{}], {"": None}, {"estimate": {}}, [1, "a", None], {"low": "x", "high": []}),
)


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        at = rng.randrange(len(data) + 1) if data else 0
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.choice((1, 4, 100, 100_000))]
            case 2:
                data[at:at] = data[at : at + rng.choice((1, 16, 400))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 8, 200)))
            case _ if at < len(data):
                data[at : at + 4] = rng.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"null"))
    return bytes(data)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove, double or nest some values of a JSON text; the text may then be none, or hold NaN."""
    if rng.random() < 0.15 or b"[[[[[" in content or b'{"a":{"a":' in content:  # nested by an earlier change
        return mutate_bytes(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        places = list(_places(value))
        if not places:
            break
        table, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del table[key]
            case 1:
                table[key] = _deep(rng.choice((10, 500, 20_000)), rng.random() < 0.5)
            case 2 if isinstance(table, dict):
                table[rng.choice(("", "x", str(key) + " ", "__proto__"))] = table[key]
            case 3:
                other, name = rng.choice(places)
                table[key] = _copy(other, name)
            case _:
                table[key] = copy.deepcopy(rng.choice(HOSTILE))
    return _text(value).encode("utf-8", "surrogatepass")


def _copy(table: Any, key: Any) -> Any:
    """A copy of another value of the text; None where that is gone by now, or nested too deeply."""
    try:
        text = _text(table[key])
        return None if "[[[[[" in text or '{"a":{"a":' in text else json.loads(text)
    except (LookupError, ValueError):
        return None


class _Raw(str):
    """Text that goes into the JSON as it is."""


def _deep(levels: int, lists: bool) -> "_Raw":
    return _Raw("[" * levels + "]" * levels if lists else '{"a":' * levels + "1" + "}" * levels)


def _places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _text(value: Any) -> str:
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)


def mutate_lines(content: bytes, rng: random.Random) -> bytes:
    """Change, remove, double or swap lines of JSON."""
    lines = content.splitlines(keepends=True)
    for _ in range(rng.choice((1, 3, 20))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                lines[at] = mutate_bytes(lines[at], rng)
            case 3:
                lines[at] = b'{"event":"started","contact_id":"' + b"a" * rng.choice((300, 2_000, 100_000)) + b'"}\n'
            case _:
                try:
                    lines[at] = mutate_json(lines[at], rng) + b"\n"
                except ValueError:
                    lines[at] = b"\n"
    return b"".join(lines)


def mutate_parquet(path: Path, rng: random.Random) -> None:
    """Change the bytes of a parquet file, or its columns: other types, missing, doubled, empty, absurd values."""
    if rng.random() < 0.5:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
        return
    table = pq.read_table(path)
    for _ in range(rng.choice((1, 1, 2, 4))):
        table = _mutate_table(table, rng)
    try:
        pq.write_table(table, path, row_group_size=rng.choice((1, 7, 200, 100_000)))
    except (pa.ArrowException, ValueError):
        path.write_bytes(b"PAR1")


def _mutate_table(table: pa.Table, rng: random.Random) -> pa.Table:
    names = table.schema.names
    if not names:
        return table
    at, rows = rng.randrange(len(names)), table.num_rows
    column: Any
    match rng.randrange(6):
        case 0:
            return table.remove_column(at)
        case 1:
            return table.append_column(names[at], table.column(rng.randrange(len(names))))
        case 2:
            return table.slice(0, rng.choice((0, 1, rows // 2)))
        case 3:
            column = pa.nulls(rows)
        case 4:
            values = [rng.choice((float("nan"), float("inf"), -1.0, 0.0, 1e300, 2.0**62, 1.795e9)) for _ in range(rows)]
            column = pa.array(np.array(values))
        case _:
            texts = [rng.choice(("", "x", "\x00", "ok", "1e9")) for _ in range(rows)]
            column = pa.array([[text] for text in texts]) if rng.random() < 0.3 else pa.array(texts)
    return table.set_column(at, names[at], column)


MUTATIONS: dict[str, tuple[str, Callable[[Path, random.Random], None]]] = {
    "manifest": ("run.json", lambda path, rng: _rewrite(path, mutate_json, rng)),
    "answer": ("capacity.json", lambda path, rng: _rewrite(path, mutate_json, rng)),
    "ledger": ("contacts.local.jsonl", lambda path, rng: _rewrite(path, mutate_lines, rng)),
    "parquet": ("samples/local-00000.parquet", mutate_parquet),
    "journal": ("samples/local-00001.arrows", lambda path, rng: _rewrite(path, mutate_bytes, rng)),
}
"""By the kind of file: which one is changed, and how."""


def _rewrite(path: Path, change: Callable[[bytes, random.Random], bytes], rng: random.Random) -> None:
    path.write_bytes(change(path.read_bytes(), rng))
