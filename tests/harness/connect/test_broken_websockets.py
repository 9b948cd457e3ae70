"""Whatever a websocket's other side sends, opening is one reply and subscribing is one reply, and nothing else is called."""

import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.connect.websocket_address import refusal_of_address
from harness.connect.wire import Endpoint
from harness.vocabulary import OUTCOMES
from tests.support.certificates import Authority
from tests.support.scripted_server import PATIENCE, Peer, Script, answer, serving

PROBE = Path(__file__).with_name("patched_websockets.py")
ROOT = Path(__file__).parents[3]
SECRET = "QVFJREFIaExPbmdTZWNyZXRUb2tlbk9mVGhlQ2hhdA"


def frame(payload: bytes, first: int = 0x81, length: bytes = b"") -> bytes:
    """A websocket frame of a server; `length` instead of the true one."""
    size = len(payload)
    true = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size) if size < 65536 else b""
    return bytes([first]) + (length or true or b"\x7f" + struct.pack("!Q", size)) + payload


def accept(peer: Peer) -> bool:
    """Answer the handshake as it should be."""
    request = peer.request()
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    if key is None:
        return False
    digest = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    peer.send(head + digest + b"\r\n\r\n")
    return True


def first_raw(data: bytes) -> Script:
    """The answer to the handshake."""

    def script(peer: Peer) -> None:
        if peer.request():
            peer.send(data)

    return script


def then(*frames: bytes) -> Script:
    """Frames after a good handshake, until the client has gone."""

    def script(peer: Peer) -> None:
        if accept(peer):
            peer.send(b"".join(frames))
            peer.until_closed()

    return script


def message(value: Any) -> bytes:
    """A text frame of JSON."""
    return frame(json.dumps(value).encode())


def reset(peer: Peer) -> None:
    """Break the connection after the handshake."""
    if accept(peer):
        peer.reset()


def hold(peer: Peer) -> None:
    """Read the handshake and never answer."""
    peer.request()
    peer.hold()


