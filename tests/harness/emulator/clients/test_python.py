"""The emulator against boto3 and the AWS CLI, as processes and sockets."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import websocket
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.harness.emulator.support import Running, running

MARKDOWN = "**bold**, [link](https://example.com)\n\n1. one\n2. two"
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1, "mode": "standard"})


@pytest.fixture(scope="module")
def emulator() -> Iterator[Running]:
    with running(
        "active_chats=50,rate=inf,StopContact.rate=inf,SendMessage.rate=inf,SearchContacts.rate=inf"
    ) as started:
        yield started


def connect_client(emulator: Running, **changes: str) -> Any:
    where = emulator.where
    keys = {
        "aws_access_key_id": where["access_key_id"],
        "aws_secret_access_key": where["secret_access_key"],
        "region_name": where["region"],
        **changes,
    }
    return boto3.client("connect", endpoint_url=where["endpoint"], config=ONE_ATTEMPT, **keys)  # type: ignore[call-overload]


def participant_client(emulator: Running) -> Any:
    where = emulator.where
    config = ONE_ATTEMPT.merge(Config(signature_version=UNSIGNED))
    return boto3.client(
        "connectparticipant", endpoint_url=where["participant_endpoint"], region_name=where["region"], config=config
    )


def start(emulator: Running, client: Any, **members: Any) -> Any:
    return client.start_chat_contact(
        InstanceId=emulator.where["instance_id"],
        ContactFlowId=emulator.where["contact_flow_id"],
        ParticipantDetails={"DisplayName": "Zoë 🙂"},
        **members,
    )


def frame(socket: websocket.WebSocket) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(socket.recv())
    return parsed


def test_boto3_customer_holds_a_whole_chat(emulator: Running) -> None:
    """A boto3 customer starts, connects, subscribes, sends markdown and hears it, reads the transcript, leaves."""
    client, participant = connect_client(emulator), participant_client(emulator)
    started = start(
        emulator,
        client,
        SupportedMessagingContentTypes=["text/plain", "text/markdown"],
        InitialMessage={"ContentType": "text/plain", "Content": "hello"},
    )
    connection = participant.create_participant_connection(
        Type=["WEBSOCKET", "CONNECTION_CREDENTIALS"], ParticipantToken=started["ParticipantToken"]
    )
    token = connection["ConnectionCredentials"]["ConnectionToken"]
    socket = websocket.create_connection(connection["Websocket"]["Url"], timeout=10)
    try:
        socket.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
        assert frame(socket) == {"topic": "aws/subscribe", "content": {"status": "success", "topics": ["aws/chat"]}}
        socket.send(json.dumps({"topic": "aws/ping"}))
        assert frame(socket)["statusCode"] == 200
        socket.send(json.dumps({"topic": "aws/heartbeat"}))
        assert frame(socket) == {"topic": "aws/heartbeat"}
        socket.send("not json")
        assert frame(socket)["message"] == "Forbidden"
        sent = participant.send_message(ContentType="text/markdown", Content=MARKDOWN, ConnectionToken=token)
        heard = frame(socket)
        assert (heard["topic"], heard["contentType"]) == ("aws/chat", "application/json")
        item = json.loads(heard["content"])
        assert (item["Content"], item["Id"], item["Type"]) == (MARKDOWN, sent["Id"], "MESSAGE")
        transcript = participant.get_transcript(ConnectionToken=token, SortOrder="ASCENDING")["Transcript"]
        assert [entry.get("Content") for entry in transcript] == [None, "hello", MARKDOWN]
        participant.disconnect_participant(ConnectionToken=token)
        kinds = [json.loads(frame(socket)["content"])["ContentType"].rpartition("event.")[2] for _ in range(2)]
        assert kinds == ["participant.left", "chat.ended"]
    finally:
        socket.close()
    contact = client.describe_contact(InstanceId=emulator.where["instance_id"], ContactId=started["ContactId"])[
        "Contact"
    ]
    assert contact["DisconnectReason"] == "CUSTOMER_DISCONNECT"
    assert contact["DisconnectTimestamp"] >= contact["InitiationTimestamp"]


def test_boto3_gets_the_connection_with_the_chat(emulator: Running) -> None:
    """ConnectionTypes on StartChatContact saves the CreateParticipantConnection call."""
    started = start(emulator, connect_client(emulator), ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"])
    socket = websocket.create_connection(started["Websocket"]["Url"], timeout=10)
    socket.close()
    token = started["ConnectionCredentials"]["ConnectionToken"]
    assert participant_client(emulator).send_event(
        ContentType="application/vnd.amazonaws.connect.event.typing", ConnectionToken=token
    )["Id"]


def test_boto3_finds_the_chats_of_a_run(emulator: Running) -> None:
    """SearchContacts finds the chats of one run by their attribute, page by page."""
    client = connect_client(emulator)
    mine = {start(emulator, client, Attributes={"loadtest-run": "mine"})["ContactId"] for _ in range(3)}
    start(emulator, client, Attributes={"loadtest-run": "other"})
    found: set[str] = set()
    arguments: dict[str, Any] = {
        "InstanceId": emulator.where["instance_id"],
        "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4_000_000_000},
        "SearchCriteria": {
            "Channels": ["CHAT"],
            "SearchableContactAttributes": {"Criteria": [{"Key": "loadtest-run", "Values": ["mine"]}]},
        },
        "MaxResults": 2,
    }
    for _ in range(2):
        page = client.search_contacts(**arguments)
        found |= {contact["Id"] for contact in page["Contacts"]}
        arguments["NextToken"] = page.get("NextToken")
    assert (found, page["TotalCount"], arguments["NextToken"]) == (mine, 3, None)


def test_boto3_finds_open_chats_alone(emulator: Running) -> None:
    """AdditionalTimeRange with a time of disconnection that does not exist finds the chats that go on."""
    client = connect_client(emulator)
    instance = emulator.where["instance_id"]
    ended, going_on = (start(emulator, client, Attributes={"loadtest-run": "some"})["ContactId"] for _ in range(2))
    client.stop_contact(InstanceId=instance, ContactId=ended)
    span: Any = {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4_000_000_000}

    def found(*criteria: dict[str, Any], how: str = "MATCH_ALL") -> set[str]:
        wanted: Any = {"Criteria": list(criteria), "MatchType": how}
        answer = client.search_contacts(
            InstanceId=instance, TimeRange=span, SearchCriteria={"AdditionalTimeRange": wanted}
        )
        return {contact["Id"] for contact in answer["Contacts"]}

    is_open = {"TimestampCondition": {"Type": "DISCONNECT_TIMESTAMP", "ConditionType": "NOT_EXISTS"}}
    assert going_on in found(is_open)
    assert ended not in found(is_open)
    assert ended in found(is_open, how="MATCH_NONE")
    assert ended in found({"TimeRange": {**span, "Type": "DISCONNECT_TIMESTAMP"}})
    read = client.get_contact_attributes(InstanceId=instance, InitialContactId=going_on)
    assert read["Attributes"]["loadtest-run"] == "some"


def test_boto3_counts_the_open_chats(emulator: Running) -> None:
    """GetCurrentMetricData's contacts in queue follow the open chats."""
    client = connect_client(emulator)

    def waiting() -> float:
        answer = client.get_current_metric_data(
            InstanceId=emulator.where["instance_id"],
            Filters={"Queues": ["any-queue"], "Channels": ["CHAT"]},
            CurrentMetrics=[{"Name": "CONTACTS_IN_QUEUE", "Unit": "COUNT"}],
        )
        value: float = answer["MetricResults"][0]["Collections"][0]["Value"]
        return value

    before = waiting()
    started = start(emulator, client)
    assert waiting() == before + 1
    client.stop_contact(InstanceId=emulator.where["instance_id"], ContactId=started["ContactId"])
    assert waiting() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "UNKNOWN"}, "UnrecognizedClientException"),
        ({"region_name": "eu-west-2"}, "InvalidSignatureException"),
    ],
)
def test_boto3_is_refused_with_wrong_credentials(emulator: Running, changes: dict[str, str], code: str) -> None:
    """A wrong secret, an unknown key and another Region are refused as AWS refuses them."""
    with pytest.raises(ClientError) as caught:
        start(emulator, connect_client(emulator, **changes))
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_boto3_sees_both_limits_by_name() -> None:
    """The quota refuses as LimitExceededException and the bucket as TooManyRequestsException, both 429."""
    with running("active_chats=2,rate=0.001,burst=4") as emulator:
        client = connect_client(emulator)
        answers: list[tuple[int, str]] = []
        for _ in range(6):
            try:
                start(emulator, client)
                answers.append((200, "started"))
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                answers.append((status, error.response["Error"]["Code"]))
    quota, throttle = (429, "LimitExceededException"), (429, "TooManyRequestsException")
    assert answers == [(200, "started")] * 2 + [quota] * 2 + [throttle] * 2


