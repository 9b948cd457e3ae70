"""boto3 with attachments, contact attributes, further participants and persistent chats."""

import http.server
import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import websocket
from botocore.exceptions import ClientError

from chatquota import Emulator, EmulatorError, emulator
from harness.emulator.service.items import ENDED, JOINED, LEFT, REHYDRATED

PDF = b"%PDF-1.7 not much of one"


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with emulator(rate=50, burst=80, StartAttachmentUpload_rate="inf", CompleteAttachmentUpload_rate="inf") as service:
        yield service


@pytest.fixture
def service(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


def connected(service: Emulator, token: str) -> tuple[str, websocket.WebSocket]:
    """A participant's connection token, and its websocket after the subscribe frame's answer."""
    connection = service.participant().create_participant_connection(
        Type=["WEBSOCKET", "CONNECTION_CREDENTIALS"], ParticipantToken=token
    )
    socket = websocket.create_connection(connection["Websocket"]["Url"], timeout=10)
    socket.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
    socket.recv()
    return connection["ConnectionCredentials"]["ConnectionToken"], socket


def heard(socket: websocket.WebSocket) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(json.loads(socket.recv())["content"])
    return item


def put(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Upload as AWS says: PUT with the headers of the answer. The status."""
    request = urllib.request.Request(url, body, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code


def announced(service: Emulator, token: str, size: int = len(PDF), name: str = "Räder.pdf") -> Any:
    return service.participant().start_attachment_upload(
        ContentType="application/pdf",
        AttachmentSizeInBytes=size,
        AttachmentName=name,
        ConnectionToken=token,
        ClientToken=str(uuid4()),
    )


def test_attachment_is_uploaded_heard_and_read(service: Emulator) -> None:
    """A file goes up, comes out of the websocket and the transcript as an ATTACHMENT, and can be read for a while."""
    token, socket = connected(service, service.start_chat()["ParticipantToken"])
    participant, started = service.participant(), announced(service, token)
    upload, name = started["UploadMetadata"], started["AttachmentId"]
    assert put(upload["Url"], PDF, upload["HeadersToInclude"]) == 200
    participant.complete_attachment_upload(AttachmentIds=[name], ConnectionToken=token, ClientToken="once")
    item = heard(socket)
    socket.close()
    shown = {
        "AttachmentId": name,
        "AttachmentName": "Räder.pdf",
        "ContentType": "application/pdf",
        "Status": "APPROVED",
    }
    assert (item["Type"], item["Attachments"], item["ParticipantRole"]) == ("ATTACHMENT", [shown], "CUSTOMER")
    newest = participant.get_transcript(ConnectionToken=token)["Transcript"][0]
    assert (newest["Type"], newest["Attachments"]) == ("ATTACHMENT", [shown])
    found = participant.get_attachment(AttachmentId=name, ConnectionToken=token, UrlExpiryInSeconds=5)
    assert found["AttachmentSizeInBytes"] == len(PDF)
    with urllib.request.urlopen(found["Url"], timeout=10) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (PDF, "application/pdf")
    service.advance("6s")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(found["Url"], timeout=10)
    (chat,) = service.chats()
    assert chat.transcript[-1].attachments == [shown]


def test_attachment_that_is_not_as_announced_is_refused(service: Emulator) -> None:
    """Another size, a late upload, a wrong type, 20 MB and one byte, and a completion without an upload are refused."""
    token, socket = connected(service, service.start_chat()["ParticipantToken"])
    socket.close()
    started = announced(service, token)
    url, headers = started["UploadMetadata"]["Url"], started["UploadMetadata"]["HeadersToInclude"]
    assert put(url, PDF + b"!", {"Content-Type": headers["Content-Type"]}) == 403
    assert put(url.replace("secret=", "secret=0"), PDF, headers) == 403
    with pytest.raises(ClientError, match="ConflictException"):
        service.participant().complete_attachment_upload(
            AttachmentIds=[started["AttachmentId"]], ConnectionToken=token, ClientToken="once"
        )
    with pytest.raises(ClientError, match="ValidationException"):
        announced(service, token, name="virus.exe")
    with pytest.raises(ClientError, match="ValidationException"):
        announced(service, token, size=20 * 1024 * 1024 + 1)
    service.advance("16m")
    assert put(url, PDF, headers) == 403


def test_a_chat_has_at_most_35_attachments(service: Emulator) -> None:
    """The thirty-sixth is ServiceQuotaExceededException, a 402."""
    service.settings(StartAttachmentUpload_rate="inf")
    token, socket = connected(service, service.start_chat()["ParticipantToken"])
    socket.close()
    for _ in range(35):
        announced(service, token)
    with pytest.raises(ClientError, match="ServiceQuotaExceededException") as caught:
        announced(service, token)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402


def test_upload_address_lets_a_page_of_another_origin_in(service: Emulator) -> None:
    """The preflight of an upload allows PUT and the headers that it names, as a bucket does."""
    token, socket = connected(service, service.start_chat()["ParticipantToken"])
    socket.close()
    url = announced(service, token)["UploadMetadata"]["Url"]
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    request = urllib.request.Request(url, headers={"Origin": "http://page.test", **asked}, method="OPTIONS")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "PUT" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "content-type"


def test_contact_attributes_are_read_and_updated(service: Emulator) -> None:
    """GetContactAttributes has what the chat was started with, and what UpdateContactAttributes added, ended or not."""
    connect, instance = service.connect(), service.instance_id
    contact = service.start_chat(Attributes={"topic": "orders", "tier": "gold"})["ContactId"]

    def attributes() -> dict[str, str]:
        return connect.get_contact_attributes(InstanceId=instance, InitialContactId=contact)["Attributes"]

    assert attributes() == {"topic": "orders", "tier": "gold"}
    connect.update_contact_attributes(InstanceId=instance, InitialContactId=contact, Attributes={"topic": "returns"})
    connect.stop_contact(InstanceId=instance, ContactId=contact)
    connect.update_contact_attributes(InstanceId=instance, InitialContactId=contact, Attributes={"rating": "5"})
    assert attributes() == {"topic": "returns", "tier": "gold", "rating": "5"}
    assert service.chat(contact).attributes == attributes()
    for wrong in ({"a b": "x"}, {"long": "x" * 32_768}):
        with pytest.raises(ClientError, match="InvalidParameterException"):
            connect.update_contact_attributes(InstanceId=instance, InitialContactId=contact, Attributes=wrong)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        connect.get_contact_attributes(InstanceId=instance, InitialContactId="nobody")


def test_custom_bot_joins_answers_and_leaves(service: Emulator) -> None:
    """A bot of CreateParticipant speaks under its own name; it leaves, its token is void, and the chat goes on."""
    started = service.start_chat("Zoë")
    contact = started["ContactId"]
    _, customer = connected(service, started["ParticipantToken"])
    connect, participant = service.connect(), service.participant()
    details = {"ParticipantRole": "CUSTOM_BOT", "DisplayName": "Robi"}
    made = connect.create_participant(
        InstanceId=service.instance_id,
        ContactId=contact,
        ParticipantDetails=details,  # type: ignore[arg-type]
    )
    token = participant.create_participant_connection(
        Type=["CONNECTION_CREDENTIALS"], ParticipantToken=made["ParticipantCredentials"]["ParticipantToken"]
    )["ConnectionCredentials"]["ConnectionToken"]
    participant.send_message(ContentType="text/plain", Content="I am a bot", ConnectionToken=token)
    items = [heard(customer) for _ in range(2)]
    assert [item["ContentType"] for item in items] == [JOINED, "text/plain"]
    assert {(item["ParticipantId"], item["DisplayName"], item["ParticipantRole"]) for item in items} == {
        (made["ParticipantId"], "Robi", "CUSTOM_BOT")
    }
    participant.disconnect_participant(ConnectionToken=token)
    assert heard(customer)["ContentType"] == LEFT
    with pytest.raises(ClientError, match="AccessDeniedException"):
        participant.send_message(ContentType="text/plain", Content="still here?", ConnectionToken=token)
    assert service.chat(contact).state == "open"
    assert [each.role for each in service.chat(contact).participants] == ["CUSTOMER", "CUSTOM_BOT"]
    customer.close()
    service.end(contact)
    with pytest.raises(ClientError, match="ConflictException"):
        connect.create_participant(
            InstanceId=service.instance_id,
            ContactId=contact,
            ParticipantDetails=details,  # type: ignore[arg-type]
        )


def test_second_customer_hears_and_is_heard(service: Emulator) -> None:
    """One more customer has a websocket of its own, which closes when it leaves; the first one stays."""
    service.settings(websockets="1:refuse")
    started = service.start_chat("Zoë")
    first, zoe = connected(service, started["ParticipantToken"])
    made = service.connect().create_participant(
        InstanceId=service.instance_id,
        ContactId=started["ContactId"],
        ParticipantDetails={"ParticipantRole": "CUSTOMER", "DisplayName": "Max"},
    )
    second, other = connected(service, made["ParticipantCredentials"]["ParticipantToken"])
    participant = service.participant()
    participant.send_message(ContentType="text/plain", Content="Hello from Max", ConnectionToken=second)
    participant.send_message(ContentType="text/plain", Content="Hello from Zoë", ConnectionToken=first)
    assert [heard(zoe)["DisplayName"] for _ in range(3)] == ["Max", "Max", "Zoë"]
    assert [heard(other)["DisplayName"] for _ in range(2)] == ["Max", "Zoë"]
    participant.disconnect_participant(ConnectionToken=second)
    other.recv()
    assert other.connected is False or other.recv() == ""
    participant.disconnect_participant(ConnectionToken=first)
    kinds = [heard(zoe)["ContentType"] for _ in range(3)]
    assert kinds == [LEFT, LEFT, ENDED]
    for socket in (zoe, other):
        socket.close()


@pytest.mark.parametrize("kind", ["ENTIRE_PAST_SESSION", "FROM_SEGMENT"])
def test_persistent_chat_has_what_was_said_before(service: Emulator, kind: str) -> None:
    """A chat that continues another has its transcript, under its contact id, then chat.rehydrated; and so on."""
    participant = service.participant()
    sources: list[str] = []
    for number in range(3):
        continued: Any = (
            {"PersistentChat": {"RehydrationType": kind, "SourceContactId": sources[-1]}} if sources else {}
        )
        started = service.start_chat(**continued)
        assert started.get("ContinuedFromContactId") == (sources[-1] if sources else None)
        token, socket = connected(service, started["ParticipantToken"])
        participant.send_message(ContentType="text/plain", Content=f"chat {number}", ConnectionToken=token)
        transcript = participant.get_transcript(ConnectionToken=token, SortOrder="ASCENDING", MaxResults=100)[
            "Transcript"
        ]
        said = [(item["Content"], item["ContactId"]) for item in transcript if item["Type"] == "MESSAGE"]
        sources.append(started["ContactId"])
        assert said == [(f"chat {index}", contact) for index, contact in enumerate(sources)]
        joints = [item for item in transcript if item["ContentType"] == REHYDRATED]
        assert [item["RelatedContactId"] for item in joints] == sources[:-1]
        with pytest.raises(ClientError, match="InvalidRequestException"):  # only an ended chat can be continued
            service.start_chat(PersistentChat={"RehydrationType": kind, "SourceContactId": sources[-1]})
        participant.disconnect_participant(ConnectionToken=token)
        socket.close()
    described = service.connect().describe_contact(InstanceId=service.instance_id, ContactId=sources[-1])["Contact"]
    assert described["RelatedContactId"] == sources[-2]


class _Subscriber(http.server.BaseHTTPRequestHandler):
    """Takes what is posted to it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.put((self.headers["x-amz-sns-message-type"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.mark.slow
def test_streaming_posts_what_is_said_as_sns_does(service: Emulator) -> None:
    """Items go to the address between StartContactStreaming and StopContactStreaming, in order, and the end of the chat."""
    topic = "arn:aws:sns:us-east-1:000000000000:chat"
    started = service.start_chat()
    names: Any = {"InstanceId": service.instance_id, "ContactId": started["ContactId"]}
    connect, contact = service.connect(), started["ContactId"]
    with http.server.HTTPServer(("127.0.0.1", 0), _Subscriber) as server:
        posted: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        server.posted = posted  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            service.settings(stream_to=f"http://127.0.0.1:{server.server_address[1]}/")
            configuration: Any = {"StreamingEndpointArn": topic}
            service.say(contact, "before")
            stream = connect.start_contact_streaming(**names, ChatStreamingConfiguration=configuration)["StreamingId"]
            service.say(contact, "one", name="Ann")
            service.say(contact, "two", name="Ann")
            got = [posted.get(timeout=10) for _ in range(2)]
            assert [json.loads(body["Message"])["Content"] for _, body in got] == ["one", "two"]
            kind, body = got[0]
            assert (kind, body["Type"], body["TopicArn"]) == ("Notification", "Notification", topic)
            assert body["MessageAttributes"]["ParticipantRole"] == {"Type": "String", "Value": "AGENT"}
            connect.stop_contact_streaming(**names, StreamingId=stream)
            service.say(contact, "not streamed")
            connect.start_contact_streaming(**names, ChatStreamingConfiguration=configuration)
            service.end(contact)
            kinds = [json.loads(posted.get(timeout=10)[1]["Message"])["ContentType"] for _ in range(2)]
            assert kinds == [LEFT, ENDED]
        finally:
            server.shutdown()
            thread.join(10)
    for wrong, code in (
        ({"StreamingId": stream}, "ResourceNotFoundException"),
        ({"StreamingId": "x"}, "ResourceNotFound"),
    ):
        with pytest.raises(ClientError, match=code):
            connect.stop_contact_streaming(**names, **wrong)
    with pytest.raises(ClientError, match="InvalidParameterException"):
        connect.start_contact_streaming(**names, ChatStreamingConfiguration={"StreamingEndpointArn": "arn:x"})
    with pytest.raises(EmulatorError, match="stream_to=nowhere: wants an address"):
        service.settings(stream_to="nowhere")
