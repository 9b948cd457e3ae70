"""HTTP/1.1 over kept-alive connections: one request, one attempt, one answer or one error.

Nothing here ever sends a request twice. A connection that the server closed while it was idle is found out *before* the
send (a look at the socket, no bytes sent); a connection that breaks after the send is an error, since the server may have
acted. Parsing is llhttp's, through httptools. Sockets are the standard library's, so under Locust they are gevent's.
"""

import select
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

import httptools
from gevent.monkey import get_original

_POLL = get_original("select", "poll")  # the patched poll costs a trip through the hub
_READ_SIZE = 65536
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class WireError(Exception):
    """No usable answer. `after_send` tells whether the server may have seen the request."""

    def __init__(self, message: str, *, after_send: bool) -> None:
        super().__init__(message)
        self.after_send = after_send


class WireTimeout(WireError):
    """The answer did not come within the time allowed."""


@dataclass(slots=True)
class Answer:
    """An HTTP answer: status, headers by lower-case name (a repeated header's last value), body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: host, port and whether to speak TLS. `authority` is the Host header's value."""

    host: str
    port: int
    tls: bool
    authority: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read an http(s) URL. Raises ValueError, with the mend, when it is none or has more than a host and port."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of an endpoint; give one like https://connect.us-east-1.amazonaws.com")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
            raise ValueError(f"{url!r} has more than a host and port; give only those")
        tls = parts.scheme == "https"
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} has no valid port; give a number from 1 to 65535") from error
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default = 443 if tls else 80
        authority = name if port in (None, default) else f"{name}:{port}"
        return cls(parts.hostname, port or default, tls, authority)


class Connection:
    """One kept-alive connection. Not shared: whoever holds it sends one request and reads one answer."""

    def __init__(self, endpoint: Endpoint, timeout: float, context: ssl.SSLContext | None) -> None:
        try:
            sock = socket.create_connection((endpoint.host, endpoint.port), timeout)
        except TimeoutError as error:
            raise WireTimeout(f"no connection within {timeout:g} s", after_send=False) from error
        except OSError as error:
            raise WireError(f"cannot connect: {_reason(error)}", after_send=False) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=endpoint.host)
        except TimeoutError as error:
            sock.close()
            raise WireTimeout(f"no TLS handshake within {timeout:g} s", after_send=False) from error
        except (OSError, ssl.CertificateError) as error:
            sock.close()
            raise WireError(f"TLS: {_reason(error)}", after_send=False) from error
        self._sock = sock
        self._timeout = timeout
        self._poll = _POLL()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._chunks: list[bytes] = []
        self._received = 0
        self._complete = False
        self._framed = False
        self._surplus = False
        self.reusable = True

    def exchange(self, request: bytes) -> Answer:
        """Send `request` and return its answer. Raises WireTimeout or WireError; the connection is then of no use."""
        self.reusable = False
        self._answer = Answer()
        self._complete = False
        self._framed = False
        self._received = 0
        self._chunks = []
        give_up = monotonic() + self._timeout
        try:
            self._sock.sendall(request)
            while not self._complete:
                if self._received and monotonic() > give_up:  # bytes that trickle in do not extend the time allowed
                    raise TimeoutError
                data = self._sock.recv(_READ_SIZE)
                if not data:
                    self._end_of_stream()
                    return self._answer
                self._received += len(data)
                if self._received > MAX_ANSWER_BYTES:
                    raise WireError(f"the answer is over {MAX_ANSWER_BYTES} bytes", after_send=True)
                self._parser.feed_data(data)
        except TimeoutError as error:
            raise WireTimeout(f"no answer within {self._timeout:g} s", after_send=True) from error
        except OSError as error:
            raise WireError(f"connection broke: {_reason(error)}", after_send=True) from error
        except httptools.HttpParserError as error:
            raise WireError(f"the answer is no HTTP: {error}", after_send=True) from error
        self.reusable = self._parser.should_keep_alive() and not self._surplus
        return self._answer

    def is_idle(self) -> bool:
        """Whether the connection is open and silent, so that a request may be sent on it."""
        try:
            if not self._poll.poll(0):
                return True
            if not isinstance(self._sock, ssl.SSLSocket):
                return False  # readable while idle: closed, or bytes that nobody asked for
            # TLS 1.3 session tickets make an idle socket readable; consuming them yields no data.
            self._sock.settimeout(0)
            try:
                self._sock.recv(1)
            finally:
                self._sock.settimeout(self._timeout)
            return False
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close the socket; never raises."""
        try:
            self._sock.close()
        except OSError:
            pass

    # What httptools calls.
    def on_message_begin(self) -> None:
        self._surplus = self._complete  # bytes after the answer: whose are they?

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        key = name.decode("latin-1").lower()
        if key in ("content-length", "transfer-encoding"):
            self._framed = True
        self._answer.headers[key] = value.decode("latin-1")

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and kin announce the answer that follows
            self._answer = Answer()
            self._framed = False
            return
        self._finish(status)

    def _finish(self, status: int) -> None:
        self._answer.status = status
        self._answer.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._complete = True

    def _end_of_stream(self) -> None:
        # An answer without a length ends with its connection (RFC 9112, 6.3); any other that ends here was cut off.
        status = self._parser.get_status_code() if self._answer.headers else 0
        if status >= 200 and not self._framed:
            self._finish(status)
            return
        what = "closed without an answer" if not self._received else "closed in the middle of an answer"
        raise WireError(f"the server {what}", after_send=True)


class Pool:
    """Kept-alive connections to one endpoint; grows to as many as are in flight at once."""

    def __init__(self, endpoint: Endpoint, timeout: float = 30.0, context: ssl.SSLContext | None = None) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._context = context if endpoint.tls else None
        if endpoint.tls and context is None:
            self._context = ssl.create_default_context()
        self._idle: deque[Connection] = deque()
        self.opened = 0

    def acquire(self) -> Connection:
        """Return a connection that is idle, or a new one. Raises WireTimeout or WireError when none can be had."""
        while self._idle:
            connection = self._idle.pop()  # the last used is the least likely to have been closed
            if connection.is_idle():
                return connection
            connection.close()
        self.opened += 1
        return Connection(self.endpoint, self._timeout, self._context)

    def release(self, connection: Connection) -> None:
        """Take `connection` back: kept when its last answer left it usable, closed otherwise."""
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.args[-1]})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
