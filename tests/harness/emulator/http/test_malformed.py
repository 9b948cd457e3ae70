"""Several hundred malformed requests over real sockets: each gets the answer that AWS would plausibly give."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.harness.emulator.api.test_validation import BEYOND_IT, WRONG_TYPES
from tests.harness.emulator.support import Running, running

REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Running]:
    spec = (
        "rate=inf,StopContact.rate=inf,DescribeContact.rate=inf,SearchContacts.rate=inf,GetCurrentMetricData.rate=inf"
    )
    with running(spec, "active_chats=1000000,max_body=100000,arrival_timeout=300ms") as started:
        yield started


class Answer:
    """One raw answer, read until it is complete; a connection that breaks without one is an error."""

    def __init__(self, port: int, *raw: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            for piece in raw:
                connection.sendall(piece)
            received = b""
            while b"\r\n\r\n" not in received:
                piece = connection.recv(65536)
                assert piece, f"closed without an answer: {received!r}"
                received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            self.status = int(first.split()[1])
            self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            while len(body) < int(self.headers["content-length"]):
                piece = connection.recv(65536)
                assert piece, "closed in the middle of an answer"
                body += piece
            self.body = body
            self.code = self.headers.get("x-amzn-errortype")

    def check(self, *statuses: int) -> None:
        """It is one of `statuses`, and has all that an AWS error has."""
        assert self.status in statuses, (self.status, self.body)
        assert REQUEST_ID.fullmatch(self.headers["x-amzn-requestid"])
        assert self.headers["server"].startswith("chatquota-emulator/")
        assert self.headers["content-type"] == "application/json"
        assert self.code
        assert re.fullmatch(r"[A-Za-z]+Exception", self.code)
        (text,) = json.loads(self.body).values()
        assert text
        assert "Traceback" not in text


def raw(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body


def signed(where: dict[str, str], method: str, path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A raw request that botocore has signed, so that what is wrong with it is looked at."""
    request = AWSRequest(method, f"http://127.0.0.1{path}", data=body, headers={"Content-Type": content_type})
    SigV4Auth(Credentials(where["access_key_id"], where["secret_access_key"]), "connect", where["region"]).add_auth(
        request
    )
    return raw(method, path, body, dict(request.headers.items()))


def valid(where: dict[str, str]) -> dict[str, Any]:
    return {
        "InstanceId": where["instance_id"],
        "ContactFlowId": where["contact_flow_id"],
        "ParticipantDetails": {"DisplayName": "Customer"},
    }