def aws(emulator: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI."""
    where = emulator.where
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": where["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": where["secret_access_key"],
        "AWS_DEFAULT_REGION": where["region"],
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    program = str(Path(sys.executable).parent / "aws")
    command = [program, "--endpoint-url", where["endpoint"], "--output", "json", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_aws_cli_starts_and_ends_a_chat(emulator: Running) -> None:
    """The AWS CLI starts a chat, says something as its customer, and stops it; then the contact is gone."""
    instance = ("--instance-id", emulator.where["instance_id"])
    started = aws(
        emulator,
        *("connect", "start-chat-contact", *instance, "--contact-flow-id", emulator.where["contact_flow_id"]),
        *("--participant-details", "DisplayName=Terminal", "--attributes", "loadtest-run=cli"),
        *("--supported-messaging-content-types", "text/plain", "text/markdown"),
    )
    assert started.returncode == 0, started.stderr
    chat = json.loads(started.stdout)
    connect = ("connectparticipant", "create-participant-connection", "--type", "WEBSOCKET", "CONNECTION_CREDENTIALS")
    connection = aws(emulator, *connect, "--participant-token", chat["ParticipantToken"])
    assert connection.returncode == 0, connection.stderr
    token = json.loads(connection.stdout)["ConnectionCredentials"]["ConnectionToken"]
    message = ("--content-type", "text/markdown", "--content", MARKDOWN, "--connection-token", token)
    said = aws(emulator, "connectparticipant", "send-message", *message)
    assert said.returncode == 0, said.stderr
    stop = ("connect", "stop-contact", *instance, "--contact-id", chat["ContactId"])
    assert aws(emulator, *stop).returncode == 0
    again = aws(emulator, *stop)
    assert again.returncode != 0
    assert "(ContactNotFoundException)" in again.stderr
