"""A service that puts a token into every field of every answer: nothing of it reaches the disk or the terminal."""

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.locust_runs import chatquota, locust, started

SECRET = "IQoJb3JpZ2luX2VjEJr9MnTs7vQpLwXyZ0aBcDeFgHiJkLmNoPqRsTuVwXyZ1234567890"
SHORTEST = 12
"""Characters of the token in a row that count as a leak."""


class _Indiscreet(BaseHTTPRequestHandler):
    """Answers in turn: a success, each kind of refusal and an error, with the token in all that a client could read."""

    protocol_version = "HTTP/1.1"
    numbers = itertools.count()

    def do_PUT(self) -> None:
        """Answer a call of either service."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        number = next(self.numbers)
        status = (200, 200, 429, 400, 500)[number % 5]
        code = ("", "", "TooManyRequestsException", f"{SECRET}Exception", SECRET)[number % 5]
        inner = {
            "Websocket": {"Url": f"wss://{SECRET}.example/{SECRET}"},
            "ConnectionCredentials": {"ConnectionToken": SECRET},
        }
        members = dict.fromkeys(("ContactId", "ParticipantId", "Id", "message", "Message", "__type", "Code"), SECRET)
        body = json.dumps(
            {**members, "ContactId": f"{number}-{SECRET}", "ParticipantToken": SECRET, **inner}
            | {"Contact": {"DisconnectReason": SECRET}, "Transcript": [{"Content": SECRET}]}
        ).encode()
        self.send_response(status, SECRET)
        if status >= 400:
            self.send_header("x-amzn-ErrorType", code)
        for name in ("x-amzn-RequestId", "x-amz-apigw-id", "x-amzn-trace-id", "Server", "Set-Cookie"):
            self.send_header(name, SECRET)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET = do_PUT

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def _service() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Indiscreet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}
        yield SimpleNamespace(endpoint=f"http://127.0.0.1:{server.server_port}", announcement=keys)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _texts(directory: Path) -> Iterator[tuple[str, str]]:
    """Every file below a directory, and what it says; the columns of samples are unpacked."""
    for path in sorted(directory.rglob("*")):
        if path.suffix == ".parquet":
            yield path.name, json.dumps(pq.read_table(path).to_pylist(), default=str)
        elif path.is_file():
            yield path.name, path.read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize("user", ["StartChat", pytest.param("ChatConversation", marks=pytest.mark.slow)])
def test_nothing_secret_is_kept_whatever_field_it_came_in(tmp_path: Path, user: str) -> None:
    """Samples, ledger, manifest, report, cleanup and terminal hold no stretch of a token that stood in every field."""
    with _service() as server:
        options = ("-u", "10", "-r", "10", "-t", "2s", "--hold", "1s", "--run-dir", "run", "--stop-rate", "100")
        for command in (
            locust(server, *options, user=user),
            chatquota("report", "run"),
            chatquota("cleanup", "run", "--yes"),
        ):
            with started(command, tmp_path, server, AWS_SESSION_TOKEN=SECRET) as running:
                done = running.wait()
            assert "Traceback" not in done.said, done.said
    files = dict(_texts(tmp_path))
    assert any(name.endswith(".parquet") for name in files)
    assert "report.html" in files
    pieces = [SECRET[at : at + SHORTEST] for at in range(len(SECRET) - SHORTEST)]
    assert [name for name, text in files.items() if any(piece in text for piece in pieces)] == []
