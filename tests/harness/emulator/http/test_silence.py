"""Standard error is for the emulator's own mistakes: clients that misbehave and its end leave it empty."""

import json
import socket
import subprocess
import sys

import pytest
import websocket

from tests.harness.emulator.http.test_server import receive, request
from tests.harness.emulator.support import Running


def ran(spec: str, meets: str) -> tuple[int, str]:
    """Run an emulator, let it meet what `meets` says, end it; its exit code and standard error."""
    command = [sys.executable, "-m", "harness.emulator", "--lifeline", "--emulator", f"sigv4=no,rate=inf,{spec}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        emulator = Running(process, json.loads(process.stdout.readline()))
        with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
            if meets == "half":
                connection.sendall(b"POST /_emulator/clock HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""
            else:
                connection.sendall(request(emulator.where, ConnectionTypes=["WEBSOCKET"]))
            if meets == "reset":
                with pytest.raises(ConnectionError):
                    connection.recv(1)
            elif meets not in ("end", "half"):
                answer = json.loads(receive(connection, 1).partition(b"\r\n\r\n")[2])
                customer = websocket.create_connection(answer["Websocket"]["Url"], timeout=10)
                if meets == "bytes":
                    customer.send(b"\xff\xfe", websocket.ABNF.OPCODE_TEXT)
                    while customer.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
                        pass
            _, complaints = process.communicate(timeout=20)
        return process.returncode, complaints


@pytest.mark.parametrize(
    ("spec", "meets"),
    [
        ("fault_reset=1", "reset"),
        ("latency=60s", "end"),
        ("fault_stall=1", "end"),
        ("", "websocket"),
        ("", "bytes"),
        ("", "half"),
        ("websocket_half_open=1ms", "websocket"),
    ],
)
def test_standard_error_stays_empty(spec: str, meets: str) -> None:
    """Resets, calls and websockets that its end cuts short, and text that is none are no mistakes of the emulator's."""
    assert ran(spec, meets) == (0, "")
