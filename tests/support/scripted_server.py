"""A server that does exactly what a test tells it to, byte by byte, and keeps what it was sent."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE = 20.0
"""Seconds after which a test that would hang fails instead."""

Script = Callable[["Peer"], None]
"""What the server does on one connection."""


@dataclass
class Peer:
    """The server's end of one connection."""

    sock: socket.socket
    server: "ScriptedServer"
    _buffer: bytes = b""

    def request(self) -> bytes:
        """Read one whole request (head and Content-Length bytes), and count it; b"" when the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            if not self._more():
                return b""
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        request = head + b"\r\n\r\n" + rest[:length]
        self._buffer = rest[length:]
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()

    def leave(self, how: str) -> None:
        """End an idle connection: "close", "reset", or tell something unasked first, as servers do that close."""
        if how == "reset":
            self.reset()
        elif how == "close":
            self.sock.close()
        else:
            self.send(answer(408, b"", "Connection: close"))

    def hold(self) -> None:
        """Do nothing until the test is over."""
        self.server.over.wait(PATIENCE)

    def until_closed(self) -> None:
        """Read and drop until the client closes."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)


@dataclass
class ScriptedServer:
    """Runs the n-th script on the n-th connection, and the last one on every later connection."""

    scripts: tuple[Script, ...]
    context: ssl.SSLContext | None = None
    family: socket.AddressFamily = socket.AF_INET
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = "[::1]" if self.family == socket.AF_INET6 else "127.0.0.1"
        return f"{'https' if self.context else 'http'}://{host}:{self.port}"

    def start(self) -> None:
        """Listen, and serve each connection in a thread of its own."""
        self._listener = socket.socket(self.family)
        self._listener.bind(("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listener.listen(4096)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, script), daemon=True).start()

    def _serve(self, sock: socket.socket, script: Script) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            script(Peer(sock, self))
        except OSError as error:  # of interest where a handshake was to succeed
            self.failures.append(error)
        finally:
            sock.close()


@contextlib.contextmanager
def serving(*scripts: Script, context: ssl.SSLContext | None = None, ipv6: bool = False) -> Iterator[ScriptedServer]:
    """A running server, stopped at the end of the block."""
    server = ScriptedServer(scripts, context, socket.AF_INET6 if ipv6 else socket.AF_INET)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def answering(*answers: bytes) -> Script:
    """A script that gives the answers in turn, one a request, and then closes; the last one again and again if alone."""

    def script(peer: Peer) -> None:
        turn = 0
        while peer.request():
            peer.send(answers[min(turn, len(answers) - 1)])
            turn += 1
            if turn == len(answers) > 1:
                return

    return script


def answer(status: int = 200, body: bytes = b"{}", *headers: str) -> bytes:
    """An HTTP answer with a length."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} Said\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


STARTED = answer(
    200, b'{"ContactId": "c-1", "ParticipantId": "p-1", "ParticipantToken": "t-1"}', "x-amzn-RequestId: r-1"
)
"""A chat start that succeeded."""
