"""The Participant Service: what the customer of a chat calls, with a bearer token and no signature.

Source: https://docs.aws.amazon.com/connect-participant/latest/APIReference/Welcome.html and botocore's service model
`connectparticipant`. Its quotas are counted for each instance and are lower than one expects: CreateParticipantConnection
6/s, SendMessage and SendEvent 10/s each, GetTranscript 8/s, DisconnectParticipant 3/s
(https://docs.aws.amazon.com/connect/latest/adminguide/amazon-connect-service-limits.html).
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from harness.connect import fields
from harness.connect.client import Reply, attempt
from harness.connect.websocket_address import refusal_of_address
from harness.connect.wire import Pool
from harness.vocabulary import (
    CREATE_CONNECTION,
    DISCONNECT,
    GET_TRANSCRIPT,
    OK,
    SEND_EVENT,
    SEND_MESSAGE,
    SERVICE_ERROR,
    UNCLASSIFIED_429,
)

_EVENT = "application/vnd.amazonaws.connect.event."
TYPING = f"{_EVENT}typing"
CHAT_ENDED = f"{_EVENT}chat.ended"
AGENTS = {"joined": f"{_EVENT}participant.joined", "left": f"{_EVENT}participant.left"}
TRANSFERRED = f"{_EVENT}transfer.succeeded"


@dataclass(frozen=True, slots=True)
class Connection:
    """How a customer takes part: where the websocket is opened, and the token of every further call. Both are secrets."""

    websocket_url: str = field(repr=False)
    token: str = field(repr=False)


class ParticipantClient:
    """Calls the Participant Service. One call is one attempt: nothing is retried here or below."""

    def __init__(
        self, pool: Pool, user_agent: str, region: str = "", live: bool = False, bare_429: str = UNCLASSIFIED_429
    ) -> None:
        self._pool = pool
        self._region = region
        self._live = live
        self._bare_429 = bare_429
        self._head = f"Host: {pool.endpoint.authority}\r\nUser-Agent: {user_agent}\r\n"

    def create_connection(self, participant_token: str) -> tuple[Reply, Connection | None]:
        """Ask for a websocket address and a connection token; None where the call was refused or said neither."""
        body = {"Type": ["WEBSOCKET", "CONNECTION_CREDENTIALS"]}
        reply, members = self._call(CREATE_CONNECTION, "/participant/connection", participant_token, body)
        websocket, credentials = members.get("Websocket"), members.get("ConnectionCredentials")
        if isinstance(websocket, dict) and isinstance(credentials, dict):
            url, token = fields.token(websocket.get("Url")), fields.token(credentials.get("ConnectionToken"))
            if url is not None and token is not None:
                refusal = self.refusal_of_address(url)
                if refusal is not None and reply.outcome == OK:
                    return reply.but(outcome=SERVICE_ERROR, message=refusal), None
                return reply, Connection(url, token)
        return _incomplete(reply, "a websocket address and a connection token"), None

    def refusal_of_address(self, url: str) -> str | None:
        """Say why a websocket address that the service answered is not to be opened; None where it is."""
        return refusal_of_address(url, self._pool.endpoint, self._region, self._live)

    def send_message(self, token: str, content_type: str, content: str, client_token: str) -> tuple[Reply, str | None]:
        """Send a message; returns its Id, which the websocket's frame of it has as well."""
        body = {"ContentType": content_type, "Content": content, "ClientToken": client_token}
        reply, members = self._call(SEND_MESSAGE, "/participant/message", token, body)
        message_id = fields.identifier(members.get("Id"))
        return (reply, message_id) if message_id is not None else (_incomplete(reply, "an Id"), None)

    def send_event(self, token: str, content_type: str, client_token: str) -> Reply:
        """Send an event, such as TYPING."""
        body = {"ContentType": content_type, "ClientToken": client_token}
        return self._call(SEND_EVENT, "/participant/event", token, body)[0]

    def get_transcript(self, token: str, most: int = 100) -> tuple[Reply, list[dict[str, Any]]]:
        """Read the newest items of the transcript, at most `most` (up to 100)."""
        body = {"MaxResults": most, "SortOrder": "DESCENDING"}
        reply, members = self._call(GET_TRANSCRIPT, "/participant/transcript", token, body)
        items = members.get("Transcript")
        if not isinstance(items, list):
            return _incomplete(reply, "a Transcript"), []
        return reply, [item for item in items if isinstance(item, dict)]

    def disconnect(self, token: str, client_token: str) -> Reply:
        """Leave the chat: it ends, as the customer is who it is for."""
        return self._call(DISCONNECT, "/participant/disconnect", token, {"ClientToken": client_token})[0]

    def _call(self, operation: str, path: str, bearer: str, members: dict[str, Any]) -> tuple[Reply, dict[str, Any]]:
        body = orjson.dumps(members)
        head = (
            f"POST {path} HTTP/1.1\r\n{self._head}Content-Type: application/json\r\n"
            f"X-Amz-Bearer: {bearer}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        data = head.encode("ascii") + body
        reply, answer = attempt(self._pool, operation, lambda: data, self._bare_429)
        if reply.outcome != OK:
            return reply, {}
        answered = fields.json_object(answer.body)
        return (reply, answered) if answered is not None else (_incomplete(reply, "a JSON object"), {})


def _incomplete(reply: Reply, missing: str) -> Reply:
    """Return a 200 that lacks what the caller needs is a fault of the service; any other reply stays as it is."""
    if reply.outcome != OK:
        return reply
    return reply.but(outcome=SERVICE_ERROR, message=f"a {reply.status} without {missing}")