SUBSCRIBED = message({"topic": "aws/subscribe", "content": {"status": "success", "topics": ["aws/chat"]}})
REFUSED = {
    "closed": first_raw(b""),
    "not HTTP": first_raw(b"\x00\xff garbage \r\n\r\n"),
    "200": first_raw(answer(200, b"{}")),
    "302": first_raw(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"),
    "307 without a place": first_raw(b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n\r\n"),
    "401 with deep JSON": first_raw(answer(401, b"[" * 5000)),
    "403 with the token": first_raw(answer(403, f"no {SECRET}".encode(), f"x-amzn-ErrorType: {SECRET}")),
    "429": first_raw(answer(429, b'{"message": "Too Many Requests"}', "x-amzn-ErrorType: TooManyRequestsException")),
    "500 with bad UTF-8": first_raw(answer(500, b"\xff\xfe")),
    "status that is not a number": first_raw(b"HTTP/1.1 abc OK\r\n\r\n"),
    "length that is not a number": first_raw(b"HTTP/1.1 400 Bad\r\nContent-Length: x\r\n\r\n"),
    "101 without a key": first_raw(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    "101 with a wrong key": first_raw(
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n"
    ),
    "a header line without an end": first_raw(b"HTTP/1.1 101 OK\r\nX: " + b"y" * 100_000),
    "a cookie that is none": first_raw(answer(403, b"", "Set-Cookie: a=[\x01]; ; =")),
    "no answer": hold,
}
BROKEN = {
    "reset": reset,
    "bad UTF-8": then(frame(b"\xff\xfe\xfd")),
    "deep JSON": then(frame(b"[" * 60_000)),
    "not JSON": then(frame(b"hello")),
    "JSON list": then(message([1])),
    "JSON number": then(message(7)),
    "content is a number": then(message({"topic": "aws/subscribe", "content": 5})),
    "status is a list": then(message({"topic": "aws/subscribe", "content": {"status": []}})),
    "refused": then(message({"topic": "aws/subscribe", "content": {"status": "failure"}})),
    "chat content is an object": then(message({"topic": "aws/chat", "content": {"ContactId": "c-1"}})),
    "chat content is deep": then(message({"topic": "aws/chat", "content": "[" * 5000})),
    "topic is a list": then(message({"topic": ["aws/chat"]})),
    "frame of 2^62 bytes": then(frame(b"x", length=b"\x7f" + struct.pack("!Q", 1 << 62))),
    "frame of 5 MB": then(frame(b"x", length=b"\x7f" + struct.pack("!Q", 5_000_000))),
    "reserved bits": then(frame(b"x", first=0xF1)),
    "unknown opcode": then(frame(b"x", first=0x83)),
    "continuation of nothing": then(frame(b"x", first=0x80)),
    "close with one byte": then(frame(b"x", first=0x88)),
    "close": then(frame(struct.pack("!H", 1000), first=0x88)),
    "long ping": then(frame(b"x" * 1000, first=0x89)),
    "cut frame": then(frame(b"x", length=b"\x7d")),
}
ITEM = {"ContactId": "c-1", "Id": "m", "Type": "MESSAGE"}
GOOD = {
    "subscribed": then(SUBSCRIBED, message({"topic": "aws/chat", "content": json.dumps(ITEM)})),
    "garbage before": then(frame(b"\xff"), message([]), SUBSCRIBED),
    "odd items": then(
        SUBSCRIBED, *(message({"topic": "aws/chat", "content": item}) for item in ("1", "[]", "null", '"x"', "{"))
    ),
}
ALL = {**REFUSED, **BROKEN, **GOOD}


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of a websocket to each server, with the number of requests that the server saw."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(script)) for name, script in ALL.items()}
        for name, host in (("over TLS", "127.0.0.1"), ("of another name", "example.com")):
            context = authority.server(host)
            servers[name] = stack.enter_context(serving(then(SUBSCRIBED), context=context))
        urls = [f"{server.url.replace('http', 'ws')}/?token={SECRET}" for server in servers.values()]
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
        run = subprocess.run(
            [sys.executable, str(PROBE), str(authority.bundle), *urls],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **proxies},
            timeout=PATIENCE * 2,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        said = json.loads(run.stdout)
        assert said["failures"] == []
        assert SECRET[:20] not in run.stdout
        for result, server in zip(said["met"], servers.values(), strict=True):
            result["requests"] = len(server.requests)
        return dict(zip(servers, said["met"], strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_a_handshake_that_fails_is_one_reply(met: dict[str, dict[str, Any]], name: str) -> None:
    """One request, one reply that is no success; no redirect is followed and no proxy is used."""
    result = met[name]
    ((outcome, status, _, text),) = result["replies"]
    assert outcome in OUTCOMES
    assert outcome != "ok"
    assert (result["requests"], isinstance(status, int), len(text) <= 2000) == (1, True, True)


@pytest.mark.parametrize("name", BROKEN)
def test_a_websocket_that_breaks_is_one_reply_of_each_kind(met: dict[str, dict[str, Any]], name: str) -> None:
    """The opening succeeded, the subscription did not, and no item came of it."""
    result = met[name]
    (opened, *_), (subscribed, *_) = result["replies"]
    assert (opened, subscribed in ("connection_error", "timeout"), result["items"]) == ("ok", True, 0)
    assert result["lost"] <= 1


@pytest.mark.parametrize("name", GOOD)
def test_frames_that_are_not_understood_change_nothing(met: dict[str, dict[str, Any]], name: str) -> None:
    """Subscribed and heard, whatever else came."""
    result = met[name]
    assert [outcome for outcome, *_ in result["replies"]] == ["ok", "ok"]
    assert result["items"] == (name == "subscribed")


def test_outcomes_of_handshakes_are_those_of_answers(met: dict[str, dict[str, Any]]) -> None:
    """A throttle is a throttle here as well, a redirect says that it is not followed."""
    first = {
        name: met[name]["replies"][0][0]
        for name in ("429", "401 with deep JSON", "500 with bad UTF-8", "302", "no answer")
    }
    assert first == {
        "429": "tps_throttled",
        "401 with deep JSON": "access_denied",
        "500 with bad UTF-8": "service_error",
        "302": "invalid_request",
        "no answer": "timeout",
    }
    assert "redirect" in met["302"]["replies"][0][3]


def test_certificates_are_checked(met: dict[str, dict[str, Any]]) -> None:
    """Over TLS a websocket is opened as elsewhere; one whose certificate is of another name is not, and hears no token."""
    assert [outcome for outcome, *_ in met["over TLS"]["replies"]] == ["ok", "ok"]
    ((outcome, _, _, text),) = met["of another name"]["replies"]
    assert (outcome, "certificate" in text, met["of another name"]["requests"]) == ("connection_error", True, 0)


LAB = Endpoint.parse("http://127.0.0.1:4566")
AWS = Endpoint.parse("https://participant.connect.us-east-1.amazonaws.com")
OWN = Endpoint.parse("https://chat.example.com")


@pytest.mark.parametrize(
    ("url", "participant", "live", "allowed"),
    [
        ("ws://127.0.0.1:9000/x?token=1", LAB, False, True),
        ("ws://[::1]:9000/x", LAB, False, True),
        ("wss://localhost/x", LAB, False, True),
        ("ws://203.0.113.9/x", LAB, False, False),
        ("ws://127.0.0.1.evil.example/x", LAB, False, False),
        ("ws://127.0.0.1@evil.example/x", LAB, False, False),
        ("wss://abc.transport.connect.us-east-1.amazonaws.com/x", LAB, False, False),
        ("wss://abc.transport.connect.us-east-1.amazonaws.com/x", LAB, True, True),
        ("wss://abc.transport.connect.us-east-1.amazonaws.com/participant/x?AWSAccessKeyId=A", AWS, True, True),
        ("wss://abc123.execute-api.us-east-1.amazonaws.com/prod?x=1", AWS, True, True),
        ("wss://participant.connect.us-east-1.amazonaws.com/x", AWS, True, True),
        ("wss://abc.transport.connect.eu-west-2.amazonaws.com/x", AWS, True, False),
        ("wss://abc.transport.connect.us-east-1.amazonaws.com:8443/x", AWS, True, False),
        ("ws://abc.transport.connect.us-east-1.amazonaws.com/x", AWS, True, False),
        ("wss://abc.transport.connect.us-east-1.amazonaws.com.evil.example/x", AWS, True, False),
        ("wss://evil.example/transport.connect.us-east-1.amazonaws.com", AWS, True, False),
        ("wss://s3.us-east-1.amazonaws.com/x", AWS, True, False),
        ("wss://127.0.0.1/x", AWS, True, False),
        ("wss://chat.example.com:444/x", OWN, True, True),
        ("wss://eu.chat.example.com/x", OWN, True, True),
        ("wss://notchat.example.com/x", OWN, True, False),
        ("http://chat.example.com/x", OWN, True, False),
        ("wss://chat.example.com:0/x", OWN, True, False),
        ("wss:///x", OWN, True, False),
        ("wss://[::1", OWN, True, False),
    ],
)
def test_only_addresses_of_the_participant_service_are_opened(
    url: str, participant: Endpoint, live: bool, allowed: bool
) -> None:
    """Loopback in the lab; over wss the service's own domain otherwise."""
    refusal = refusal_of_address(url, participant, "us-east-1", live)
    assert (refusal is None) == allowed, refusal


@given(st.text(max_size=60), st.sampled_from([LAB, AWS, OWN]), st.booleans())
def test_no_address_raises(text: str, participant: Endpoint, live: bool) -> None:
    """Any text is judged."""
    for url in (text, f"wss://{text}", f"ws://127.0.0.1{text}"):
        assert refusal_of_address(url, participant, "us-east-1", live) is None or text is not None
