"""The Participant Service without sockets: bearer tokens, messages, events, pages of a transcript, the five minutes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.emulator.service.chats import Chat
from harness.emulator.service.clock import iso8601
from harness.emulator.service.items import Item, Participant
from harness.emulator.service.transcript import page
from tests.harness.emulator.support import EPOCH, Lab

EVENT = "application/vnd.amazonaws.connect.event."
HELLO = {"ContentType": "text/plain", "Content": "hello"}


@pytest.mark.parametrize("what", ["connection", "message", "event", "transcript", "disconnect"])
@pytest.mark.parametrize("token", ["", "nonsense", "é" * 10])
def test_wrong_bearer_token_is_denied(what: str, token: str) -> None:
    """A call without a token, or with one that nobody was given, is AccessDeniedException."""
    reply = Lab().participant(what, token, HELLO)
    assert (reply.status, reply.code, reply.message) == (403, "AccessDeniedException", "Access denied")


def test_each_token_opens_its_own_door() -> None:
    """The participant token makes connections and nothing else; a connection token all else but that."""
    lab = Lab()
    started = lab.start(ConnectionTypes=["CONNECTION_CREDENTIALS"]).body
    participant, connection = started["ParticipantToken"], started["ConnectionCredentials"]["ConnectionToken"]
    assert lab.participant("message", participant, HELLO).status == 403
    assert lab.participant("connection", connection, {"Type": ["WEBSOCKET"]}).status == 403
    assert lab.participant("message", connection, HELLO).status == 200


def test_connection_token_lives_a_day() -> None:
    """After 24 hours a connection token is denied, and a new one can be had."""
    lab = Lab("connect_timeout=never")
    started = lab.start(ConnectionTypes=["CONNECTION_CREDENTIALS"]).body
    old = started["ConnectionCredentials"]["ConnectionToken"]
    lab.clock.at = 86_399.0
    assert lab.participant("message", old, HELLO).status == 200
    lab.clock.at = 86_401.0
    assert lab.participant("message", old, HELLO).status == 403
    fresh = lab.participant("connection", started["ParticipantToken"], {"Type": ["CONNECTION_CREDENTIALS"]}).body
    assert lab.participant("message", fresh["ConnectionCredentials"]["ConnectionToken"], HELLO).status == 200
    assert fresh["ConnectionCredentials"]["Expiry"] == iso8601(EPOCH + 86_401 + 86_400)


@pytest.mark.parametrize(
    ("declared", "kind", "status"),
    [
        (None, "text/plain", 200),
        (None, "text/markdown", 400),
        (["text/plain", "text/markdown"], "text/markdown", 200),
        (["text/plain"], "application/json", 400),
        (["text/plain"], "text/html", 400),
    ],
)
def test_messages_only_of_declared_types(declared: list[str] | None, kind: str, status: int) -> None:
    """A message's content type has to be among those that the chat was started with."""
    lab = Lab()
    _, token = lab.connected(SupportedMessagingContentTypes=declared)
    reply = lab.participant("message", token, {"ContentType": kind, "Content": "x"})
    assert reply.status == status
    assert status == 200 or reply.code == "ValidationException"


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("message", {}),
        ("message", {"ContentType": "text/plain", "Content": ""}),
        ("message", {"ContentType": "text/plain", "Content": "x" * 16_385}),
        ("event", {}),
        ("event", {"ContentType": EVENT + "dancing"}),
        ("event", {"ContentType": EVENT + "message.read", "Content": "{}"}),
        ("transcript", {"MaxResults": 101}),
        ("transcript", {"SortOrder": "RANDOM"}),
        ("transcript", {"NextToken": "f-999"}),
        ("transcript", {"StartPosition": {"Id": "nothing"}}),
    ],
)
def test_invalid_participant_call(what: str, body: dict[str, Any]) -> None:
    """What breaks the Participant Service's model is its ValidationException."""
    lab = Lab()
    _, token = lab.connected()
    reply = lab.participant(what, token, body)
    assert (reply.status, reply.code) == (400, "ValidationException")


@pytest.mark.parametrize("body", [{}, {"Type": []}, {"Type": ["WEBRTC_CONNECTION"]}, {"Type": ["TELEX"]}])
def test_connection_of_no_useful_type(body: dict[str, Any]) -> None:
    """A connection that is asked for in no type that a chat has is refused."""
    lab = Lab()
    reply = lab.participant("connection", lab.start().body["ParticipantToken"], body)
    assert (reply.status, reply.code) == (400, "ValidationException")


def test_resent_message_is_said_once() -> None:
    """SendMessage with the same ClientToken gives the first answer, and the transcript has one message."""
    lab = Lab()
    _, token = lab.connected()
    first = lab.participant("message", token, {**HELLO, "ClientToken": "t"})
    assert lab.participant("message", token, {**HELLO, "ClientToken": "t"}) == first
    transcript = lab.participant("transcript", token).body["Transcript"]
    assert [item["Type"] for item in transcript] == ["MESSAGE", "EVENT"]


@pytest.mark.parametrize(("setting", "status"), [("no", 403), ("yes", 200)])
def test_transcript_after_the_end(setting: str, status: int) -> None:
    """Whether the transcript of an ended chat can be read is a setting; nothing can be said in it."""
    lab = Lab(f"transcript_after_end={setting}")
    contact, token = lab.connected()
    lab.participant("message", token, HELLO)
    lab.stop(contact)
    assert lab.participant("transcript", token).status == status
    assert lab.participant("message", token, HELLO).status == 403


class Ear:
    """A customer's websocket that remembers the kinds of what it hears."""

    who: Participant | None = None

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, chat: Chat, item: Item) -> None:
        self.heard.append(item.content_type.removeprefix(EVENT))

    def finish(self) -> None:
        """There is nothing to close."""


