"""Workload files: what is read from them, and how one that breaks a limit is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.connect.contract import MAX_ATTRIBUTE_BYTES, RUN_ATTRIBUTE
from harness.errors import UsageError
from harness.load.workload.model import Drawer
from harness.load.workload.toml import load_workload, parse_workload

RUN_ID = "20261123T000000Z-start-chat-abc123"


def kind(lines: str) -> str:
    """A workload of one kind with these lines."""
    return f'[[kind]]\nname = "k"\n{lines}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no kind"),
        ("kind = 3", "no kind"),
        ('draw = "even"\n[[kind]]', 'draw: \'even\' is not one; it is "weighted" (by weight) or "balanced"'),
        ("x = 1\n[[kind]]", "unknown key x"),
        ("[[kind]]\nwieght = 2", "unknown key wieght; did you mean weight? allowed are name, weight"),
        (kind("weight = 0"), "kind 'k': weight: a number over 0"),
        (kind("duration_minutes = 59"), "duration_minutes 59: 60 to 10,080 allowed"),
        (kind("duration_minutes = [60, 10081]"), "duration_minutes 10081: 60 to 10,080 allowed"),
        (kind('content_types = ["text/markdown"]'), "text/plain must always be among them"),
        (kind('content_types = ["text/plain", "text/html"]'), "content_types 'text/html'"),
        (kind(f'display_names = "{"x" * 257}"'), "display name: 257 characters, 1 to 256 allowed"),
        (kind('display_names = ""'), "display name: 0 characters"),
        (kind('attributes = { fixed = { "a b" = "1" } }'), "attribute key 'a b': only letters, digits"),
        (kind("attributes = { total_bytes = 32769 }"), "32,769 bytes of keys and values, at most 32,768"),
        (kind("attributes = { count = 400, value_bytes = 100 }"), "at most 32,768"),
        (kind("attributes = { count = [5, 2] }"), "attributes.count: a whole number, or [least, most]"),
        (kind("attributes = { sizes = 2 }"), "unknown key attributes.sizes"),
        (kind("message = { texts = [] }"), "message.texts"),
        (kind(f'message = {{ texts = "{"é" * 8193}" }}'), "message: 16,386 bytes, 1 to 16,384 allowed"),
        (kind('message = { texts = "x", share = 2 }'), "message.share: a number from 0 to 1"),
        (kind('message = { content_type = "text/markdown", texts = "x" }'), "is not among the chat's content_types"),
        (kind('request = { CustomerID = "x" }'), "request member 'CustomerID' is not in the API"),
        (kind(f'request = {{ CustomerId = "{"x" * 129}" }}'), "CustomerId: over the maximum of 128"),
        (kind('request = { ConnectionTypes = ["PIGEON"] }'), "'PIGEON' is none of"),
        (kind('request = { ConnectionTypes = "WEBSOCKET" }'), "ConnectionTypes"),
        (kind('request = { InstanceId = "other" }'), "request.InstanceId: set it with the option --instance-id"),
        (kind('request = { ContactFlowId = "f" }'), "request.ContactFlowId: set it with the option --contact-flow-id"),
        (kind('request = { Attributes = { a = "b" } }'), "request.Attributes: set them with the key attributes"),
        (kind('request = { ParticipantDetails = { DisplayName = "x" } }'), "the key display_names"),
        (kind('request = { InitialMessage = { Content = "x" } }'), "the key message"),
        (kind("request = { ChatDurationInMinutes = 60 }"), "the key duration_minutes"),
        (kind('request = { SupportedMessagingContentTypes = ["text/plain"] }'), "the key content_types"),
        (kind('request = { ClientToken = "t" }'), "request.ClientToken: each chat has one of its own"),
        (kind('invalid = true\nrequest = { InstanceId = "other" }'), "the option --instance-id"),
        ('[[kind]]\nname = "a"\n[[kind]]\nname = "a"', "kind 'a' is there 2 times"),
        ("[[kind]", "not valid TOML"),
    ],
)
def test_workload_that_breaks_a_rule_is_refused_by_name(text: str, said: str) -> None:
    """What the API or the format does not allow is refused in one line that names the key and the limit."""
    with pytest.raises(UsageError) as refused:
        parse_workload(text, "mix.toml")
    assert str(refused.value).startswith("--workload mix.toml: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_invalid_kind_may_break_the_limits() -> None:
    """A kind that says so is sent as it is, to test the refusals of the API."""
    workload = parse_workload(kind('invalid = true\nduration_minutes = 1\ncontent_types = ["text/markdown"]'), "mix")
    request = json.loads(Drawer(workload, "i", "f", RUN_ID).draw().body)
    assert request["ChatDurationInMinutes"] == 1
    assert request["SupportedMessagingContentTypes"] == ["text/markdown"]


@settings(max_examples=20)
@given(total=st.integers(400, MAX_ATTRIBUTE_BYTES), unicode=st.booleans(), count=st.integers(0, 3))
def test_attributes_are_stretched_to_the_byte(total: int, unicode: bool, count: int) -> None:
    """`total_bytes` is met exactly, in any script, up to the API's own limit."""
    flag = str(unicode).lower()
    workload = parse_workload(
        kind(f"attributes = {{ count = {count}, value_bytes = 20, unicode = {flag}, total_bytes = {total} }}"), "mix"
    )
    chat = Drawer(workload, "i", "f", RUN_ID).draw()
    attributes = json.loads(chat.body)["Attributes"]
    assert sum(len(name.encode()) + len(value.encode()) for name, value in attributes.items()) == total
    assert chat.attribute_bytes == total
    assert attributes[RUN_ATTRIBUTE] == RUN_ID


def test_builtin_workload_varies_every_member() -> None:
    """The built-in mix has plain and rich chats, Unicode, near-limit attributes, messages or none, several durations."""
    drawer = Drawer(load_workload(None), "i", "f", RUN_ID)
    chats = [drawer.draw() for _ in range(600)]
    requests = [json.loads(chat.body) for chat in chats]
    durations = {request.get("ChatDurationInMinutes") for request in requests}
    types = {tuple(request.get("SupportedMessagingContentTypes", ())) for request in requests}
    messages = " ".join(request["InitialMessage"]["Content"] for request in requests if "InitialMessage" in request)

    assert {None, 60, 10_080} <= durations
    assert {(), ("text/plain",), ("text/plain", "text/markdown")} <= types
    assert max(chat.attribute_bytes for chat in chats) > 32_000
    assert min(chat.attribute_bytes for chat in chats) < 100
    assert any("InitialMessage" not in request for request in requests)
    assert all(mark in messages for mark in ("**late**", "*promised*", "](https://", "\n- ", "\n1. "))
    assert not messages.isascii()


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is a workload or a usage error, never another exception."""
    with suppress(UsageError):
        parse_workload(text, "mix.toml")
