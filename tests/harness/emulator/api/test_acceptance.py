"""What msgspec accepts at once is what the checks that explain accept: one may never be laxer than the other."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.emulator.api.acceptance import Acceptance
from harness.emulator.api.validation import Invalid, load_model, read_request

OPERATIONS = [
    ("connect", "StartChatContact"),
    ("connect", "SearchContacts"),
    ("connect", "StopContact"),
    ("connectparticipant", "SendMessage"),
    ("connectparticipant", "GetTranscript"),
    ("connectparticipant", "StartAttachmentUpload"),
]
GOOD: dict[str, Any] = {
    "InstanceId": "11111111-aaaa-4aaa-8aaa-111111111111",
    "ContactFlowId": "22222222-bbbb-4bbb-8bbb-222222222222",
    "ParticipantDetails": {"DisplayName": "Zoë"},
    "Attributes": {"a": "b"},
    "InitialMessage": {"ContentType": "text/plain", "Content": "hi"},
    "SupportedMessagingContentTypes": ["text/plain"],
    "ChatDurationInMinutes": 60,
    "PersistentChat": {"RehydrationType": "FROM_SEGMENT", "SourceContactId": "c"},
    "SegmentAttributes": {"s": {"ValueString": "x"}},
    "ContentType": "text/plain",
    "Content": "x",
    "MaxResults": 5,
    "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 1.5},
    "ContactId": "c",
    "AttachmentName": "a.png",
    "AttachmentSizeInBytes": 1,
    "ClientToken": "t",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=3),
    max_leaves=6,
)


def accepted(service: str, operation: str, body: bytes) -> bool:
    """Whether msgspec alone accepts `body`."""
    shape: Any = load_model(service).operation_model(operation).input_shape
    members = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
    return Acceptance(members, [name for name in shape.required_members if name in members]).read(body) is not None


def explained(service: str, operation: str, body: bytes) -> bool:
    """Whether the checks that explain accept the same; they are all that a body with another member meets."""
    request = read_request(service, operation)
    try:
        request.check(json.loads(body))
    except Invalid:
        return False
    return True


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
@settings(max_examples=60, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from([*GOOD, "Unknown"]), VALUES, max_size=3), gone=st.sampled_from([*GOOD, ""])
)
def test_never_accepts_what_the_checks_refuse(service: str, operation: str, changes: dict[str, Any], gone: str) -> None:
    """Whatever members are changed or left out, what msgspec accepts the checks accept too."""
    asked = {name: value for name, value in {**GOOD, **changes}.items() if name != gone}
    body = json.dumps(asked).encode()
    if accepted(service, operation, body):
        assert explained(service, operation, body)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_accepts_an_ordinary_request(service: str, operation: str) -> None:
    """What clients usually send needs no second look."""
    assert accepted(service, operation, json.dumps(GOOD).encode())


def test_members_given_twice_hide_no_missing_one() -> None:
    """A member that stands twice does not count for a required one that is missing."""
    body = b'{"InstanceId":"i","InstanceId":"i","InstanceId":"i"}'
    assert not accepted("connect", "StartChatContact", body)


@pytest.mark.parametrize(
    "unknown", [b'"\xff"', b'"\\ud800"', b'"\x01"', b"01", b"[1,]", b'{"a" 1}', b"'a'", b"NaN", b'{"a":"\xc3"}']
)
def test_a_member_that_is_not_known_must_be_json_all_the_same(unknown: bytes) -> None:
    """What nobody asks for is read past, but never past what is no JSON."""
    body = json.dumps(GOOD).encode()[:-1] + b',"Unknown":' + unknown + b"}"
    assert not accepted("connect", "StartChatContact", body)
