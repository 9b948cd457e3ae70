"""The client of Amazon Connect: signs a request, sends it once, and says what became of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from harness.connect.outcome import classify, read_error
from harness.connect.signing import Credentials, CredentialsError, Signer
from harness.connect.wire import Answer, Connection, Pool, WireError, WireTimeout
from harness.vocabulary import (
    ACCESS_DENIED,
    CONNECTION_ERROR,
    DESCRIBE_CONTACT,
    OK,
    SERVICE_ERROR,
    START_CHAT,
    STARTED,
    STOP_CONTACT,
    TIMEOUT,
)

# perf_counter cannot step, so a corrected wall clock never bends a latency; both are read once, together.
_EPOCH = time.time() - time.perf_counter()


def now() -> float:
    """Unix seconds on a clock that never steps within this process."""
    return _EPOCH + time.perf_counter()


@dataclass(slots=True)
class Reply:
    """What became of one attempt: its outcome, when it was sent and answered (unix seconds), and what the answer said.

    `status` is 0 and `message` says why when no answer came; `after_send` is then whether the service may have seen the
    request. `participant_token`, and what a start with ConnectionTypes answers besides (`connection_token`,
    `websocket_url`), are secrets: they never leave the process. `waited` is how many seconds of the time before the sending
    were a retrying SDK's own doing, `doubtful` whether an earlier attempt of the same call may have started a chat.
    """

    outcome: str
    sent: float
    received: float
    status: int = 0
    error_code: str | None = None
    message: str = ""
    contact_id: str | None = None
    request_id: str | None = None
    participant_id: str | None = None
    participant_token: str | None = None
    body_bytes: int = 0
    after_send: bool = True
    connection_token: str | None = None
    websocket_url: str | None = None
    waited: float = 0.0
    doubtful: bool = False

    @property
    def may_have_started(self) -> bool:
        """Whether a StartChatContact with this reply may have started a chat: answered so, or sent and not answered."""
        if self.status == 0 or self.doubtful:
            return self.after_send or self.doubtful
        return 200 <= self.status < 300

    def __repr__(self) -> str:
        return f"Reply({self.outcome}, {self.status}, {self.error_code}, contact_id={self.contact_id})"


class ConnectClient:
    """Calls StartChatContact and StopContact, the two operations that run as often as chats start.

    One call is one attempt: nothing is retried here or below. `credentials()` is asked before each call, so refreshed
    ones are used as soon as they are there. The time of sending is read right before the first byte is written, after
    the request was signed and a connection was found; a new connection is opened before that moment as well.
    """

    def __init__(self, pool: Pool, region: str, credentials: Callable[[], Credentials], user_agent: str) -> None:
        self._pool = pool
        self._credentials = credentials
        self._signer = Signer(pool.endpoint.authority, region)
        self._common = f"User-Agent: {user_agent}\r\nContent-Length: ".encode("ascii")

    def start_chat(self, body: bytes) -> Reply:
        """PUT /contact/chat with a serialised StartChatContact request."""
        reply, answer = self._call(START_CHAT, "PUT", "/contact/chat", body)
        if reply.outcome == STARTED:
            _read_started(reply, answer)
        return reply

    def stop_contact(self, instance_id: str, contact_id: str) -> Reply:
        """POST /contact/stop. The reply's contact_id is the contact that was to be stopped."""
        body = b'{"ContactId": %b, "InstanceId": %b}' % (_json(contact_id), _json(instance_id))
        reply, _ = self._call(STOP_CONTACT, "POST", "/contact/stop", body)
        reply.contact_id = contact_id
        return reply

    def describe_contact(self, instance_id: str, contact_id: str) -> tuple[Reply, str | None]:
        """GET /contacts/{instance}/{contact}: the reply, and the DisconnectReason of a contact that has ended."""
        # Of an ARN the id alone, which is enough and has no slash in it.
        path = f"/contacts/{quote(instance_id.rsplit('/', 1)[-1], safe='~')}/{quote(contact_id, safe='~')}"
        reply, answer = self._call(DESCRIBE_CONTACT, "GET", path, b"")
        reply.contact_id = contact_id
        return reply, _disconnect_reason(answer) if reply.outcome == OK else None

    def _call(self, operation: str, method: str, path: str, body: bytes) -> tuple[Reply, Answer]:
        def request() -> bytes:
            return b"%b %b HTTP/1.1\r\n%b%b%d\r\n\r\n%b" % (
                method.encode("ascii"),
                path.encode("ascii"),
                self._signer.headers(method, path, body, self._credentials()),
                self._common,
                len(body),
                body,
            )

        return attempt(self._pool, operation, request)


def attempt(pool: Pool, operation: str, request: Callable[[], bytes]) -> tuple[Reply, Answer]:
    """Make one attempt at `operation` on a connection of `pool`; `request()` gives its bytes once there is a connection.

    The answer is empty when none came.
    """
    connection: Connection | None = None
    sent = now()
    try:
        connection = pool.acquire()
        data = request()
        sent = now()
        answer = connection.exchange(data)
    except WireError as error:
        outcome = TIMEOUT if isinstance(error, WireTimeout) else CONNECTION_ERROR
        if connection is not None:
            connection.close()
        return Reply(outcome, sent, now(), message=str(error), after_send=error.after_send), Answer()
    except CredentialsError as error:  # nothing was sent, and the mend is that of a refusal
        if connection is not None:
            pool.release(connection)
        return Reply(ACCESS_DENIED, sent, now(), message=str(error), after_send=False), Answer()
    except BaseException:  # the greenlet is being killed: the connection has an answer under way that nobody reads
        if connection is not None:
            connection.close()
        raise
    received = now()
    pool.release(connection)
    status = answer.status
    code, message = (None, "") if 200 <= status < 300 else read_error(answer.headers, answer.body)
    return (
        Reply(
            classify(operation, status, code),
            sent,
            received,
            status,
            code,
            message,
            request_id=answer.headers.get("x-amzn-requestid"),
            body_bytes=len(answer.body),
        ),
        answer,
    )


def _json(text: str) -> bytes:
    # The form that botocore sends, to the byte.
    return json.dumps(text).encode("ascii")


def _disconnect_reason(answer: Answer) -> str | None:
    try:
        return orjson.loads(answer.body)["Contact"].get("DisconnectReason")  # type: ignore[no-any-return]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _read_started(reply: Reply, answer: Answer) -> None:
    """Fill `reply` from a 200's body; one without a contact is no start but a fault of the service."""
    try:
        fields: Any = orjson.loads(answer.body)
        reply.contact_id = fields["ContactId"]
        reply.participant_id = fields.get("ParticipantId")
        reply.participant_token = fields.get("ParticipantToken")
        if "ConnectionCredentials" in fields:  # the request had ConnectionTypes
            reply.connection_token = fields["ConnectionCredentials"].get("ConnectionToken")
            reply.websocket_url = (fields.get("Websocket") or {}).get("Url")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        reply.contact_id = None
    if not isinstance(reply.contact_id, str) or not reply.contact_id:
        reply.outcome, reply.contact_id = SERVICE_ERROR, None
        reply.message = "a 200 without a ContactId"
