"""The documented limits of StartChatContact are checked before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.connect import contract

ACCEPTED: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
    (contract.check_attributes, ({"a-Z_9": "v"},)),
    (contract.check_attributes, ({"k": "x" * 32_767},)),
    (contract.check_attributes, ({},)),
    (contract.check_display_name, ("n",)),
    (contract.check_display_name, ("ü" * 256,)),
    (contract.check_message, ("text/plain", 16_384, None)),
    (contract.check_message, ("text/markdown", 1, ("text/plain", "text/markdown"))),
    (contract.check_content_types, (["text/plain"],)),
    (contract.check_content_types, (["text/markdown", "text/plain"],)),
    (contract.check_duration, (60,)),
    (contract.check_duration, (10_080,)),
    (contract.check_members, ({"CustomerId": "c" * 128},)),
    (contract.check_members, ({"ConnectionTypes": ["WEBSOCKET", "CONNECTION_CREDENTIALS"]},)),
    (contract.check_members, ({"SegmentAttributes": {"k": {"ValueString": "v"}}},)),
]


@pytest.mark.parametrize(("check", "arguments"), ACCEPTED)
def test_what_is_within_the_limits_passes(check: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Each limit includes its edge."""
    check(*arguments)


REFUSED: list[tuple[Callable[..., None], tuple[Any, ...], str]] = [
    (contract.check_attributes, ({"a b": "v"},), "'a b'.*letters, digits"),
    (contract.check_attributes, ({"ü": "v"},), "letters, digits"),
    (contract.check_attributes, ({"": "v"},), "letters, digits"),
    (contract.check_attributes, ({"k": "x" * 32_768},), "32,769 bytes.*at most 32,768"),
    (contract.check_attributes, ({"k": "é" * 16_384},), "32,769 bytes"),
    (contract.check_attributes, ({"k" * 32_768: ""},), "at most 32,767 characters"),
    (contract.check_display_name, ("",), "1 to 256"),
    (contract.check_display_name, ("n" * 257,), "257 characters"),
    (contract.check_message, ("text/html", 1, None), "text/html"),
    (contract.check_message, ("text/markdown", 1, None), "add it there"),
    (contract.check_message, ("text/plain", 0, None), "1 to 16,384"),
    (contract.check_message, ("text/plain", 16_385, None), "16,385 bytes"),
    (contract.check_content_types, (["text/markdown"],), "text/plain must"),
    (contract.check_content_types, (["text/plain", "text/html"],), "text/html"),
    (contract.check_content_types, ([],), "text/plain must"),
    (contract.check_duration, (59,), "60 to 10,080"),
    (contract.check_duration, (10_081,), "60 to 10,080"),
    (contract.check_members, ({"Customer": "c"},), "'Customer' is not in the API"),
    (contract.check_members, ({"CustomerId": 7},), "CustomerId"),
    (contract.check_members, ({"CustomerId": "c" * 129},), "maximum of 128"),
    (contract.check_members, ({"ConnectionTypes": ["PIGEON"]},), "none of WEBSOCKET"),
    (contract.check_members, ({"DisconnectOnCustomerExit": ["AGENT", "AGENT"]},), "maximum of 1"),
    (contract.check_members, ({"ParticipantConfiguration": {"ResponseMode": "SLOW"}},), "ResponseMode"),
    (
        contract.check_members,
        ({"PersistentChat": {"RehydrationType": "FROM_SEGMENT", "SourceContactId": "s"}, "RelatedContactId": "r"},),
        "exclude each other",
    ),
]


@pytest.mark.parametrize(("check", "arguments", "said"), REFUSED)
def test_what_is_over_a_limit_is_refused_by_name(
    check: Callable[..., None], arguments: tuple[Any, ...], said: str
) -> None:
    """One step over each limit is refused in one line that names the value and the limit."""
    with pytest.raises(ValueError, match=said) as refusal:
        check(*arguments)
    assert "\n" not in str(refusal.value)
