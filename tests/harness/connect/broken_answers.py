"""About fifty ways in which an answer can be broken, for any operation."""

import contextlib
import json

from tests.support.scripted_server import Peer, Script, answer, answering

SECRET = "IQoJb3JpZ2luX2VjEJr9MnTs7vQpLwXyZ0aBcDeFgHiJkLmNoPqRsTuVwXyZ1234567890"
"""The session token of the calls, and the bearer token of a participant's."""

_DEEP = b"[" * 100_000
_TYPE = "x-amzn-ErrorType"


def _fields(value: object) -> bytes:
    """Every member that any operation reads, each with this value."""
    names = ("ContactId", "ParticipantId", "ParticipantToken", "Id", "Transcript", "Websocket", "ConnectionCredentials")
    return json.dumps({**dict.fromkeys(names, value), "Contact": {"DisconnectReason": value}}).encode()


def _connection(url: object, token: object) -> bytes:
    members = {"ContactId": "c-1", "ParticipantToken": token, "Id": "m-1", "Contact": {"DisconnectReason": url}}
    inner = {"Websocket": {"Url": url}, "ConnectionCredentials": {"ConnectionToken": token}}
    return json.dumps({**members, **inner, "Transcript": [url, token]}).encode()


def _raw(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        if peer.request():
            peer.send(data)

    return script


def _reset(peer: Peer) -> None:
    peer.request()
    peer.reset()


def _close(peer: Peer) -> None:
    peer.request()


def _endless(head: bytes, piece: bytes) -> Script:
    def script(peer: Peer) -> None:
        if peer.request():
            peer.send(head)
            with contextlib.suppress(OSError):  # until the client has had enough
                for _ in range(2000):
                    peer.send(piece)

    return script


_WRONG_TYPES = {"null": None, "number": 12345, "float": 1.5, "bool": True, "list": ["x"], "object": {"x": 1}, "": ""}
_BODIES: dict[str, bytes] = {
    "empty body": b"",
    "bad UTF-8": b'{"ContactId": "\xff\xfe", "ParticipantToken": "\xc3("}',
    "bad UTF-8 in an unread member": b'{"ContactId": "c-1", "Id": "m-1", "x": "\xff"}',
    "deep JSON": _DEEP,
    "deep JSON in a member": b'{"ContactId": "c-1", "x": ' + _DEEP + b"]" * 100_000 + b"}",
    "not JSON": b"<html>Welcome to the airport's network</html>",
    "cut JSON": b'{"ContactId": "c-',
    "two JSON texts": b'{"ContactId": "c-1"}{"ContactId": "c-2"}',
    "JSON list": b"[]",
    "JSON number": b"7",
    "JSON null": b"null",
    "NUL bytes": bytes(1000),
    "UTF-16": '{"ContactId": "c-1"}'.encode("utf-16"),
    "lone surrogate": b'{"ContactId": "\\ud800", "Id": "\\ud800"}',
    "huge number": b'{"ContactId": 1' + b"0" * 400 + b"}",
    "NaN": b'{"ContactId": NaN}',
    "long id": _fields("x" * 300),
    "very long id": _fields("x" * 500_000),
    "id with CRLF": _fields("a\r\nX-Injected: 1"),
    "id with NUL": _fields("a\0b"),
    "id with a space": _fields("a b"),
    "id beyond ASCII": _fields("gr\u00fc\u00dfe"),
    "token with CRLF": _connection("ws://127.0.0.1:9/\r\nX: 1", "t\r\nX-Injected: 1"),
    "token beyond ASCII": _connection("ws://127.0.0.1:9/", "t\u00f6ken"),
    "token of 100 kB": _connection("ws://127.0.0.1:9/", "t" * 100_000),
    "foreign websocket": _connection("wss://203.0.113.9/x?token=1", "t-1"),
    "address that is not a URL": _connection("ws://[::1", "t-1"),
    "address of another scheme": _connection("file:///etc/passwd", "t-1"),
    "number for an address": _connection(5, 5),
    "2 MB of JSON": json.dumps({"ContactId": "c-1", "Id": "m-1", "x": "y" * 2_000_000}).encode(),
    **{f"{kind or 'empty text'} for every member": _fields(value) for kind, value in _WRONG_TYPES.items()},
}
_ERRORS: dict[str, bytes] = {
    "429 with bad UTF-8": answer(429, b"\xff\xfe\xfd"),
    "429 with deep JSON": answer(429, _DEEP),
    "429 with a list": answer(429, b"[1]"),
    "400 with a number for a message": answer(400, b'{"message": 5, "__type": 7}'),
    "400 with an object for a message": answer(400, b'{"message": {"a": [1]}, "code": ["x"]}'),
    "500 with a code of 100 kB": answer(500, json.dumps({"__type": "E" * 100_000}).encode()),
    "500 with 3 MB": answer(500, b"x" * 3_000_000),
    "403 that repeats the secrets": answer(403, f"token {SECRET}".encode(), f"{_TYPE}: {SECRET[:40]}"),
    "403 with a secret for an id": answer(403, b"{}", f"x-amzn-RequestId: {SECRET[5:40]}", f"{_TYPE}: X"),
    "403 with a secret in pieces": answer(403, f"{SECRET[:30]} {SECRET[30:60]}".encode()),
    "code with control bytes": answer(400, b'{"__type": "A\\u0000B\\u001b[31m"}'),
    "redirect": answer(307, b"", "Location: http://127.0.0.1:9/elsewhere"),
    "status 600": answer(600, b"{}"),
    "204 with no body": b"HTTP/1.1 204 No Content\r\n\r\n",
}
_WIRE: dict[str, Script] = {
    "closed": _close,
    "reset": _reset,
    "not HTTP": _raw(b"SSH-2.0-OpenSSH_9.0\r\n"),
    "length too long": _raw(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"ContactId": "c-1"}'),
    "length that is not a number": _raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"),
    "negative length": _raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
    "bad chunks": _raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "cut chunks": _raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "body without end": _endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "chunks without end": _endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"
    ),
    "lies about gzip": _raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
}

BROKEN: dict[str, Script] = {
    **{name: answering(answer(200, body, "x-amzn-RequestId: r-1")) for name, body in _BODIES.items()},
    **{name: answering(data) for name, data in _ERRORS.items()},
    **_WIRE,
}
"""What a server does with each request, by what is wrong with it."""
