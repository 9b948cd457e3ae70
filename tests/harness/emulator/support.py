"""What the emulator's tests share: virtual time, calls without a socket, and emulators as real processes."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.emulator.api.api import Api
from harness.emulator.api.responses import Response
from harness.emulator.service.state import State
from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import Settings

EPOCH = 1_700_000_000.0


@dataclass
class FakeClock:
    """Time that passes when a test says so."""

    at: float = 0.0

    def now(self) -> float:
        return self.at

    def unix(self, at: float) -> float:
        return EPOCH + at


@dataclass
class Reply:
    """An answer as a client reads it."""

    status: int
    code: str | None
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.body.get("Message", self.body.get("message")))


@dataclass
class Lab:
    """An emulator without sockets, in virtual time, and without signatures unless the spec says `sigv4=on`."""

    spec: str = ""
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.settings: Settings = parse_settings(f"sigv4=off,{self.spec}")
        self.state = State(self.settings, self.clock)
        self.api = Api(self.state)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[bytes, bytes] | None = None, query: bytes = b""
    ) -> Reply:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return read(self.api.answer(method, path.encode(), query, headers or {}, raw)[1])

    def start(self, **members: Any) -> Reply:
        return self.call("PUT", "/contact/chat", self.request(**members))

    def request(self, **members: Any) -> dict[str, Any]:
        request = {
            "InstanceId": self.settings.instance_id,
            "ContactFlowId": self.settings.contact_flow_id,
            "ParticipantDetails": {"DisplayName": "Customer"},
            **members,
        }
        return {name: value for name, value in request.items() if value is not ...}

    def stop(self, contact_id: str) -> Reply:
        return self.call("POST", "/contact/stop", {"InstanceId": self.settings.instance_id, "ContactId": contact_id})

    def describe(self, contact_id: str) -> Reply:
        return self.call("GET", f"/contacts/{self.settings.instance_id}/{contact_id}")

    def participant(self, what: str, token: str, body: dict[str, Any] | None = None) -> Reply:
        return self.call("POST", f"/participant/{what}", body or {}, {b"x-amz-bearer": token.encode()})

    def connected(self, **members: Any) -> tuple[str, str]:
        """Contact id and connection token of a fresh chat whose customer may speak."""
        started = self.start(ConnectionTypes=["CONNECTION_CREDENTIALS"], **members)
        assert started.status == 200, started
        return started.body["ContactId"], started.body["ConnectionCredentials"]["ConnectionToken"]


def read(response: Response) -> Reply:
    """An response as the SDKs read it: the code from the header, cut at the colon, else from the body."""
    body: dict[str, Any] = json.loads(response.body) if response.body else {}
    headers = dict(response.headers)
    code = headers.get(b"x-amzn-errortype", b"").decode().partition(":")[0] or body.get("code") or body.get("__type")
    return Reply(response.status, code.rpartition("#")[2] if code else None, body)


@dataclass(frozen=True)
class Running:
    """A running emulator: its process and the line that it printed."""

    process: subprocess.Popen[str]
    where: dict[str, str]

    @property
    def endpoint(self) -> str:
        return self.where["endpoint"]

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])


@contextlib.contextmanager
def running(*specs: str, arguments: tuple[str, ...] = ()) -> Iterator[Running]:
    """Run an emulator as a process of its own; it ends with the block, or with this process."""
    command = [sys.executable, "-m", "harness.emulator", "--lifeline", *arguments]
    for spec in specs:
        command += ["--emulator", spec]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Running(process, json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
