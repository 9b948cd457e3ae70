"""The names of the numbers of `capacity.json`, read from its type: what a gate may name is among them."""

import types
import typing

import msgspec

from reports.capacity.model import Capacity
from reports.wording.vocabulary import DISCONNECT_REASONS, NOT_ASKED, QUOTA, START_OUTCOMES, TPS

_KEYS = {
    "first_seen": (TPS, QUOTA),
    "outcomes": START_OUTCOMES,
    "outcome_share": START_OUTCOMES,
    "latency_ms": START_OUTCOMES,
    "tps.safe.refused_at": ("0.5", "0.7", "0.85"),
    "chat_ends": (*DISCONNECT_REASONS, NOT_ASKED),
}
"""The keys of tables that have the same ones in every run; a table with other keys names no metric."""


def metrics(kind: type[msgspec.Struct] = Capacity, prefix: str = "") -> list[str]:
    """Return the path of every number and truth value of `kind`, written with dots, in order."""
    found: list[str] = []
    for field in msgspec.structs.fields(kind):
        found += _of(field.type, f"{prefix}{field.encode_name}")
    return found


def _of(kind: typing.Any, path: str) -> list[str]:
    options = _options(kind)
    origin = typing.get_origin(options[0])
    if len(options) > 1:
        return []
    if origin is dict:
        value = typing.get_args(options[0])[1]
        return [name for key in _KEYS.get(path, ()) for name in _of(value, f"{path}.{key}")]
    if isinstance(options[0], type) and issubclass(options[0], msgspec.Struct):
        return metrics(options[0], f"{path}.")
    return [path] if options[0] in (int, float, bool) else []


def _options(kind: typing.Any) -> list[typing.Any]:
    """Return what a value may be, without None and without its bounds."""
    if typing.get_origin(kind) is typing.Annotated:
        return _options(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [option for one in typing.get_args(kind) if one is not type(None) for option in _options(one)]
    return [kind]