NOT_HTTP = [
    b"\r\n\r\n\r\nnonsense\r\n\r\n",
    b"GET\r\n\r\n",
    b"PUT /contact/chat\r\n\r\n",
    b"PUT /contact/chat HTTP/9.9\r\n\r\n",
    b"PUT /contact/chat HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
    b"PUT /contact/chat HTTP/1.1\r\nContent-Length: twelve\r\n\r\n",
    b"PUT /contact/chat HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"PUT /contact/chat HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"PUT /contact/chat HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"PUT /contact/chat HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"PUT /contact/chat HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"BREW /contact/chat HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    b"PUT /contact/chat HTTP/1.1\r\nX-\x00: y\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("data", NOT_HTTP)
def test_broken_http(emulator: Running, data: bytes) -> None:
    """What is not HTTP is a 400, or for a readable head the refusal of an unknown call; then the line is clear."""
    Answer(emulator.port, data).check(400, 403)


@pytest.mark.parametrize(
    "data",
    [
        b"PUT /contact/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}",
        b"PUT /contact/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"GET /_emulator/state HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Half",
        b"PUT /contact/cha",
    ],
)
def test_request_that_never_ends(emulator: Running, data: bytes) -> None:
    """A request that does not arrive whole is answered 408: no connection hangs for ever."""
    Answer(emulator.port, data).check(408)


METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
PATHS = {
    "/": (),
    "/contact": (),
    "/contact/chat": ("PUT",),
    "/contact/chat/": (),
    "/Contact/Chat": (),
    "//contact/chat": (),
    "/contact/chat/x": (),
    "/contact%2Fchat": (),
    "/contact/stop": ("POST",),
    "/contacts/a": (),
    "/contacts/a/b": ("GET",),
    "/contacts/%zz/b": ("GET",),
    "/contacts/%ff/b": ("GET",),
    "/contacts//": ("GET",),
    "/search-contacts": ("POST",),
    "/metrics/current/a": ("POST",),
    "/participant/message": ("POST",),
    "/participant/nothing": (),
    "/../../etc/passwd": (),
    "/contact/chat?a=b&c": ("PUT",),
    "/contact/chat;v=1": (),
    "/" + "x" * 4000: (),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_a_call_without_signature_or_operation_is_refused(emulator: Running, method: str, path: str) -> None:
    """Without a signature or an operation it is a 403 that says so; an operation not emulated is a 501 by name."""
    answer = Answer(emulator.port, raw(method, path, b"{}"))
    if method == "POST" and path.startswith("/contacts/") and len(path) > len("/contacts/a/"):
        answer.check(501)
        assert b"UpdateContact." in answer.body
        return
    answer.check(403)
    assert answer.code in ("MissingAuthenticationTokenException", "AccessDeniedException")


BODIES: list[bytes] = [
    b"",
    b"{",
    b"}",
    b"[]",
    b"null",
    b"true",
    b"0",
    b'"text"',
    b"{}{}",
    b"{'InstanceId': 'x'}",
    b'{"InstanceId": }',
    b'{"InstanceId": "x",}',
    b"\xff\xfe{}",
    b'{"InstanceId": "\xff"}',
    b'{"InstanceId": "\\ud800"}',
    b'{"InstanceId": "\\x41"}',
    b'{"InstanceId": NaN}',
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"<xml/>",
    b"InstanceId=x&ContactFlowId=y",
    b'{"InstanceId":"a","InstanceId":null}',
    b'{"SegmentAttributes":{"a":' + b'{"ValueMap":{"a":' * 400 + b"{}" + b"}}" * 400 + b"}}",
]
SIGNED_ROUTES = [
    ("PUT", "/contact/chat"),
    ("POST", "/contact/stop"),
    ("POST", "/search-contacts"),
    ("POST", "/metrics/current/some-instance"),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
@pytest.mark.parametrize(("method", "path"), SIGNED_ROUTES)
def test_body_that_is_no_request(emulator: Running, method: str, path: str, body: bytes) -> None:
    """A body that is not JSON, not an object, or without what is required is InvalidRequestException."""
    answer = Answer(emulator.port, signed(emulator.where, method, path, body))
    answer.check(400)
    assert answer.code == "InvalidRequestException"


@pytest.mark.parametrize("members", [*BEYOND_IT, *WRONG_TYPES], ids=lambda m: ",".join(m))
def test_wrong_members_on_the_wire(emulator: Running, members: dict[str, Any]) -> None:
    """Each wrong member of StartChatContact is a 400 on the wire too."""
    request = {name: value for name, value in {**valid(emulator.where), **members}.items() if value is not ...}
    body = json.dumps(request).encode()
    Answer(emulator.port, signed(emulator.where, "PUT", "/contact/chat", body)).check(400)


@pytest.mark.parametrize("path", ["/contacts/%zz/b", "/contacts/%ff/b", "/contacts/a%/b"])
def test_bad_percent_encoding(emulator: Running, path: str) -> None:
    """A label that is not percent-encoded UTF-8 is a 400."""
    Answer(emulator.port, signed(emulator.where, "GET", path, b"")).check(400)


@pytest.mark.parametrize("path", ["/contacts//b", "/contacts/" + "i" * 101 + "/b", "/contacts/a/" + "c" * 257])
def test_label_out_of_bounds(emulator: Running, path: str) -> None:
    """A label that is empty or too long is InvalidParameterException."""
    answer = Answer(emulator.port, signed(emulator.where, "GET", path, b""))
    answer.check(400)
    assert answer.code == "InvalidParameterException"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ";;;", "json"])
def test_wrong_content_type(emulator: Running, kind: str) -> None:
    """A body that says it is not JSON is 415."""
    body = json.dumps(valid(emulator.where)).encode()
    answer = Answer(emulator.port, signed(emulator.where, "PUT", "/contact/chat", body, kind))
    answer.check(415)


@pytest.mark.parametrize("size", [100_001, 300_000, 3_000_000])
@pytest.mark.parametrize("expect", [False, True])
def test_body_too_long(emulator: Running, size: int, expect: bool) -> None:
    """A body beyond max_body is 413, in front of the signature."""
    headers = {"Expect": "100-continue"} if expect else {}
    whole = raw("PUT", "/contact/chat", b" " * size, headers)
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
        try:
            connection.sendall(whole)
        except (BrokenPipeError, ConnectionResetError):  # the emulator has stopped reading
            assert size > 4 * 100_000
            return
        received = b""
        while b"Request Too Long" not in received:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert size > 4 * 100_000
                return
            received += piece
    assert b" 413 " in received


def test_valid_request_still_passes(emulator: Running) -> None:
    """The helper that signs the malformed requests makes valid ones too."""
    body = json.dumps(valid(emulator.where)).encode()
    assert Answer(emulator.port, signed(emulator.where, "PUT", "/contact/chat", body)).status == 200


@pytest.mark.slow
@hypothesis_settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_mutilated_bytes(emulator: Running, data: st.DataObject) -> None:
    """A valid request with a piece cut out or overwritten is answered below 500, or waits for its rest."""
    body = json.dumps(valid(emulator.where)).encode()
    whole = signed(emulator.where, "PUT", "/contact/chat", body)
    start = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 30))
    mutilated = whole[:start] + data.draw(st.binary(max_size=30)) + whole[start + length :]
    assert Answer(emulator.port, mutilated + b"\r\n\r\n").status < 500


