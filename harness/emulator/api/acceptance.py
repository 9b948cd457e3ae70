"""Which JSON surely fits a shape of AWS's model, decided by msgspec in C; the checks that explain are for the rest."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import msgspec
from botocore.model import ListShape, MapShape, Shape, StructureShape

from harness.emulator.service.members import Members


class Acceptance:
    """Reads a request's body if its `members` surely fit; what it does not accept may still be right."""

    def __init__(self, members: Mapping[str, Shape], required: list[str]) -> None:
        self._decoder = msgspec.json.Decoder(_object("Request", members, required, ()))

    def read(self, body: bytes) -> Members | None:
        """Return the known members of `body` if it is JSON that surely fits; None: somebody else has to look."""
        try:
            if not body.isascii():
                body.decode()  # msgspec does not look into the text of members that it does not know
            members: Members = self._decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        return members


def _object(name: str, members: Mapping[str, Shape], required: list[str], inside: tuple[str, ...]) -> Any:
    fields = {}
    for member, shape in members.items():
        kind = _type(shape, inside)
        # AWS takes null for absent.
        fields[member] = Required[kind] if member in required else NotRequired[kind | None]
    return TypedDict(name, fields)  # type: ignore[operator]


def _type(shape: Shape, inside: tuple[str, ...]) -> Any:
    if shape.name in inside:  # a shape within itself: what has one is left to the checks that explain
        return None
    inside = (*inside, shape.name)
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(shape, StructureShape):
        return _object(shape.name, shape.members, shape.required_members, inside)
    if isinstance(shape, ListShape):
        return Annotated[list[_type(shape.member, inside)], msgspec.Meta(min_length=low, max_length=high)]  # type: ignore[misc]
    if isinstance(shape, MapShape):
        return dict[_type(shape.key, inside), _type(shape.value, inside)]  # type: ignore[misc]
    if shape.type_name == "string":
        if shape.metadata.get("enum"):
            return Literal[tuple(shape.metadata["enum"])]
        pattern = shape.metadata.get("pattern")
        if pattern is not None and "\\p{" in pattern:
            pattern = None
        return Annotated[str, msgspec.Meta(min_length=low, max_length=high, pattern=pattern)]
    if shape.type_name in ("integer", "long"):
        return Annotated[int, msgspec.Meta(ge=_bound(low), le=_bound(high))]
    return bool if shape.type_name == "boolean" else float


def _bound(value: float | None) -> int | None:
    return None if value is None or math.isinf(value) else int(value)
