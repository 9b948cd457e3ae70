"""Documented rules of the requests that the service model does not state.

Source: API reference of StartChatContact and SendMessage, administrator guide (segment attributes). Each function
raises Invalid with the parameter at fault.
"""

import re
from collections.abc import Mapping

from harness.emulator.api.validation import Invalid
from harness.emulator.service.members import Members
from harness.emulator.settings import documented
from harness.emulator.settings.settings import Settings

_KEY = re.compile(r"[A-Za-z0-9_-]*\Z")
_SEGMENT_KEY = re.compile(r"(connect:)?[A-Za-z0-9_-]+\Z")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+\Z")
_INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"


def check_start_chat(request: Members, settings: Settings) -> None:
    """Check the rules of StartChatContact."""
    attributes = request.get("Attributes")
    if attributes:
        check_attributes(attributes)
    types = request.get("SupportedMessagingContentTypes")
    if types is not None:
        _check_types(types)
    message = request.get("InitialMessage")
    if message is not None:
        check_message(message, types or ["text/plain"], "InitialMessage")
    if not _RARE.isdisjoint(request):
        _check_rare(request, types or [], settings)


_RARE = frozenset({"PersistentChat", "ChatDurationInMinutes", "SegmentAttributes", "ChatStreamingConfiguration"})


def _check_rare(request: Members, types: list[str], settings: Settings) -> None:
    if request.get("PersistentChat") is not None:
        if request.get("RelatedContactId") is not None:
            raise _at("RelatedContactId", "RelatedContactId and PersistentChat cannot both be provided")
        if request["PersistentChat"].get("SourceContactId") is None:
            raise _at("PersistentChat.SourceContactId", "Member must not be null")
    if request.get("ChatDurationInMinutes") is not None and not settings.custom_durations:
        raise _at("ChatDurationInMinutes", "Custom chat durations are not enabled for this account")
    if request.get("SegmentAttributes"):
        _check_segment(request["SegmentAttributes"], types)
    streaming = request.get("ChatStreamingConfiguration")
    if streaming is not None:
        check_streaming(streaming)


def check_attributes(attributes: dict[str, str], others: Mapping[str, str] | None = None) -> None:
    """Check the rules of contact attributes: letters of their keys, bytes of all of them (with `others` of the contact)."""
    # One pass over all keys and one over all bytes: most requests are valid.
    keys = "".join(attributes)
    if not _KEY.match(keys):
        key = next(key for key in attributes if not _KEY.match(key))
        raise _at(
            "Attributes", f"Attribute key {key[:100]!r} may have only alphanumeric, dash and underscore characters"
        )
    if others is None:
        whole, characters = attributes, len(keys)
    else:
        whole = {**others, **attributes}
        characters = len("".join(whole))
    if characters + 4 * len("".join(whole.values())) <= documented.ATTRIBUTE_BYTES:  # one has at most four bytes
        return
    size = sum(map(len, whole)) + len("".join(whole.values()).encode())
    if size > documented.ATTRIBUTE_BYTES:
        raise _at("Attributes", f"Attributes have {size} UTF-8 bytes, more than {documented.ATTRIBUTE_BYTES}")


def check_streaming(configuration: Members) -> None:
    """Check the rule of a streaming configuration: it names a topic of SNS."""
    if not _TOPIC.match(configuration["StreamingEndpointArn"]):
        raise _at("ChatStreamingConfiguration.StreamingEndpointArn", "Member must be the ARN of an SNS topic")


def check_message(message: Members, declared: list[str], where: str = "") -> None:
    """Check the rules of a message: a documented content type that the chat declares, at most 16,384 bytes."""
    kind, content = message["ContentType"], message["Content"]
    prefix = f"{where}." if where else ""
    if kind not in documented.MESSAGE_TYPES:
        raise _at(f"{prefix}ContentType", f"Content type {kind!r} is not supported")
    if kind not in declared:
        raise _at(
            f"{prefix}ContentType", f"Content type {kind!r} is not among the chat's SupportedMessagingContentTypes"
        )
    # A character has at most four bytes: short messages need no encoding to be known as short.
    if 4 * len(content) > documented.MESSAGE_BYTES and len(content.encode()) > documented.MESSAGE_BYTES:
        raise _at(f"{prefix}Content", f"Content has more than {documented.MESSAGE_BYTES} UTF-8 bytes")


def _check_types(types: list[str]) -> None:
    if "text/plain" not in types:
        raise _at("SupportedMessagingContentTypes", "SupportedMessagingContentTypes must contain text/plain")
    if not documented.SUPPORTED_TYPES.issuperset(types):
        kind = next(kind for kind in types if kind not in documented.SUPPORTED_TYPES)
        raise _at("SupportedMessagingContentTypes", f"Content type {kind!r} is not supported")


def _check_segment(attributes: Members, types: list[str]) -> None:
    for key, value in attributes.items():
        if not _SEGMENT_KEY.match(key):
            raise _at("SegmentAttributes", f"Key {key!r} may have only alphanumeric, dash and underscore characters")
        guide = key == "connect:Subtype" and value.get("ValueString") == "connect:Guide"
        if guide and not {_INTERACTIVE, f"{_INTERACTIVE}.response"} <= set(types):
            raise _at(
                "SegmentAttributes", "connect:Guide needs both interactive types in SupportedMessagingContentTypes"
            )


def _at(path: str, problem: str) -> Invalid:
    invalid = Invalid(problem)
    invalid.path = list(reversed(path.split(".")))
    return invalid