@pytest.mark.parametrize("path", ["/contact/nothing", "/_emulator/state"])
def test_client_that_does_not_read_is_cut(emulator: Running, path: str) -> None:
    """Who asks on and on and reads no answer loses the connection, be it answered at once or by a page."""
    asked = raw("GET", path) * 100

    def ask_on_and_on() -> None:
        with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as connection:
            while True:
                connection.sendall(asked)

    with pytest.raises(ConnectionError):
        ask_on_and_on()
    Answer(emulator.port, raw("GET", "/contact/nothing")).check(403)


@pytest.mark.parametrize("body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_websocket_handshake_with_a_body_is_a_bad_request(emulator: Running, body: bytes) -> None:
    """A handshake that announces a body is refused at once."""
    head = b"GET /participant/websocket?token=x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    Answer(emulator.port, head + key + body).check(400)


@pytest.mark.parametrize(("depth", "status"), [(150, 200), (300, 400), (900, 400), (5000, 400)])
def test_start_that_is_nested_deeply_leaves_the_pages_alone(emulator: Running, depth: int, status: int) -> None:
    """A member that no operation knows is passed over; one so deep that it could not be shown is refused."""
    body = json.dumps(valid(emulator.where)).encode()[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    assert Answer(emulator.port, signed(emulator.where, "PUT", "/contact/chat", body)).status == status
    assert Answer(emulator.port, raw("GET", "/_emulator/chats?full=yes&limit=5")).status == 200


def test_body_without_end_is_told_and_cut(emulator: Running) -> None:
    """Of a body far over max_body the emulator reads so much, then says that it is too long and closes."""
    announced = b"PUT /contact/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    Answer(emulator.port, announced + b" " * 1_400_001).check(413)
