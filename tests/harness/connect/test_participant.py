"""The Participant Service's requests against the SDK's, and its answers as far as they can go wrong."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from harness.connect.participant import TYPING, ParticipantClient
from harness.connect.wire import Endpoint, Response

URL = "http://127.0.0.1:9"


class OneAnswer:
    """A pool whose only connection keeps the request and gives the answer that it was made with."""

    def __init__(self, status: int, body: bytes) -> None:
        self.endpoint = Endpoint.parse(URL)
        self._answer = Response(status, {}, body)
        self.sent = b""
        self.sent_at = 0.0

    def acquire(self) -> "OneAnswer":
        return self

    def release(self, connection: "OneAnswer") -> None:
        assert connection is self

    def arrived_at(self) -> float:
        return self.sent_at

    def exchange(self, request: bytes) -> Response:
        self.sent = request
        return self._answer


def client(pool: Any) -> ParticipantClient:
    """A client over the pool."""
    return ParticipantClient(pool, "test")


def sdk_request(operation: str, **parameters: Any) -> AWSPreparedRequest:
    """What boto3 sends for the same call."""
    sent: list[AWSPreparedRequest] = []

    class Raw:
        def stream(self, *_: Any, **__: Any) -> Any:
            yield b"{}"

    def keep(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, Raw())  # type: ignore[arg-type]

    create: Any = boto3.client
    sdk = create(
        "connectparticipant", region_name="us-east-1", endpoint_url=URL, config=Config(signature_version=UNSIGNED)
    )
    sdk.meta.events.register("before-send.connectparticipant.*", keep)
    getattr(sdk, operation)(**parameters)
    return sent[0]


CALLS: list[tuple[Callable[[ParticipantClient], Any], str, dict[str, Any]]] = [
    (
        lambda c: c.create_connection("token"),
        "create_participant_connection",
        {"ParticipantToken": "token", "Type": ["WEBSOCKET", "CONNECTION_CREDENTIALS"]},
    ),
    (
        lambda c: c.send_message("token", "text/markdown", "**Grüße** 🙂", "once"),
        "send_message",
        {"ContentType": "text/markdown", "Content": "**Grüße** 🙂", "ClientToken": "once"},
    ),
    (
        lambda c: c.send_event("token", TYPING, "once"),
        "send_event",
        {"ContentType": TYPING, "ClientToken": "once"},
    ),
    (
        lambda c: c.get_transcript("token", 50),
        "get_transcript",
        {"MaxResults": 50, "SortOrder": "DESCENDING"},
    ),
    (lambda c: c.disconnect("token", "once"), "disconnect_participant", {"ClientToken": "once"}),
]


@pytest.mark.parametrize(("call", "operation", "parameters"), CALLS, ids=[call[1] for call in CALLS])
def test_requests_are_those_of_the_sdk(
    call: Callable[[ParticipantClient], Any], operation: str, parameters: dict[str, Any]
) -> None:
    """Method, path, bearer token and body equal boto3's, and nothing is signed."""
    pool = OneAnswer(200, b"{}")
    call(client(pool))
    head, _, body = pool.sent.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if "ParticipantToken" not in parameters:
        parameters = {**parameters, "ConnectionToken": "token"}
    theirs = sdk_request(operation, **parameters)
    assert first == f"{theirs.method} {theirs.url.removeprefix(URL)} HTTP/1.1"
    assert json.loads(body) == json.loads(theirs.body or b"")  # type: ignore[arg-type]
    assert headers["X-Amz-Bearer"] == "token"
    assert int(headers["Content-Length"]) == len(body)
    assert "Authorization" not in headers


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"no json", b'{"Websocket": null, "ConnectionCredentials": 3}'])
def test_answer_without_a_connection_is_a_fault_of_the_service(body: bytes) -> None:
    """A 200 that lacks what a customer needs to go on is no success."""
    reply, connection = client(OneAnswer(200, body)).create_connection("token")
    assert (reply.outcome, connection) == ("service_error", None)
    reply, message_id = client(OneAnswer(200, body)).send_message("token", "text/plain", "hi", "once")
    assert (reply.outcome, message_id) == ("service_error", None)


def test_throttle_of_the_participant_service_is_classified() -> None:
    """A 429 ThrottlingException is a throttle, and its words are kept."""
    body = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
    reply, _ = client(OneAnswer(429, body)).create_connection("token")
    assert (reply.outcome, reply.error_code, reply.message) == ("tps_throttled", "ThrottlingException", "Rate exceeded")
    assert "token" not in repr(reply)
