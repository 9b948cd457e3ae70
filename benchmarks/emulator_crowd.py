"""The emulator under a crowd: memory over chats that come and go, websockets on one core, and clients that stall.

Three measurements of one emulator process on one core, the client on another, both in real time where that is allowed:

- memory: chats are started (each with a ClientToken, as the SDKs send one) and stopped; resident memory on the way.
- websockets: many stay open on one core; each asks for a pong (`aws/ping`). The rival is a Starlette websocket route on the
  same uvicorn settings that answers each frame with the same text: memory a socket, and CPU a frame.
- stalling clients: headers that never end, bodies that never end, answers and websockets that nobody reads. A good client
  calls at a steady rate beside them; its latency with them is compared with its latency just before they came.
"""

import argparse
import base64
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import bench

PING = b'{"topic":"aws/ping"}'
PONG = '{"topic":"aws/ping","statusCode":200,"statusContent":"OK"}'
_SETTINGS = (
    "sigv4=off,rate=inf,StopContact.rate=inf,CreateParticipantConnection.rate=inf,active_chats=1000000000,"
    "arrival_timeout=2s"
)
_FLAT = 1.15
_SLOWER = 3.0
_HEADS = ("beside", "clients", "alone: p50 ms", "p99", "most", "beside: p50", "p99", "most", "resident MB")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the three tables; exit code 1 when memory grows, a websocket is lost or the good client has to wait."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emulator_crowd", description=__doc__)
    parser.add_argument("--chats", type=int, default=200_000, help="chats started and stopped (default: 200000)")
    parser.add_argument("--websockets", type=int, default=5_000, help="websockets open at once (default: 5000)")
    parser.add_argument("--stalling", type=int, default=1_000, help="clients that stall (default: 1000)")
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.rival:
        return _serve_rival()
    print(bench.machine())
    bench.raise_file_limit()
    server_core, client_core = bench.cores()
    bench.take_core(client_core)
    results = []
    for measure, size in ((_memory, options.chats), (_stalling, options.stalling)):
        with _Server(["-m", "harness.emulator", "--lifeline", "--emulator", _SETTINGS], server_core) as emulator:
            results.append(measure(emulator, size))
    results.append(_websockets(server_core, options.websockets))
    return 0 if all(results) else 1


