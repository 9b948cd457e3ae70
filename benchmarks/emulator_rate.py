"""What one core of the emulator serves: StartChatContact with every check on, against a bare Starlette route.

The rival is a Starlette route that returns the same body, on the same uvicorn settings. Both servers run at the same
time, pinned to one core, and are measured in turn by the same client, pinned to another: connections with one call
in flight each. The figure is calls per second of the server's own CPU time (user and system), which other load on the
machine does not change as it changes calls per second of wall-clock time; both are printed.
"""

import argparse
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 32
WARM_UP = 2000
_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Round:
    """One measurement of one server: calls per second of CPU time, and of wall-clock time."""

    per_cpu_second: float
    per_second: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if the emulator serves less than 0.9 of what the bare route serves.

    Wanted is as much; the rest is left to a busy machine.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emulator_rate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternated rounds of each (default: 5)")
    parser.add_argument("--calls", type=int, default=10_000, help="calls a round (default: 10000)")
    parser.add_argument("--rival", metavar="BODY", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.rival is not None:
        return _serve_rival(options.rival.encode())
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    emulator = _start(
        ["-m", "harness.emulator", "--lifeline", "--emulator", "rate=inf,active_chats=1000000000"], server_core
    )
    rival: subprocess.Popen[str] | None = None
    try:
        where = json.loads(_line(emulator))
        request = _request(where)
        body = _exchange(where["endpoint"], request)
        rival = _start(["-m", "benchmarks.emulator_rate", "--rival", body.decode()], server_core)
        rival_endpoint = json.loads(_line(rival))["endpoint"]
        os.sched_setaffinity(0, {client_core})
        servers = {"emulator": (emulator, where["endpoint"]), "bare Starlette route": (rival, rival_endpoint)}
        results: dict[str, list[Round]] = {name: [] for name in servers}
        for process, endpoint in servers.values():
            _measure(process.pid, endpoint, request, WARM_UP)
        for _ in range(options.rounds):
            for name, (process, endpoint) in servers.items():
                results[name].append(_measure(process.pid, endpoint, request, options.calls))
    finally:
        os.sched_setaffinity(0, set(cores))
        for server in filter(None, (emulator, rival)):
            _stop(server)
    return _report(results, len(request), one_core=server_core == client_core)


def _report(results: dict[str, list[Round]], size: int, one_core: bool) -> int:
    print(
        f"StartChatContact, {size} bytes a request, {CONNECTIONS} connections; median [least, most] of alternated rounds"
    )
    if one_core:
        print("(one core only: client and servers share it; trust the CPU column)")
    print(f"{'':<22}{'calls per CPU second':>30}{'calls per second':>30}")
    for name, rounds in results.items():
        cells = [_cell([r.per_cpu_second for r in rounds]), _cell([r.per_second for r in rounds])]
        print(f"{name:<22}{cells[0]:>30}{cells[1]:>30}")
    ours, theirs = results.values()
    ratios = [a.per_cpu_second / b.per_cpu_second for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    print(f"ratio (CPU, paired by round): {ratio:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]; wanted: at least 1.00")
    return 0 if ratio >= 0.9 else 1


def _cell(figures: list[float]) -> str:
    return f"{statistics.median(figures):,.0f} [{min(figures):,.0f}, {max(figures):,.0f}]"


def _request(where: dict[str, str]) -> bytes:
    """A signed StartChatContact call as raw bytes. Without a ClientToken, so that each copy starts a chat."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    body = json.dumps(
        {
            "InstanceId": where["instance_id"],
            "ContactFlowId": where["contact_flow_id"],
            "ParticipantDetails": {"DisplayName": "Customer"},
            "Attributes": {"loadtest-run": "benchmark", "language": "en-US", "topic": "orders", "tier": "gold"},
            "InitialMessage": {"ContentType": "text/markdown", "Content": "**Hello**, where is my order?"},
            "SupportedMessagingContentTypes": ["text/plain", "text/markdown"],
            "ChatDurationInMinutes": 120,
        }
    ).encode()
    request = AWSRequest("PUT", f"{where['endpoint']}/contact/chat", data=body)
    request.headers["Content-Type"] = "application/json"
    credentials = Credentials(where["access_key_id"], where["secret_access_key"])
    SigV4Auth(credentials, "connect", where["region"]).add_auth(request)
    lines = ["PUT /contact/chat HTTP/1.1", f"Host: {urlsplit(where['endpoint']).netloc}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _measure(pid: int, endpoint: str, request: bytes, calls: int) -> Round:
    """Make `calls` calls and see what they cost the server. Raises RuntimeError for an answer that is not a 200."""
    url = urlsplit(endpoint)
    connections: dict[int, socket.socket] = {}
    answers: dict[int, bytes] = {}
    poll = select.epoll()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection((url.hostname, url.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    cpu, began = _cpu_seconds(pid), time.perf_counter()
    sent = done = 0
    for connection in connections.values():
        connection.sendall(request)
        sent += 1
    while done < calls:
        for number, _ in poll.poll(10):
            connection = connections[number]
            answer = answers.pop(number, b"") + connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"unexpected answer: {answer[:200]!r}")
            if not answer.endswith(b"}"):  # head and body came apart
                answers[number] = answer
                continue
            done += 1
            if sent < calls:
                connection.sendall(request)
                sent += 1
    wall, cpu = time.perf_counter() - began, _cpu_seconds(pid) - cpu
    for connection in connections.values():
        connection.close()
    return Round(calls / cpu, calls / wall)


def _exchange(endpoint: str, request: bytes) -> bytes:
    """The body of the answer to one call."""
    url = urlsplit(endpoint)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65536).partition(b"\r\n\r\n")[2]


def _cpu_seconds(pid: int) -> float:
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / _TICKS


def _start(arguments: list[str], core: int) -> subprocess.Popen[str]:
    command = ["taskset", "-c", str(core), sys.executable, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(10)


def _serve_rival(body: bytes) -> int:
    """The rival: the least that Starlette needs to return `body`."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from harness.emulator.http.server import listen, uvicorn_settings

    async def endpoint(request: Request) -> Response:
        return Response(body, media_type="application/json")

    listener = listen("127.0.0.1", 0)
    print(json.dumps({"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    application = Starlette(routes=[Route("/contact/chat", endpoint, methods=["PUT"])])
    uvicorn.Server(uvicorn.Config(application, http="httptools", **uvicorn_settings())).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
