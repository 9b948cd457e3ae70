"""HTTP/1.1 over kept-alive connections: one request, one attempt, one answer or one error.

Nothing here ever sends a request twice. A connection that the server closed while it was idle is found out *before* the
send (a look at the socket, no bytes sent); a connection that breaks after the send is an error, since the server may have
acted. Parsing is llhttp's, through httptools; `transport` has the sockets.
"""

import ipaddress
import random
import re
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from urllib.parse import urlsplit

import gevent
import httptools
import msgspec

from harness.connect.sockets.connecting import connect
from harness.connect.sockets.faults import is_generator_fault, reason_of
from harness.connect.sockets.gathering import Gathering, can_gather
from harness.connect.transport import BUFFER_BYTES, Channel, Deadlines, TlsChannel

SPREAD = 10
"""Connections over which a run's calls are spread: of two nodes, all of them are pinned to one in 0.2 % of cases."""
_USED_EVERY = 3.0
"""Seconds after which a connection is used again, in the middle: servers close those that nobody uses for longer."""
_TRY_AGAIN = 3.0
"""Seconds after which another one is opened beside the calls again, where that has failed."""
_TLS_ALERT = b"\x15"
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class WireError(Exception):
    """No usable answer. `after_send` tells whether the server may have seen the request, `generator_fault` whether this
    machine has run out of something.
    """

    def __init__(self, message: str, *, after_send: bool, generator_fault: bool = False) -> None:
        super().__init__(message)
        self.after_send = after_send
        self.generator_fault = generator_fault


class WireTimeout(WireError):
    """The answer did not come within the time allowed."""


class Response(msgspec.Struct):
    """An HTTP response: status, headers as they came (of one that is repeated the last value), body."""

    status: int = 0
    raw_headers: dict[bytes, bytes] = {}
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lower-case name. Made for each who asks; `header` costs less."""
        return {_header_name(name): value.decode("latin-1") for name, value in self.raw_headers.items()}

    def header(self, name: str) -> str | None:
        """Return the value of one header, by its name in lower case; of one that is there in several spellings, any."""
        found = self.raw_headers.get(_SPELLINGS.get(name, b""))
        if found is not None:
            return found.decode("latin-1")
        for raw, value in self.raw_headers.items():
            if (_HEADER_NAMES.get(raw) or _header_name(raw)) == name:
                _SPELLINGS[name] = raw
                found = value
        return None if found is None else found.decode("latin-1")


_ONE_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.%-]+)?\]|[\w.-]{1,253})(?::[^:]*)?")
"""What stands between :// and the end: one host, in brackets where it is an IPv6 address, and maybe a port."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: host, port and whether to speak TLS. `authority` is the Host header's value."""

    host: str
    port: int
    tls: bool
    authority: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read an http(s) URL. Raises ValueError, with what to do, when it is none or has more than a host and port."""
        try:
            parts = urlsplit(url)
        except ValueError:  # what it says names neither the URL nor what to do
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{url!r} is not the URL of an endpoint; give one like https://connect.us-east-1.amazonaws.com"
            )
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url!r} has more than a host and port; give only those")
        if not _ONE_HOST.fullmatch(url.partition("://")[2].rstrip("/")):
            # Other parsers (the SDK's, a proxy's) may read another host in it.
            raise ValueError(f"{url!r} has a host that is none; give a name or an address, an IPv6 one in brackets")
        tls = parts.scheme == "https"
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} has no valid port; give a number from 1 to 65535") from error
        if port == 0:
            raise ValueError(f"{url!r} has port 0, which no server has; give a number from 1 to 65535")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default = 443 if tls else 80
        authority = name if port in (None, default) else f"{name}:{port}"
        return cls(parts.hostname, port or default, tls, authority)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its name alone: localhost, 127.0.0.0/8 or ::1. Nothing is resolved."""
        return is_loopback_host(self.host)