def test_websocket_hears_the_end_and_nothing_after() -> None:
    """Whoever listens hears participant.left and chat.ended once, by whatever the chat ends."""
    for how in ("stop", "expire"):
        lab = Lab()
        contact, token = lab.connected()
        chat = lab.state.chats.by_id[contact]
        ear = Ear()
        chat.listen(ear)
        lab.participant("message", token, HELLO)
        lab.participant("event", token, {"ContentType": EVENT + "typing"})
        if how == "stop":
            lab.stop(contact)
            lab.stop(contact)
        lab.clock.at = 400_000.0
        lab.state.chats.advance(lab.clock.at)
        assert ear.heard == ["text/plain", "typing", "participant.left", "chat.ended"]


def websocket_token(answer: dict[str, Any]) -> str:
    url: str = answer["Websocket"]["Url"]
    return url.partition("token=")[2]


@pytest.mark.parametrize(
    ("stops_on", "done", "survives"),
    [
        ("subscribe", "open", False),
        ("subscribe", "subscribe", True),
        ("open", "api", False),
        ("open", "open", True),
        ("api", "start", False),
        ("api", "api", True),
    ],
)
def test_what_stops_the_five_minute_clock(stops_on: str, done: str, survives: bool) -> None:
    """A chat ends after five minutes unless its customer has done what the setting asks for."""
    lab = Lab(f"connect_stops_on={stops_on}")
    started = lab.start().body
    if done != "start":
        answer = lab.participant("connection", started["ParticipantToken"], {"Type": ["WEBSOCKET"]}).body
        if done != "api":
            ticket = lab.state.open_websocket(0.0, websocket_token(answer))
            assert ticket is not None
            if done == "subscribe":
                lab.state.subscribed(0.0, ticket.chat)
    lab.clock.at = 299.9
    assert "DisconnectTimestamp" not in lab.describe(started["ContactId"]).body["Contact"]
    lab.clock.at = 300.0
    contact = lab.describe(started["ContactId"]).body["Contact"]
    assert ("DisconnectTimestamp" not in contact) == survives
    assert survives or contact["DisconnectReason"] == "CUSTOMER_CONNECTION_NOT_ESTABLISHED"


def test_search_finds_a_chat_after_its_lag() -> None:
    """SearchContacts does not find a chat before search_lag is over; DescribeContact does at once."""
    lab = Lab("search_lag=30s")
    contact = lab.start().body["ContactId"]
    asked = {
        "InstanceId": lab.settings.instance_id,
        "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4e9},
    }
    assert lab.describe(contact).status == 200
    for at, count in ((29.9, 0), (60.0, 1)):
        lab.clock.at = at
        assert lab.call("POST", "/search-contacts", asked).body["TotalCount"] == count


def test_connect_participant_stops_the_clock() -> None:
    """ConnectParticipant marks the customer of a streaming chat as connected, without a websocket."""
    lab = Lab()
    started = lab.start().body
    assert lab.participant("connection", started["ParticipantToken"], {"ConnectParticipant": True}).status == 200
    lab.clock.at = 301.0
    assert "DisconnectTimestamp" not in lab.describe(started["ContactId"]).body["Contact"]


def test_websocket_address_lives_100_seconds() -> None:
    """A websocket address is refused after its ConnectionExpiry, and one that nobody was given always."""
    lab = Lab()
    started = lab.start(ConnectionTypes=["WEBSOCKET"]).body
    token = websocket_token(started)
    assert lab.state.open_websocket(99.0, token) is not None
    assert lab.state.open_websocket(101.0, token) is None
    assert lab.state.open_websocket(1.0, "guess") is None


ITEMS = [Item(iso8601(EPOCH + n), "text/plain", str(n), "MESSAGE", "c", "c") for n in range(25)]


@hypothesis_settings(deadline=None)
@given(size=st.integers(1, 30), forward=st.booleans(), ascending=st.booleans())
def test_pages_cover_the_transcript_once(size: int, forward: bool, ascending: bool) -> None:
    """Following NextToken reads every item exactly once, in either direction and order."""
    request: dict[str, Any] = {
        "MaxResults": size,
        "ScanDirection": "FORWARD" if forward else "BACKWARD",
        "SortOrder": "ASCENDING" if ascending else "DESCENDING",
    }
    read: list[int] = []
    token: str | None = "to begin"
    for _ in range(math.ceil(len(ITEMS) / size)):
        chunk, token = page(ITEMS, request)
        numbers = [int(item["Id"]) for item in chunk]
        assert numbers == sorted(numbers, reverse=not ascending)
        read += numbers
        if token is None:
            break
        request["NextToken"] = token
    assert sorted(read) == list(range(25))
    assert token is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, list(range(24, 14, -1))),
        ({"StartPosition": {"Id": "3"}, "MaxResults": 2}, [4, 3]),
        ({"StartPosition": {"Id": "3"}, "ScanDirection": "BACKWARD", "SortOrder": "ASCENDING"}, [0, 1, 2, 3]),
        ({"StartPosition": {"MostRecent": 2}, "SortOrder": "ASCENDING"}, [23, 24]),
        ({"StartPosition": {"AbsoluteTime": iso8601(EPOCH + 22)}, "SortOrder": "ASCENDING"}, [22, 23, 24]),
    ],
)
def test_where_a_transcript_starts(request_: dict[str, Any], expected: list[int]) -> None:
    """Without a start: the ten newest, newest first. With one: forward from it, or backward up to it."""
    assert [int(item["Id"]) for item in page(ITEMS, request_)[0]] == expected
