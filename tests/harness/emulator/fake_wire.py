"""Connections to an emulator without sockets: bytes are handed to its protocol, and what it writes is kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from harness.emulator.http.application import Application
from harness.emulator.http.connection.protocol import ConnectionProtocol
from harness.emulator.http.control import Control
from harness.emulator.http.server import uvicorn_settings
from harness.emulator.service.clock import ScaledClock
from harness.emulator.settings.parse import parse_settings


class Forgetful(Application):
    """An application that knows no call again, so that the parser reads each."""

    def learn(self, *what_was_read: Any) -> None:
        """Learn nothing."""


class FakeTransport:
    """A client's end: `sent` to it, in the order of a `log` that many may share."""

    def __init__(self, log: list["FakeTransport"]) -> None:
        self.sent = b""
        self.closed = False
        self._log = log

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent += data
        self._log.append(self)

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """Go on: what is handed to the protocol is handed at once."""

    resume_reading = pause_reading


class FakeWire:
    """An emulator and its connections, in the running event loop; `log` has a transport for each write."""

    def __init__(self, spec: str = "", kind: type[Application] = Application) -> None:
        settings = parse_settings(spec)
        self.where = {
            name: getattr(settings, name)
            for name in ("instance_id", "contact_flow_id", "access_key_id", "secret_access_key", "region")
        }
        self.control = Control(settings, ScaledClock(), "ws://127.0.0.1")
        self._config = uvicorn.Config(kind(self.control), http=ConnectionProtocol, **uvicorn_settings())
        self._config.load()
        self._server = ServerState()
        self._server.default_headers = [(b"date", b"now")]
        self.log: list[FakeTransport] = []

    def connect(self) -> tuple[ConnectionProtocol, FakeTransport]:
        """Return both ends of a new connection."""
        transport = FakeTransport(self.log)
        protocol = ConnectionProtocol(self._config, self._server, {}, asyncio.get_running_loop())
        protocol.connection_made(transport)
        return protocol, transport


def on_fake_wire(use: Callable[[FakeWire], Any], spec: str = "") -> None:
    """Run the coroutine function `use` on an emulator with the settings `spec`."""

    async def main() -> None:
        await use(FakeWire(spec))

    asyncio.run(main())
