"""Reads a workload from TOML and refuses one that breaks the API's limits, naming the key and the limit."""

from importlib.resources import files
from typing import Any

from harness.connect import contract
from harness.errors import UsageError
from harness.input_files import parse_toml, read_bounded
from harness.load.workload.drawing import DRAWS, Draw
from harness.load.workload.model import Attributes, Kind, Message, Workload
from harness.load.workload.script_toml import parse_scripts
from harness.load.workload.values import as_table, flag, positive, refuse_unknown, share, span, texts, whole

# The run's attribute is part of every chat; its value, the run id, is at most this long.
RUN_ID_BYTES = 64

_KIND_KEYS = (
    "name",
    "weight",
    "display_names",
    "content_types",
    "attributes",
    "message",
    "duration_minutes",
    "request",
    "invalid",
)
_ATTRIBUTE_KEYS = ("count", "value_bytes", "unicode", "fixed", "total_bytes")
_MESSAGE_KEYS = ("content_type", "texts", "share")
_OWN_MEMBERS = {
    "InstanceId": "set it with the option --instance-id",
    "ContactFlowId": "set it with the option --contact-flow-id",
    "ParticipantDetails": "set it with the key display_names",
    "Attributes": "set them with the key attributes",
    "InitialMessage": "set it with the key message",
    "ChatDurationInMinutes": "set it with the key duration_minutes",
    "SupportedMessagingContentTypes": "set them with the key content_types",
    "ClientToken": "each chat has one of its own",
}
"""Members that every request has from elsewhere. A second one would go to another instance, or hide the run's attribute."""


def load_workload(path: str | None) -> Workload:
    """Return the workload in the TOML file at `path`, or the built-in one for None or "".

    Raises UsageError, in one line with the key and what is allowed there, for a file that cannot be read or used.
    """
    if not path:
        text = files("harness.load.workload").joinpath("builtin.toml").read_text("utf-8")
        return parse_workload(text, "built-in")
    try:
        text = read_bounded(path, "a TOML file").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"--workload {path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except ValueError as error:
        raise UsageError(f"--workload {error}") from error
    return parse_workload(text, path)


def parse_workload(text: str, source: str) -> Workload:
    """Return the workload that the TOML `text` describes. Raises UsageError as `load_workload` does."""
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"--workload {source}: not valid TOML: {error}") from error
    try:
        refuse_unknown(document, ("seed", "draw", "kind", "conversation"), "")
        tables = document.get("kind")
        if not isinstance(tables, list) or not tables:
            raise ValueError("it has no kind; write at least one [[kind]] table")
        kinds = tuple(_kind(table, number) for number, table in enumerate(tables, 1))
        names = [kind.name for kind in kinds]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"kind {name!r} is there {names.count(name)} times; names must differ")
        scripts = parse_scripts(document.get("conversation", []), kinds)
        seed, draw = whole(document.get("seed", 1), "seed"), _draw(document.get("draw", "weighted"))
        return Workload(kinds, source, seed, scripts, text, draw)
    except ValueError as error:
        raise UsageError(f"--workload {source}: {error}") from error


def _draw(value: Any) -> Draw:
    for known in DRAWS:
        if value == known:
            return known
    raise ValueError(f'draw: {value!r} is not one; it is "weighted" (by weight) or "balanced" (equal shares)')


def _kind(table: Any, number: int) -> Kind:
    if not isinstance(table, dict):
        raise ValueError(f"kind {number}: write it as a [[kind]] table")
    name = table.get("name", f"kind-{number}")
    if not isinstance(name, str) or not name:
        raise ValueError(f"kind {number}: name: a text")
    try:
        refuse_unknown(table, _KIND_KEYS, "")
        kind = Kind(
            name=name,
            weight=positive(table.get("weight", 1.0), "weight"),
            display_names=texts(table.get("display_names", "Load Test"), "display_names"),
            content_types=texts(table["content_types"], "content_types") if "content_types" in table else None,
            attributes=_attributes(table.get("attributes", {})),
            message=_message(table["message"]) if "message" in table else None,
            durations=_durations(table.get("duration_minutes", [])),
            members=_members(table.get("request", {})),
            invalid=flag(table.get("invalid", False), "invalid"),
        )
        if not kind.invalid:
            _check(kind)
    except ValueError as error:
        raise ValueError(f"kind {name!r}: {error}") from error
    return kind


def _check(kind: Kind) -> None:
    """Raise ValueError where the largest chat that this kind can draw breaks a limit of the API."""
    for name in kind.display_names:
        contract.check_display_name(name)
    if kind.content_types is not None:
        contract.check_content_types(kind.content_types)
    for minutes in kind.durations:
        contract.check_duration(minutes)
    if kind.message:
        for text in kind.message.texts:
            contract.check_message(kind.message.content_type, len(text.encode()), kind.content_types)
    recipe = kind.attributes
    contract.check_attributes(recipe.fixed)
    own = len(contract.RUN_ATTRIBUTE) + RUN_ID_BYTES + contract.attribute_bytes(recipe.fixed.items())
    drawn = recipe.count[1] * (recipe.value_bytes[1] + _longest_key(recipe.count[1]))
    contract.check_attribute_total(max(own + drawn, recipe.total_bytes or 0))
    if recipe.total_bytes is not None and recipe.total_bytes < own + drawn + len("filler"):
        raise ValueError(
            f"attributes.total_bytes {recipe.total_bytes:,}: the other attributes may need {own + drawn:,}; raise it or "
            "lower count or value_bytes"
        )
    if kind.members:
        contract.check_members(kind.members)


def _longest_key(count: int) -> int:
    return 3 * 3 + 1 + len(str(count))  # three syllables of at most three letters, an underscore, a number


def _attributes(table: Any) -> Attributes:
    table = as_table(table, "attributes")
    refuse_unknown(table, _ATTRIBUTE_KEYS, "attributes.")
    fixed = as_table(table.get("fixed", {}), "attributes.fixed")
    for key, value in fixed.items():
        if not isinstance(value, str):
            raise ValueError(f"attributes.fixed.{key}: a text, as the API wants it")
    total = table.get("total_bytes")
    return Attributes(
        count=span(table.get("count", 0), "attributes.count"),
        value_bytes=span(table.get("value_bytes", [5, 40]), "attributes.value_bytes"),
        unicode=flag(table.get("unicode", False), "attributes.unicode"),
        fixed=fixed,
        total_bytes=None if total is None else whole(total, "attributes.total_bytes"),
    )


def _message(table: Any) -> Message:
    table = as_table(table, "message")
    refuse_unknown(table, _MESSAGE_KEYS, "message.")
    content_type = table.get("content_type", contract.TEXT_PLAIN)
    if not isinstance(content_type, str):
        raise ValueError("message.content_type: a text")
    if "texts" not in table:
        raise ValueError("message: it has no texts; give at least one")
    return Message(
        content_type, texts(table["texts"], "message.texts"), share(table.get("share", 1.0), "message.share")
    )


def _members(value: Any) -> dict[str, Any]:
    members = as_table(value, "request")
    for name in members:
        if name in _OWN_MEMBERS:
            raise ValueError(f"request.{name}: {_OWN_MEMBERS[name]}, not in request")
    return members


def _durations(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(whole(item, "duration_minutes") for item in values)
