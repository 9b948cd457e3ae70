"""Runs the emulator: a listening socket, uvicorn around the application, the clock's ticks, an orderly end."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import uvicorn

from harness import __version__
from harness.emulator.http.application import Application
from harness.emulator.http.certificate import Certificate
from harness.emulator.http.connection.protocol import ConnectionProtocol
from harness.emulator.http.control import Control
from harness.emulator.http.fair_websocket import FairWebSocket
from harness.emulator.service.clock import ScaledClock
from harness.emulator.settings.settings import Settings

# Real seconds between two looks at the deadlines: a websocket hears of its chat's end without a call being made.
_TICK = 0.05
_CONNECTIONS = 65_536


def is_loopback(host: str) -> bool:
    """Whether `host` is an address, or the usual name, of this machine's loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(4096)
    except OSError:
        listener.close()
        raise
    return listener


def uvicorn_settings() -> dict[str, Any]:
    """How uvicorn is set: no log line a call, long keep-alive, and a `server` header that says what this is."""
    return {
        "ws": FairWebSocket,
        "ws_ping_interval": None,
        "lifespan": "off",
        "access_log": False,
        "log_level": "error",
        "server_header": False,
        "proxy_headers": False,
        "headers": [("server", f"chatquota-emulator/{__version__} (not AWS)")],
        "backlog": 4096,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 1,
    }


class _Quiet(logging.Filter):
    """Keeps from standard error what is no mistake: what a client sent wrongly, and calls that the end cut short."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` tells of a mistake of the emulator's own."""
        problem = record.exc_info[1] if record.exc_info else None
        return not isinstance(problem, asyncio.CancelledError | UnicodeDecodeError) and "graceful" not in str(
            record.msg
        )


class _Server(uvicorn.Server):
    """uvicorn's server, except that a signal ends it with exit code 0 and that it says when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, self.handle_exit)
        yield


def serve(
    settings: Settings,
    listener: socket.socket,
    authority: str,
    scale: float,
    lifeline: bool,
    ready: Callable[[], None],
    certificate: Certificate | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or, with `lifeline`, the end of standard input. `ready` is called once it listens.

    `authority` is the host:port under which clients reach `listener`; `scale` is how much faster its clock runs.
    With a `certificate` it speaks TLS.
    """
    _raise_file_limit()
    scheme: str = "ws"
    tls: dict[str, Any] = {}
    if certificate is not None:
        scheme, tls = "wss", {"ssl_certfile": certificate.certificate, "ssl_keyfile": certificate.key}
    control = Control(settings, ScaledClock(scale), f"{scheme}://{authority}")
    config = uvicorn.Config(Application(control), http=ConnectionProtocol, **uvicorn_settings(), **tls)
    server = _Server(config, ready)
    logging.getLogger("uvicorn.error").addFilter(_Quiet())

    async def run() -> None:
        ticking = asyncio.create_task(_tick(control, scale))
        if lifeline:
            _watch_input(asyncio.get_running_loop(), server)
        await server.serve(sockets=[listener])
        ticking.cancel()

    # What was built by now lives until the end: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(run())


async def _tick(control: Control, scale: float) -> None:
    """Let deadlines and flows happen in time, without a call that asks for them."""
    woken = asyncio.Event()
    while True:
        state = control.api.state
        state.schedule.wake = woken.set
        state.advance(state.clock.now())
        woken.clear()
        wait = min(_TICK, max(0.0005, (state.schedule.next - state.clock.now()) / scale))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), wait)


def _watch_input(loop: asyncio.AbstractEventLoop, server: uvicorn.Server) -> None:
    """End when standard input ends: a parent that was killed leaves no emulator behind."""

    def stop() -> None:
        server.should_exit = True

    def wait() -> None:
        while os.read(0, 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop may have ended first
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _raise_file_limit() -> None:
    """Allow as many as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
