"""What StartChatContact accepts: the documented limits, checked before anything is sent.

Sources: https://docs.aws.amazon.com/connect/latest/APIReference/API_StartChatContact.html and botocore's service model.
The SDK itself checks only minima and types, so a request that breaks any other limit would go to the wire.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

RUN_ATTRIBUTE = "loadtest-run"
"""The attribute that every chat carries, so that a run's chats can be found later. Its value is the run id."""

LONGEST_CHAT = 10_080 * 60.0
"""Seconds after which every chat has ended (ChatDurationInMinutes is 10,080 at most)."""

MAX_ATTRIBUTE_BYTES = 32_768
"""Keys and values of all attributes of a contact, in UTF-8."""
MAX_ATTRIBUTE_KEY_CHARACTERS = 32_767
MAX_DISPLAY_NAME_CHARACTERS = 256
MAX_MESSAGE_BYTES = 16_384
MIN_DURATION_MINUTES, MAX_DURATION_MINUTES = 60, 10_080
TEXT_PLAIN, TEXT_MARKDOWN = "text/plain", "text/markdown"
MESSAGE_TYPES = (
    TEXT_PLAIN,
    TEXT_MARKDOWN,
    "application/json",
    "application/vnd.amazonaws.connect.message.interactive.response",
)
SUPPORTED_TYPES = (
    TEXT_PLAIN,
    TEXT_MARKDOWN,
    "application/json",
    "application/vnd.amazonaws.connect.message.interactive",
    "application/vnd.amazonaws.connect.message.interactive.response",
)
_ATTRIBUTE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def attribute_bytes(attributes: Iterable[tuple[str, str]]) -> int:
    """Return the UTF-8 bytes of all keys and values, as the 32,768-byte limit counts them."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in attributes)


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Raise ValueError when a key has other characters than letters, digits, `-` and `_`, or the total is too large."""
    for key in attributes:
        if not _ATTRIBUTE_KEY.fullmatch(key):
            raise ValueError(f"attribute key {key!r}: only letters, digits, '-' and '_' are allowed")
        if len(key) > MAX_ATTRIBUTE_KEY_CHARACTERS:
            raise ValueError(f"attribute key {key[:20]!r}...: at most {MAX_ATTRIBUTE_KEY_CHARACTERS:,} characters")
    check_attribute_total(attribute_bytes(attributes.items()))


def check_attribute_total(total: int) -> None:
    """Raise ValueError when `total` bytes of attributes are over the limit of a contact."""
    if total > MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"attributes: {total:,} bytes of keys and values, at most {MAX_ATTRIBUTE_BYTES:,}")


def check_display_name(name: str) -> None:
    """Raise ValueError unless `name` has 1 to 256 characters."""
    if not 1 <= len(name) <= MAX_DISPLAY_NAME_CHARACTERS:
        raise ValueError(f"display name: {len(name)} characters, 1 to {MAX_DISPLAY_NAME_CHARACTERS} allowed")


def check_message(content_type: str, content_bytes: int, supported: tuple[str, ...] | None) -> None:
    """Raise ValueError when an initial message's type or size is not allowed; `supported` are the chat's content types."""
    if content_type not in MESSAGE_TYPES:
        raise ValueError(f"message content_type {content_type!r}: one of {', '.join(MESSAGE_TYPES)}")
    if content_type != TEXT_PLAIN and content_type not in (supported or (TEXT_PLAIN,)):
        raise ValueError(f"message content_type {content_type!r} is not among the chat's content_types; add it there")
    if not 1 <= content_bytes <= MAX_MESSAGE_BYTES:
        raise ValueError(f"message: {content_bytes:,} bytes, 1 to {MAX_MESSAGE_BYTES:,} allowed")


def check_content_types(types: Iterable[str]) -> None:
    """Raise ValueError unless the supported content types are known ones with text/plain among them."""
    types = tuple(types)
    for content_type in types:
        if content_type not in SUPPORTED_TYPES:
            raise ValueError(f"content_types {content_type!r}: one of {', '.join(SUPPORTED_TYPES)}")
    if TEXT_PLAIN not in types:
        raise ValueError("content_types: text/plain must always be among them")


def check_duration(minutes: int) -> None:
    """Raise ValueError unless `minutes` is in the range of ChatDurationInMinutes."""
    if not MIN_DURATION_MINUTES <= minutes <= MAX_DURATION_MINUTES:
        raise ValueError(f"duration_minutes {minutes}: {MIN_DURATION_MINUTES} to {MAX_DURATION_MINUTES:,} allowed")


def check_members(members: Mapping[str, Any]) -> None:
    """Raise ValueError when further members of the request, in the API's own names, do not fit its service model."""
    from botocore.validate import ParamValidator  # loading the model takes a while; most workloads have no such member

    shape = _request_shape()
    for name in members:
        if name not in shape.members:
            raise ValueError(f"request member {name!r} is not in the API; it has {', '.join(sorted(shape.members))}")
    placeholder = {"InstanceId": "i", "ContactFlowId": "f", "ParticipantDetails": {"DisplayName": "d"}}
    report = ParamValidator().validate({**placeholder, **members}, shape)
    if report.has_errors():
        raise ValueError(f"request members: {report.generate_report()}".replace("\n", "; "))
    _check_bounds("", dict(members), shape)
    if "PersistentChat" in members and "RelatedContactId" in members:
        raise ValueError("request members: PersistentChat and RelatedContactId exclude each other")


def _check_bounds(path: str, value: Any, shape: Any) -> None:
    """Maxima and enums, which botocore leaves to the service."""
    if shape.type_name == "structure":
        for name, child in value.items():
            _check_bounds(f"{path}.{name}" if path else name, child, shape.members[name])
        return
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        raise ValueError(f"request member {path}: {value!r} is none of {', '.join(allowed)}")
    most = shape.metadata.get("max")
    if most is not None and (value if isinstance(value, int) else len(value)) > most:
        raise ValueError(f"request member {path}: over the maximum of {most:,}")
    if shape.type_name == "list":
        for child in value:
            _check_bounds(path, child, shape.member)
    elif shape.type_name == "map":
        for key, child in value.items():
            _check_bounds(f"{path}[{key}]", key, shape.key)
            _check_bounds(f"{path}[{key}]", child, shape.value)


@cache
def _request_shape() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model("connect", "service-2"))
    return model.operation_model("StartChatContact").input_shape
