"""A customer's whole chat with the botocore that is installed here. Argument: the emulator's line of JSON."""

import json
import sys
from collections.abc import Callable
from typing import Any

import boto3
import botocore
import websocket
from botocore.config import Config
from botocore.exceptions import ClientError

where = json.loads(sys.argv[1])
keys = {
    "aws_access_key_id": where["access_key_id"],
    "aws_secret_access_key": where["secret_access_key"],
    "region_name": where["region"],
    "endpoint_url": where["endpoint"],
}
once = Config(retries={"total_max_attempts": 1, "mode": "standard"})
connect = boto3.client("connect", config=once, **keys)
participant = boto3.client(
    "connectparticipant", config=once, **keys
)  # botocore leaves these calls unsigned, as modelled
request = {
    "InstanceId": where["instance_id"],
    "ContactFlowId": where["contact_flow_id"],
    "ParticipantDetails": {"DisplayName": "Zoë"},
    "SupportedMessagingContentTypes": ["text/plain", "text/markdown"],
}


def refusal(client: Any, **members: Any) -> str:
    """Return the name by which this botocore raises what `client` is refused; `typed` where by a class of its own."""
    try:
        client.start_chat_contact(**{**request, **members})
    except client.exceptions.LimitExceededException as error:
        return f"typed {error.response['Error']['Code']}"
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "none"


def hear(socket: websocket.WebSocket, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return the first thing said for which `wanted` holds."""
    while True:
        frame = json.loads(socket.recv())
        if frame["topic"] == "aws/chat":
            said: dict[str, Any] = json.loads(frame["content"])
            if wanted(said):
                return said


chat = connect.start_chat_contact(**request)
connection = participant.create_participant_connection(
    ParticipantToken=chat["ParticipantToken"], Type=["WEBSOCKET", "CONNECTION_CREDENTIALS"]
)
token = connection["ConnectionCredentials"]["ConnectionToken"]
socket = websocket.create_connection(connection["Websocket"]["Url"], timeout=20)
socket.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
greeting = hear(socket, lambda said: said.get("Content") == "Welcome")["Content"]
sent = participant.send_message(ContentType="text/markdown", Content="**An agent**, please", ConnectionToken=token)
hear(socket, lambda said: said.get("Id") == sent["Id"])
answer = hear(socket, lambda said: said.get("ParticipantRole") == "AGENT" and said.get("Content"))
items = participant.get_transcript(ConnectionToken=token, SortOrder="ASCENDING")["Transcript"]
participant.disconnect_participant(ConnectionToken=token)
hear(socket, lambda said: said["ContentType"].endswith("chat.ended"))
socket.close()
contact = connect.describe_contact(InstanceId=where["instance_id"], ContactId=chat["ContactId"])["Contact"]
for _ in range(2):
    connect.start_chat_contact(**request)
refusals = {"quota": refusal(connect), "unknown flow": refusal(connect, ContactFlowId="no-such-flow")}
for _ in range(20):
    refusals["throttle"] = refusal(connect, ContactFlowId="no-such-flow")
    if refusals["throttle"] != "ResourceNotFoundException":
        break
seen = {
    "version": botocore.__version__,
    "greeting": greeting,
    "answer": answer["DisplayName"],
    "said": [item.get("Content") for item in items if item["Type"] == "MESSAGE"],
    "disconnected": "DisconnectTimestamp" in contact,
    "refusals": refusals,
}
print(json.dumps(seen))
