"""The client of Amazon Connect: signs a request, sends it once, and says what became of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from harness.connect import fields
from harness.connect.outcome import UNREADABLE_CODE, classify, read_error
from harness.connect.signing import Credentials, CredentialsError, Signer
from harness.connect.sockets.gathering import Gathering
from harness.connect.wire import Connection, Pool, Response, WireError, WireTimeout
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
    UNCLASSIFIED_429,
)

# perf_counter cannot step, so a corrected wall clock never bends a latency; both are read once, together.
_EPOCH = time.time() - time.perf_counter()


def now() -> float:
    """Unix seconds on a clock that never steps within a run."""
    return _EPOCH + time.perf_counter()


def move_clock(seconds: float) -> None:
    """Let `now` be so many seconds later from here on: for a worker before its part of a run begins."""
    global _EPOCH
    _EPOCH += seconds


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one attempt: its outcome, when it was sent and answered (unix seconds), and what the answer said.

    `status` is 0 and `message` says why when no answer came; `after_send` is then whether the service may have seen the
    request, and `generator_fault` whether this machine and not the service is at fault (no file descriptor, memory or port
    left). `participant_token`, and what a start with ConnectionTypes answers besides (`connection_token`,
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
    participant_token: str | None = None
    body_bytes: int = 0
    after_send: bool = True
    generator_fault: bool = False
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

    def but(self, **changes: Any) -> "Reply":
        """Return a copy with `changes`, by field name."""
        return msgspec.structs.replace(self, **changes)

    def __repr__(self) -> str:
        return f"Reply({self.outcome}, {self.status}, {self.error_code}, contact_id={self.contact_id})"


@dataclass(frozen=True, slots=True)
class ContactEnd:
    """How DescribeContact says that a contact ended: its DisconnectReason, and when it began and ended by the service's own
    clock (unix s; None where they are not both told). Source: InitiationTimestamp and DisconnectTimestamp of
    https://docs.aws.amazon.com/connect/latest/APIReference/API_Contact.html
    """

    reason: str
    times: tuple[float, float] | None = None


class ConnectClient:
    """Calls StartChatContact and StopContact, the two operations that run as often as chats start.

    One call is one attempt: nothing is retried here or below. `credentials()` is asked before each call, so refreshed
    ones are used as soon as they are there. The time of sending is read right before the first byte is written, after
    the request was signed and a connection was found; a new connection is opened before that moment as well. The time of the
    answer is when its last bytes reached this machine, where the kernel tells it, and else when they were read.
    """

    def __init__(
        self,
        pool: Pool,
        region: str,
        credentials: Callable[[], Credentials],
        user_agent: str,
        bare_429: str = UNCLASSIFIED_429,
    ) -> None:
        self._pool = pool
        self._bare_429 = bare_429
        self._credentials = credentials
        self._signer = Signer(pool.endpoint.authority, region)
        self._common = f"User-Agent: {user_agent}\r\nContent-Length: ".encode("ascii")

    def gather(self, begin: Callable[[], None], end: Callable[[], None]) -> Gathering | None:
        """Read answers, and send calls, some at a time while calls leave often, as `Pool.gather` says; until `close`."""
        return self._pool.gather(begin, end)

    def spread_over(self, connections: int) -> None:
        """Spread calls that come often over so many connections from now on, as `Pool` says."""
        self._pool.spread = connections

    def close(self) -> None:
        """Close the connections on which nothing is under way."""
        self._pool.close()

    def reconnect(self) -> None:
        """Let the next calls open new connections; what is under way goes on."""
        self._pool.close_idle()

    def start_chat(self, body: bytes) -> Reply:
        """PUT /contact/chat with a serialised StartChatContact request."""
        return self._call(START_CHAT, "PUT", "/contact/chat", body)[0]

    def stop_contact(self, instance_id: str, contact_id: str) -> Reply:
        """POST /contact/stop. The reply's contact_id is the contact that was to be stopped."""
        body = b'{"ContactId": %b, "InstanceId": %b}' % (_json(contact_id), _json(instance_id))
        reply, _ = self._call(STOP_CONTACT, "POST", "/contact/stop", body)
        return reply.but(contact_id=contact_id)

    def describe_contact(self, instance_id: str, contact_id: str) -> tuple[Reply, ContactEnd | None]:
        """GET /contacts/{instance}/{contact}: the reply, and the end of a contact that has ended."""
        # Of an ARN the id alone, which is enough and has no slash in it.
        path = f"/contacts/{quote(instance_id.rsplit('/', 1)[-1], safe='~')}/{quote(contact_id, safe='~')}"
        reply, answer = self._call(DESCRIBE_CONTACT, "GET", path, b"")
        end = _end_of(answer) if reply.outcome == OK else None
        return reply.but(contact_id=contact_id), end

    def _call(self, operation: str, method: str, path: str, body: bytes) -> tuple[Reply, Response]:
        def request() -> bytes:
            return b"%b %b HTTP/1.1\r\n%b%b%d\r\n\r\n%b" % (
                method.encode("ascii"),
                path.encode("ascii"),
                self._signer.headers(method, path, body, self._credentials()),
                self._common,
                len(body),
                body,
            )

        return attempt(self._pool, operation, request, self._bare_429)