class _Server:
    """A server process on one core that says its endpoint in a line of JSON."""

    def __init__(self, arguments: Sequence[str], core: int) -> None:
        command = [sys.executable, *arguments]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = bench.start(command, core, cwd=bench.ROOT, **pipes)
        assert self._process.stdout is not None
        self.where: dict[str, str] = json.loads(self._process.stdout.readline())
        url = urlsplit(self.where["endpoint"])
        self.address = (url.hostname or "", url.port or 0)
        self.pid = self._process.pid

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def connect(self) -> socket.socket:
        """Return a new connection."""
        connection = socket.create_connection(self.address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def resident_mb(self) -> float:
        """Resident memory in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def call(
        self, connection: socket.socket, method: str, path: str, body: dict[str, object], headers: str = ""
    ) -> dict[str, str]:
        """Make one call. Raises RuntimeError for an answer that is not a 200."""
        connection.sendall(_request(method, path, body, headers))
        received = b""
        while not received.endswith(b"}"):
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
        if not received.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"unexpected answer: {received[:300]!r}")
        answer: dict[str, str] = json.loads(received.partition(b"\r\n\r\n")[2])
        return answer

    def start_chat(self, connection: socket.socket, number: int = 0, **members: object) -> dict[str, str]:
        """Start a chat."""
        body: dict[str, object] = {
            "InstanceId": self.where["instance_id"],
            "ContactFlowId": self.where["contact_flow_id"],
            "ParticipantDetails": {"DisplayName": "Customer"},
            "Attributes": {"loadtest-run": "benchmark", "language": "en-US", "number": str(number)},
            "ClientToken": f"token-{number}-{time.time_ns()}",
            **members,
        }
        return self.call(connection, "PUT", "/contact/chat", body)

    def websocket(self, connection: socket.socket, number: int) -> socket.socket:
        """Open the websocket of a new chat."""
        token = self.start_chat(connection, number)["ParticipantToken"]
        asked: dict[str, object] = {"Type": ["WEBSOCKET"]}
        answer = self.call(connection, "POST", "/participant/connection", asked, f"X-Amz-Bearer: {token}\r\n")
        url = urlsplit(answer["Websocket"]["Url"])  # type: ignore[index]
        return _upgrade(self.connect(), f"{url.path}?{url.query}")


def _request(method: str, path: str, body: dict[str, object], headers: str = "") -> bytes:
    content = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _memory(emulator: _Server, chats: int) -> bool:
    connection = emulator.connect()
    rows, figures, step = [], [], max(chats // 10, 1)
    for number in range(1, chats + 1):
        contact = emulator.start_chat(connection, number)["ContactId"]
        emulator.call(
            connection, "POST", "/contact/stop", {"InstanceId": emulator.where["instance_id"], "ContactId": contact}
        )
        if number % step == 0:
            figures.append(emulator.resident_mb())
            rows.append([f"{number:,}", f"{figures[-1]:.0f}"])
    print(bench.table(["chats started and stopped", "resident MB"], rows))
    growth = figures[-1] / figures[len(figures) // 2 - 1]
    print(f"second half: x {growth:.2f}; wanted: at most {_FLAT:g}\n")
    return growth <= _FLAT


def _stalling(emulator: _Server, clients: int) -> bool:
    good = emulator.connect()
    kinds: list[tuple[str, Callable[[int], socket.socket]]] = [
        ("headers that never end", lambda _: _sends(emulator, b"PUT /contact/chat HTTP/1.1\r\nX-Slow: ")),
        (
            "bodies that never end",
            lambda _: _sends(emulator, b"PUT /contact/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"),
        ),
        ("answers that nobody reads", lambda _: _never_reads(emulator)),
        ("websockets that nobody reads", lambda number: _deaf(emulator, good, number)),
    ]
    rows, worst = [], 0.0
    for name, make in kinds:
        alone = _latencies(emulator, good)
        crowd = [make(number) for number in range(clients // len(kinds))]
        beside = _latencies(emulator, good, crowd if "headers" in name else [])
        worst = max(worst, statistics.median(beside) / statistics.median(alone))
        rows.append([name, str(len(crowd)), *_cells(alone), *_cells(beside), f"{emulator.resident_mb():.0f}"])
        for client in crowd:
            client.close()
    print(
        bench.table(
            ["beside", "clients", "alone: p50 ms", "p99", "most", "beside: p50", "p99", "most", "resident MB"], rows
        )
    )
    print(f"median beside them / alone: at most {worst:.2f}; wanted: at most {_SLOWER:g}\n")
    return worst <= _SLOWER


def _latencies(emulator: _Server, good: socket.socket, dripping: Sequence[socket.socket] = ()) -> list[float]:
    """Call 300 times at about 100/s, while the `dripping` clients send a byte now and then; milliseconds of each call."""
    took = []
    for number in range(300):
        began = time.perf_counter()
        emulator.start_chat(good, number)
        took.append((time.perf_counter() - began) * 1000)
        for client in dripping[number % 10 :: 10]:
            try:
                client.send(b"y")
            except OSError:
                pass  # it has been cut, as it should be
        time.sleep(0.01)
    return took


def _cells(late: Sequence[float]) -> list[str]:
    ordered = sorted(late)
    return [f"{statistics.median(ordered):.2f}", f"{ordered[int(0.99 * (len(ordered) - 1))]:.2f}", f"{ordered[-1]:.1f}"]


def _sends(emulator: _Server, data: bytes) -> socket.socket:
    connection = emulator.connect()
    connection.sendall(data)
    return connection


def _never_reads(emulator: _Server) -> socket.socket:
    """Ask for long pages until the socket takes no more, and read none of them."""
    connection = emulator.connect()
    connection.setblocking(False)
    ask = b"GET /_emulator/state HTTP/1.1\r\nHost: x\r\n\r\n" * 50
    try:
        for _ in range(20):
            connection.send(ask)
    except BlockingIOError:
        pass
    return connection


def _deaf(emulator: _Server, good: socket.socket, number: int) -> socket.socket:
    """Ask for pongs until the socket takes no more, and read none of them."""
    websocket = emulator.websocket(good, number)
    websocket.setblocking(False)
    ask = _frame(PING) * 200
    try:
        for _ in range(50):
            websocket.send(ask)
    except (BlockingIOError, ConnectionError):
        pass
    return websocket


def _websockets(core: int, count: int) -> bool:
    rows, lost = [], 0
    arguments = {
        "emulator": ["-m", "harness.emulator", "--lifeline", "--emulator", _SETTINGS],
        "bare Starlette websocket": ["-m", "benchmarks.emulator_crowd", "--rival"],
    }
    for name, command in arguments.items():
        with _Server(command, core) as server:
            control, before = server.connect(), server.resident_mb()
            if name == "emulator":
                sockets = [server.websocket(control, number) for number in range(count)]
            else:
                sockets = [_upgrade(server.connect(), "/") for _ in range(count)]
            memory = (server.resident_mb() - before) * 1000 / count
            heard, took, cpu = _round(server, sockets)
            lost += count - heard
            rows.append([name, f"{count:,}", f"{heard:,}", f"{memory:.0f}", f"{cpu / count * 1e6:.0f}", f"{took:.2f}"])
            for one in sockets:
                one.close()
    print(bench.table(["", "open", "answered", "kB each", "CPU us a frame", "all answered in s"], rows))
    print(f"websockets lost: {lost}; wanted: 0")
    return lost == 0


def _round(server: _Server, sockets: Sequence[socket.socket]) -> tuple[int, float, float]:
    """Ask each once; how many answered within 30 s, in how many seconds, for how much of the server's CPU."""
    poll = select.epoll()
    waiting = {}
    cpu, began = bench.cpu_seconds(server.pid), time.perf_counter()
    frame = _frame(PING)
    for one in sockets:
        poll.register(one, select.EPOLLIN)
        waiting[one.fileno()] = one
        one.sendall(frame)
    while waiting and time.perf_counter() - began < 30:
        for number, _ in poll.poll(1):
            if waiting[number].recv(4096).endswith(b"}"):
                poll.unregister(number)
                del waiting[number]
    return len(sockets) - len(waiting), time.perf_counter() - began, bench.cpu_seconds(server.pid) - cpu


def _frame(text: bytes) -> bytes:
    """A text frame as a client sends it, masked with zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def _upgrade(connection: socket.socket, path: str) -> socket.socket:
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = connection.recv(4096)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"no websocket: {answer[:200]!r}")
    return connection


def _serve_rival() -> int:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    from harness.emulator.http.server import listen, uvicorn_settings

    async def pong(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_text(PONG)

    listener = listen("127.0.0.1", 0)
    print(json.dumps({"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    bench.raise_file_limit()
    application = Starlette(routes=[WebSocketRoute("/", pong)])
    uvicorn.Server(uvicorn.Config(application, **{**uvicorn_settings(), "ws": "websockets-sansio"})).run(
        sockets=[listener]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
