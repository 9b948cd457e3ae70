"""Request validation compiled from botocore's service models: one closure a shape, no walk of the model per call."""

import functools
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import orjson
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from harness.emulator.api.acceptance import Acceptance
from harness.emulator.service.members import Members

Check = Callable[[Any], None]
# Members that AWS does not know may be anything, but what is shown of a chat must be writable as JSON again.
_DEEPEST = 200
# Nesting beyond this is refused; the only recursive shape, a segment attribute's value, needs a handful.
_DEPTH = 50


class Invalid(Exception):
    """A request that breaks its shape. `malformed`: wrong type or missing, rather than a value out of its bounds."""

    def __init__(self, problem: str, malformed: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.malformed = problem, malformed
        self.path: list[str] = []

    @property
    def message(self) -> str:
        """The text of AWS's own validation errors."""
        path = ".".join(name[:1].lower() + name[1:] for name in reversed(self.path)).replace(".[", "[")
        if not path:
            return self.problem
        return f"1 validation error detected: Value at '{path}' failed to satisfy constraint: {self.problem}"


@functools.cache
def load_model(service: str) -> ServiceModel:
    """Botocore's model of `service` (its directory name, such as `connect`)."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@functools.cache
def read_request(service: str, operation: str) -> "Request":
    """Return the request of `operation`, compiled once a process."""
    return Request(load_model(service).operation_model(operation))


class Request:
    """Reads and checks the request of one operation: `read(body, uri)` gives its parameters."""

    def __init__(self, model: OperationModel) -> None:
        shape = model.input_shape
        self._body: dict[str, Check] = {}
        self._uri: dict[str, Check] = {}
        required: list[str] = []
        shapes: dict[str, Shape] = {}
        compiled: dict[str, Check] = {}
        if isinstance(shape, StructureShape):
            for name, member in shape.members.items():
                location = member.serialization.get("location")
                if location == "uri":
                    self._uri[name] = _compile(member, compiled)
                elif location is None:
                    self._body[name] = _compile(member, compiled)
                    shapes[name] = member
                    if name in shape.required_members:
                        required.append(name)
        self.check = _structure_check(self._body, tuple(required))
        self._acceptance = Acceptance(shapes, required)

    def read(self, body: bytes, uri: dict[str, str]) -> Members:
        """Return the parameters of a call: members of the JSON `body`, and `uri` labels. Raises Invalid."""
        parameters: Any = {}
        if body.count(b"[") + body.count(b"{") > _DEEPEST and _is_deeper(body, _DEEPEST):
            raise Invalid("The request body is nested too deeply.", malformed=True)
        if body and self._body:
            if not uri:
                accepted = self._acceptance.read(body)
                if accepted is not None:
                    return accepted
            try:
                parameters = orjson.loads(body)
            except orjson.JSONDecodeError:
                raise Invalid("Could not parse request body into json.", malformed=True) from None
        try:
            self.check(parameters)
        except RecursionError:
            raise Invalid("The request body is nested too deeply.", malformed=True) from None
        for name, value in uri.items():
            try:
                self._uri[name](value)
            except Invalid as invalid:
                invalid.path.append(name)
                raise
            parameters[name] = value
        checked: Members = parameters
        return checked


def _is_deeper(body: bytes, levels: int) -> bool:
    """Whether the JSON `body` has lists and objects within each other on more than `levels` levels."""
    try:
        values = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        return False
    for _ in range(levels):
        inside: list[Any] = []
        for value in values:
            inside += value.values() if type(value) is dict else value if type(value) is list else ()
        values = inside
    return any(type(value) in (dict, list) for value in values)


def _compile(shape: Shape, compiled: dict[str, Check]) -> Check:
    known = compiled.get(shape.name)
    if known is not None:
        return known
    # A recursive shape meets this stand-in, which looks the finished check up when it is first used.
    depth = 0

    def later(value: Any) -> None:
        nonlocal depth
        depth += 1
        try:
            if depth > _DEPTH:
                raise Invalid("The request body is nested too deeply.", malformed=True)
            compiled[shape.name](value)
        finally:
            depth -= 1

    compiled[shape.name] = later
    check = _build(shape, compiled)
    compiled[shape.name] = check
    return check


def _build(shape: Shape, compiled: dict[str, Check]) -> Check:
    if isinstance(shape, StructureShape):
        members = {name: _compile(member, compiled) for name, member in shape.members.items()}
        return _structure_check(members, tuple(shape.required_members))
    if isinstance(shape, ListShape):
        return _list_check(_compile(shape.member, compiled), *_bounds(shape))
    if isinstance(shape, MapShape):
        return _map_check(_compile(shape.key, compiled), _compile(shape.value, compiled))
    if shape.type_name == "string":
        return _string_check(*_bounds(shape), tuple(shape.metadata.get("enum", ())), shape.metadata.get("pattern"))
    if shape.type_name in ("integer", "long"):
        return _integer_check(*_bounds(shape))
    if shape.type_name == "boolean":
        return _boolean_check
    return _number_check  # float, double, timestamp (rest-json: unix seconds)


def _bounds(shape: Shape) -> tuple[float, float]:
    return float(shape.metadata.get("min", -math.inf)), float(shape.metadata.get("max", math.inf))


def _kind(value: Any) -> str:
    if value is None:
        return "NULL_VALUE"
    if isinstance(value, bool):
        return f"{value}_VALUE".upper()
    kinds = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", list: "START_ARRAY", dict: "START_OBJECT"}
    return kinds.get(type(value), "VALUE")


def _wrong_type(value: Any, wanted: str) -> NoReturn:
    raise Invalid(f"{_kind(value)} can not be converted to {wanted}", malformed=True)


def _structure_check(members: dict[str, Check], required: tuple[str, ...]) -> Check:
    def check(value: Any) -> None:
        if type(value) is not dict:
            _wrong_type(value, "an Object")
        for name in required:
            if value.get(name) is None:
                invalid = Invalid("Member must not be null", malformed=True)
                invalid.path.append(name)
                raise invalid
        for name, item in value.items():
            # AWS ignores members that it does not know, and takes null for absent.
            member = members.get(name)
            if member is not None and item is not None:
                try:
                    member(item)
                except Invalid as invalid:
                    invalid.path.append(name)
                    raise

    return check


def _list_check(element: Check, low: float, high: float) -> Check:
    def check(value: Any) -> None:
        if type(value) is not list:
            _wrong_type(value, "a List")
        _within(len(value), low, high, "length")
        for index, item in enumerate(value):
            try:
                element(item)
            except Invalid as invalid:
                invalid.path.append(f"[{index + 1}]")
                raise

    return check


def _map_check(key: Check, element: Check) -> Check:
    def check(value: Any) -> None:
        if type(value) is not dict:
            _wrong_type(value, "a Map")
        for name, item in value.items():
            try:
                key(name)
                element(item)
            except Invalid as invalid:
                invalid.path.append(name[:100])
                raise

    return check


def _string_check(low: float, high: float, enum: tuple[str, ...], pattern: str | None) -> Check:
    allowed = frozenset(enum)
    regex = None
    if pattern is not None and "\\p{" not in pattern:  # Unicode classes are Java's; Python's re has none
        regex = re.compile(pattern)

    def check(value: Any) -> None:
        if type(value) is not str:
            _wrong_type(value, "a String")
        if not low <= len(value) <= high:
            _within(len(value), low, high, "length")
        if allowed and value not in allowed:
            raise Invalid(f"Member must satisfy enum value set: [{', '.join(enum)}]")
        if regex is not None and not regex.search(value):
            raise Invalid(f"Member must satisfy regular expression pattern: {pattern}")

    return check


def _integer_check(low: float, high: float) -> Check:
    def check(value: Any) -> None:
        if type(value) is not int:
            _wrong_type(value, "an Integer")
        _within(value, low, high, "value")

    return check


def _boolean_check(value: Any) -> None:
    if type(value) is not bool:
        _wrong_type(value, "a Boolean")


def _number_check(value: Any) -> None:
    if type(value) is not int and type(value) is not float:
        _wrong_type(value, "a Number")


def _within(figure: float, low: float, high: float, what: str) -> None:
    if figure < low:
        raise Invalid(f"Member must have {what} greater than or equal to {low:.0f}")
    if figure > high:
        raise Invalid(f"Member must have {what} less than or equal to {high:.0f}")