def attempt(
    pool: Pool, operation: str, request: Callable[[], bytes], bare_429: str = UNCLASSIFIED_429
) -> tuple[Reply, Response]:
    """Make one attempt at `operation` on a connection of `pool`; `request()` gives its bytes once there is a connection.

    The answer is empty when none came.
    """
    connection: Connection | None = None
    sent = now()
    try:
        connection = pool.acquire()
        data = request()
        answer = connection.exchange(data)
    except WireError as error:
        if connection is not None:
            sent = _EPOCH + connection.sent_at
            connection.close()
        return unanswered(error, sent), Response()
    except CredentialsError as error:  # nothing was sent, and what to do about it is as after a refusal
        if connection is not None:
            pool.release(connection)
        return Reply(outcome=ACCESS_DENIED, sent=sent, received=now(), message=str(error), after_send=False), Response()
    except BaseException:  # the greenlet is being killed: the connection has an answer under way that nobody reads
        if connection is not None:
            connection.close()
        raise
    sent, received = _EPOCH + connection.sent_at, _EPOCH + connection.arrived_at()
    pool.release(connection)
    return answered(operation, answer, sent, received, data, bare_429), answer


def unanswered(error: WireError, sent: float) -> Reply:
    """Return the reply of an attempt that got no usable answer."""
    return Reply(
        outcome=TIMEOUT if isinstance(error, WireTimeout) else CONNECTION_ERROR,
        sent=sent,
        received=now(),
        message=str(error),
        after_send=error.after_send,
        generator_fault=error.generator_fault,
    )


def answered(
    operation: str, answer: Response, sent: float, received: float, request: bytes, bare_429: str = UNCLASSIFIED_429
) -> Reply:
    """Return the reply of an attempt that was answered; of `request` the head is looked at, for the secrets in it."""
    status = answer.status
    code, message = None, ""
    request_id = fields.request_id(answer.header("x-amzn-requestid"))
    if not 200 <= status < 300:
        code, message = read_error(answer.headers, answer.body)
        code, message, request_id = _without_secrets(code, message, request_id, fields.secrets_in(request))
        outcome = classify(operation, status, code, message, bare_429)
    elif operation == START_CHAT:
        return _started(answer, sent, received, request_id)
    else:
        outcome = OK
    return Reply(
        outcome=outcome,
        sent=sent,
        received=received,
        status=status,
        error_code=code,
        message=message,
        request_id=request_id,
        body_bytes=len(answer.body),
    )


def _started(answer: Response, sent: float, received: float, request_id: str | None) -> Reply:
    """Return the reply of a StartChatContact that was answered with success.

    One without a usable ContactId is a fault of the service. A chat may have started all the same, which the status says.
    """
    members = fields.json_object(answer.body) or {}
    participant_token = fields.token(members.get("ParticipantToken"))
    contact_id = fields.contact_id(members.get("ContactId"), participant_token)
    if contact_id is None:
        return Reply(
            outcome=SERVICE_ERROR,
            sent=sent,
            received=received,
            status=answer.status,
            message="a 200 without a ContactId",
            request_id=request_id,
            body_bytes=len(answer.body),
        )
    connection_token = websocket_url = None
    credentials, websocket = members.get("ConnectionCredentials"), members.get("Websocket")
    if isinstance(credentials, dict) and isinstance(websocket, dict):  # the request had ConnectionTypes
        connection_token = fields.token(credentials.get("ConnectionToken"))
        websocket_url = fields.token(websocket.get("Url"))
    return Reply(
        outcome=STARTED,
        sent=sent,
        received=received,
        status=answer.status,
        contact_id=contact_id,
        request_id=request_id,
        participant_token=participant_token,
        body_bytes=len(answer.body),
        connection_token=connection_token,
        websocket_url=websocket_url,
    )


def _without_secrets(
    code: str | None, message: str, request_id: str | None, secrets: str
) -> tuple[str | None, str, str | None]:
    if code is not None and fields.hide(code, secrets) != code:
        code = UNREADABLE_CODE
    if request_id is not None and fields.hide(request_id, secrets) != request_id:
        request_id = None
    return code, fields.hide(message, secrets), request_id


def _json(text: str) -> bytes:
    # The form that botocore sends, to the byte.
    return json.dumps(text).encode("ascii")


def _end_of(answer: Response) -> ContactEnd | None:
    contact = (fields.json_object(answer.body) or {}).get("Contact")
    if not isinstance(contact, dict):
        return None
    reason = fields.name(contact.get("DisconnectReason"))
    begun, ended = (fields.unix_time(contact.get(f"{what}Timestamp")) for what in ("Initiation", "Disconnect"))
    times = None if begun is None or ended is None else (begun, ended)
    return None if reason is None else ContactEnd(reason, times)