def is_loopback_host(host: str) -> bool:
    """Whether `host`, without brackets, is this machine by its name alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Connection:
    """One kept-alive connection. Not shared: whoever holds it sends one request and reads one answer."""

    def __init__(
        self, endpoint: Endpoint, deadlines: Deadlines, context: ssl.SSLContext | None, buffer: memoryview
    ) -> None:
        try:
            sock = connect(endpoint.host, endpoint.port, deadlines.seconds)
        except TimeoutError as error:
            raise WireTimeout(f"no connection within {deadlines.seconds:g} s", after_send=False) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name with a label that no resolver takes
            fault = is_generator_fault(error)
            raise WireError(f"cannot connect: {reason_of(error)}", after_send=False, generator_fault=fault) from error
        if context is None:
            self._channel = Channel(sock, buffer)
        else:
            self._channel = _handshake(TlsChannel(sock, buffer, context, endpoint.host), deadlines, endpoint.authority)
        self._authority = endpoint.authority
        self._deadlines = deadlines
        self._expire = self._channel.expire
        self.is_idle: Callable[[], bool] = self._channel.is_silent
        """Whether the connection is open and silent, so that a request may be sent on it."""
        self.arrived_at: Callable[[], float] = self._channel.arrived
        self.gather: Callable[[Gathering], None] = self._channel.gather
        self._raw_headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._head_due = [True]
        self._silence: list[bool] = []
        # What httptools calls leads straight to what is to be done, without any code of ours: of most answers one header is
        # looked at, and bodies come in one piece. An empty list is a fact: the head has come, a message has begun.
        self.on_header = self._raw_headers.__setitem__
        self.on_body = self._body.append
        self.on_headers_complete = self._head_due.clear
        self.on_message_begin = self._silence.clear
        self._parser = httptools.HttpResponseParser(self)
        self._feed: Callable[[memoryview], object] = self._parser.feed_data
        self._answer: Response | None = None
        self._stays_open = False
        self.reusable = True

    def exchange(self, request: bytes) -> Response:
        """Send `request` and return its answer. Raises WireTimeout or WireError; the connection is then of no use."""
        self._reset()
        self._deadlines.begin(self._expire)
        received = 0
        data = memoryview(b"")
        try:
            self._channel.send(request)
            while self._answer is None:
                data = self._channel.receive()
                if not data:
                    return self._end_of_stream(received)
                received += len(data)
                if received > MAX_ANSWER_BYTES:
                    raise WireError(f"the answer is over {MAX_ANSWER_BYTES} bytes", after_send=True)
                self._feed(data)
        except TimeoutError as error:
            raise WireTimeout(f"no answer within {self._deadlines.seconds:g} s", after_send=True) from error
        except OSError as error:
            fault = is_generator_fault(error)
            reason = reason_of(self._channel.broken or error)
            raise WireError(f"connection broke: {reason}", after_send=True, generator_fault=fault) from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._answer is None:
                hint = f"; it speaks TLS: write https://{self._authority}" if data[:1] == _TLS_ALERT else ""
                raise WireError(f"the answer is not HTTP: {error}{hint}", after_send=True) from error
            self._stays_open = False  # what is not HTTP came after the answer
        finally:
            self._deadlines.end(self._expire)
        self.reusable = self._stays_open and bool(
            self._silence
        )  # else bytes that nobody asked for came after the answer
        return self._answer

    @property
    def sent_at(self) -> float:
        """When the last request was sent (of perf_counter)."""
        return self._channel.sent

    def close(self) -> None:
        """Close the connection; never raises."""
        self._channel.close()

    def _reset(self) -> None:
        self.reusable = self._stays_open = False
        self._answer = None
        self._raw_headers.clear()
        self._body.clear()
        if not self._head_due:
            self._head_due.append(True)

    def on_message_complete(self) -> None:
        """Take an answer; called by httptools."""
        if self._answer is not None:
            return
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and the like announce the answer that follows
            self._raw_headers.clear()
            self._head_due.append(True)
            return
        self._finish(status)
        self._stays_open = self._parser.should_keep_alive()
        self._silence.append(True)

    def _finish(self, status: int) -> Response:
        body = self._body
        self._answer = Response(status, self._raw_headers.copy(), body[0] if len(body) == 1 else b"".join(body))
        return self._answer

    def _end_of_stream(self, received: int) -> Response:
        # An answer without a length ends with its connection (RFC 9112, 6.3); any other that ends here was cut off.
        ends = {_header_name(name) for name in self._raw_headers}
        if not self._head_due and ends.isdisjoint(("content-length", "transfer-encoding")):
            return self._finish(self._parser.get_status_code())
        what = "closed in the middle of an answer" if received else "closed without an answer"
        raise WireError(f"the server {what}", after_send=True)


class Pool:
    """Kept-alive connections to one endpoint; grows to as many as are in flight at once.

    Calls are spread at random over the last used of `spread` connections, or of as many as are used every few seconds: a
    balancer may pin each to one of the service's nodes, and calls that always take the one that was used last would meet
    a single node. Further ones are opened beside the calls, which do not wait for them.
    """

    def __init__(
        self, endpoint: Endpoint, timeout: float = 30.0, context: ssl.SSLContext | None = None, spread: int = 1
    ) -> None:
        self.endpoint = endpoint
        self._deadlines = Deadlines(timeout)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._context = context if endpoint.tls else None
        if endpoint.tls and context is None:
            self._context = ssl.create_default_context()
        self._idle: deque[Connection] = deque()  # in the order in which they were used
        self._gathering: Gathering | None = None
        self.spread = spread
        self._random = random.Random().random
        self._acquired_at = self._opens_from = -inf
        self._interval = _USED_EVERY  # seconds between calls, of late
        self._closed = False
        self.opened = 0

    def gather(self, begin: Callable[[], None], end: Callable[[], None]) -> Gathering | None:
        """Look at all connections together from now on, where the system lets us: None where not.

        `begin` and `end` are called before and after answers are read. The pool is to be closed then.
        """
        if can_gather():
            self._gathering = Gathering(self._deadlines.awaited, begin, end)
            self._deadlines.look = self._gathering.look
        return self._gathering

    def acquire(self) -> Connection:
        """Return a connection that is idle, or a new one. Raises WireTimeout or WireError when none can be had."""
        among = 1  # the last used is the least likely to have been closed
        if 1 < self.spread > len(self._deadlines):  # else so many connections are in use anyway
            among = self._spread_out()
        while self._idle:
            number = -1 - int(self._random() * min(among, len(self._idle))) if among > 1 else -1
            connection = self._idle[number]
            del self._idle[number]
            if connection.is_idle():
                return connection
            connection.close()
        return self._open()

    def _spread_out(self) -> int:
        """Return over how many connections calls are spread; where there are fewer, open another beside the calls."""
        at = monotonic()
        self._interval += 0.1 * (min(at - self._acquired_at, _USED_EVERY) - self._interval)
        self._acquired_at = at
        among = min(self.spread, int(_USED_EVERY / self._interval))
        if len(self._idle) < among > 1 and at >= self._opens_from:
            self._opens_from = inf  # until this one is open
            gevent.spawn(self._open_another)
        return among

    def _open(self) -> Connection:
        self.opened += 1
        return Connection(self.endpoint, self._deadlines, self._context, self._buffer)

    def _open_another(self) -> None:
        try:
            connection = self._open()
        except WireError:  # calls will tell
            self._opens_from = monotonic() + _TRY_AGAIN
            return
        self._opens_from = -inf
        if self._closed:
            connection.close()
        else:
            self.release(connection)

    def release(self, connection: Connection) -> None:
        """Take `connection` back: kept when its last answer left it usable, closed otherwise."""
        if connection.reusable:
            self._idle.append(connection)
            if self._gathering is not None:
                connection.gather(self._gathering)
        else:
            connection.close()

    def close_idle(self) -> None:
        """Close every idle connection: the next calls open new ones."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close every idle connection, and look at the others each by itself."""
        self._closed = True
        self.close_idle()
        if self._gathering is not None:
            self._gathering.close()
            self._gathering = None


def _handshake(channel: TlsChannel, deadlines: Deadlines, authority: str) -> TlsChannel:
    deadlines.begin(channel.expire)
    try:
        channel.handshake()
    except BaseException as error:
        channel.close()
        if isinstance(error, TimeoutError):
            message = f"no TLS handshake within {deadlines.seconds:g} s"
            raise WireTimeout(message, after_send=False) from error
        if channel.first_bytes.startswith(b"HTTP/"):
            raise WireError(f"{authority} speaks http: write http://{authority}", after_send=False) from error
        if isinstance(error, OSError | ssl.CertificateError):
            raise WireError(f"TLS: {reason_of(error)}", after_send=False) from error
        raise
    finally:
        deadlines.end(channel.expire)
    return channel


# Servers spell a few names in a few ways: each is decoded once, and the last spelling of a name that was asked for is kept.
_HEADER_NAMES: dict[bytes, str] = {}
_SPELLINGS: dict[str, bytes] = {}


def _header_name(raw: bytes) -> str:
    name = _HEADER_NAMES.get(raw)
    if name is None:
        name = raw.decode("latin-1").lower()
        if len(_HEADER_NAMES) < 256:
            _HEADER_NAMES[raw] = name
    return name
