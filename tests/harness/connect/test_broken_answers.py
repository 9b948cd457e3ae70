"""Whatever a server answers, each attempt is exactly one reply that can be recorded, and no secret is in it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
import orjson
import pytest

from harness.connect.client import ConnectClient, Reply
from harness.connect.participant import TYPING, ParticipantClient
from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.connect.wire import Endpoint, Pool
from harness.load.session.sdk_retries import RetryingSdk
from harness.recording.format.schema import Sample, to_batch
from harness.vocabulary import OUTCOMES, SERVICE_ERROR, STARTED
from tests.harness.connect.broken_answers import BROKEN, SECRET
from tests.support.scripted_server import ScriptedServer, serving

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", SECRET)
BODY = b'{"InstanceId": "i", "ContactFlowId": "f", "ParticipantDetails": {"DisplayName": "d"}, "ClientToken": "t"}'
PATIENCE = 5.0

Call = Callable[[ScriptedServer], list[Reply]]


def connect(call: Callable[[ConnectClient], Reply]) -> Call:
    """The replies of a call of the Connect API."""

    def make(server: ScriptedServer) -> list[Reply]:
        pool = Pool(Endpoint.parse(server.url), PATIENCE)
        return [call(ConnectClient(pool, "us-east-1", lambda: CREDENTIALS, "test"))]

    return make


def participant(call: Callable[[ParticipantClient], Reply]) -> Call:
    """The replies of a call of the Participant Service."""

    def make(server: ScriptedServer) -> list[Reply]:
        return [call(ParticipantClient(Pool(Endpoint.parse(server.url), PATIENCE), "test"))]

    return make


def sdk(mode: str) -> Call:
    """The replies of a chat start through boto3."""

    def make(server: ScriptedServer) -> list[Reply]:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: CREDENTIALS)
        return RetryingSdk(target, mode, PATIENCE, 10).call(BODY)

    return make


def connection(client: ParticipantClient) -> Reply:
    """CreateParticipantConnection; what it returns besides is fit to be sent."""
    reply, made = client.create_connection(SECRET)
    assert made is None or (made.token.isascii() and made.websocket_url.startswith("ws://127.0.0.1"))
    return reply


CALLS: dict[str, Call] = {
    "StartChatContact": connect(lambda client: client.start_chat(BODY)),
    "StopContact": connect(lambda client: client.stop_contact("i", "c")),
    "DescribeContact": connect(lambda client: client.describe_contact("i", "c")[0]),
    "CreateParticipantConnection": participant(connection),
    "SendMessage": participant(lambda client: client.send_message(SECRET, "text/plain", "hi", "once")[0]),
    "SendEvent": participant(lambda client: client.send_event(SECRET, TYPING, "once")),
    "GetTranscript": participant(lambda client: client.get_transcript(SECRET)[0]),
    "DisconnectParticipant": participant(lambda client: client.disconnect(SECRET, "once")),
}


def assert_recordable(reply: Reply) -> None:
    """The reply has one known outcome, and becomes a row and JSON without a secret, a control character or great length."""
    assert reply.outcome in OUTCOMES
    at = (reply.sent, reply.sent, reply.received)
    sample = Sample("op", *at, reply.outcome, reply.status, reply.error_code, "local", reply.contact_id, *about(reply))
    assert to_batch([sample]).num_rows == 1
    kept = (reply.outcome, reply.error_code, reply.contact_id, reply.request_id)
    for value in kept:
        assert value is None or (isinstance(value, str) and value.isprintable() and len(value) <= 256)
    for secret in (reply.participant_token, reply.connection_token, reply.websocket_url):
        assert secret is None or (secret.isascii() and secret.isprintable() and len(secret) <= 8192)
    assert len(reply.message) <= 2000
    written = orjson.dumps([*kept, reply.message]).decode()
    assert not any(SECRET[at : at + 12] in written for at in range(len(SECRET) - 12))


def about(reply: Reply) -> tuple[Any, ...]:
    """The columns of a sample that say what was asked for."""
    return None, 0, 0, 0, 0, reply.request_id, None


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("operation", CALLS)
def test_each_attempt_is_one_reply_that_can_be_recorded(operation: str, broken: str) -> None:
    """One request on the wire, one reply, whatever is wrong with the answer."""
    with serving(BROKEN[broken]) as server:
        (reply,) = CALLS[operation](server)
    assert len(server.requests) == 1
    assert_recordable(reply)


@pytest.fixture
def quick_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt a call, so that no case waits; and one boto3 session for all, as each reads the service model anew."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(boto3, "Session", shared_session)


@cache
def shared_session() -> boto3.session.Session:
    """The one session."""
    return boto3.session.Session()


DIFFERENT = {
    "length too long": "boto3 takes a body that was cut off",
    "length that is not a number": "boto3 reads without a length",
    "negative length": "boto3 reads without a length",
}


@pytest.mark.usefixtures("quick_sdk")
@pytest.mark.parametrize("broken", BROKEN)
def test_each_attempt_of_the_sdk_is_one_reply_that_can_be_recorded(broken: str) -> None:
    """As many replies as the server saw requests, whatever botocore's parser raises; read as the harness's client reads."""
    with serving(BROKEN[broken]) as server:
        replies = sdk("standard")(server)
    assert len(replies) == len(server.requests) == 1
    assert_recordable(replies[0])
    with serving(BROKEN[broken]) as server:
        (ours,) = CALLS["StartChatContact"](server)
    same = (ours.outcome, ours.contact_id) == (replies[0].outcome, replies[0].contact_id)
    assert same == (broken not in DIFFERENT)


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_every_retry_of_the_sdk_is_a_reply(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that botocore makes again, and the last one that it cannot parse, are all there."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with serving(BROKEN["500 with 3 MB"]) as server:
        replies = sdk(mode)(server)
    assert [reply.outcome for reply in replies] == [SERVICE_ERROR] * 2
    assert len(server.requests) == 2
    assert replies[1].waited > replies[0].waited


def test_a_started_chat_is_never_lost_to_a_broken_member() -> None:
    """A 200 with a contact and a token that cannot be sent is a start, so that the chat is stopped."""
    with serving(BROKEN["token with CRLF"]) as server:
        (reply,) = CALLS["StartChatContact"](server)
    assert (reply.outcome, reply.contact_id, reply.participant_token) == (STARTED, "c-1", None)


def test_an_unusable_contact_id_may_have_started_a_chat() -> None:
    """It is a fault of the service, and the place in the budget stays taken."""
    with serving(BROKEN["number for every member"]) as server:
        (reply,) = CALLS["StartChatContact"](server)
    assert (reply.outcome, reply.contact_id, reply.may_have_started) == (SERVICE_ERROR, None, True)
