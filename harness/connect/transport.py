"""Bytes to and from one server on gevent's loop: plain sockets and TLS, and one timer for all the waits of a pool.

gevent's own sockets start a watcher and a timer for every read, which is most of what a small call costs. Here a connection
keeps one watcher for as long as it lives, and because every wait of a pool may last equally long, the oldest wait is always
the first to run out, so one timer serves all of them. It works the same with and without monkey patching.
"""

import select
import ssl
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

from gevent import get_hub, getcurrent
from gevent.monkey import get_original

from harness.connect.sockets import arrival
from harness.connect.sockets.gathering import Gathering

_POLL = get_original("select", "poll")  # the patched poll costs a trip through the hub
_READ, _WRITE = 1, 2
BUFFER_BYTES = 65536
_HEARD_BYTES = 16384
"""As much of what a listener hears is read at a time: frames are far shorter, and what is left comes at once."""


class Deadlines:
    """Ends what has taken longer than `seconds`: calls its `expire` from gevent's hub, once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[Callable[[], None], float] = {}  # in the order of their deadlines
        self._timer: Any = None
        self.look: Callable[[], None] = lambda: None
        """Called before anything ends: what has come by now has come in time."""

    def __len__(self) -> int:
        """How much has begun that has not ended."""
        return len(self._due)

    def awaited(self) -> bool:
        """Whether anything has begun that has not ended."""
        return bool(self._due)

    def begin(self, expire: Callable[[], None]) -> None:
        """Call `expire` in `seconds` unless `end(expire)` comes first."""
        self._due[expire] = monotonic() + self.seconds
        if self._timer is None:
            self._arm(self.seconds)

    def end(self, expire: Callable[[], None]) -> None:
        """Note that it came in time."""
        self._due.pop(expire, None)

    def _arm(self, seconds: float) -> None:
        self._timer = get_hub().loop.timer(seconds)
        self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        # One timer a period, not one a call: it was armed for a call that has mostly been answered since. It stays in its
        # place while greenlets are woken, so that a wait that one of them begins arms no second one.
        self.look()
        while self._due:
            expire, due = next(iter(self._due.items()))
            if due > monotonic():
                break
            del self._due[expire]
            expire()
        self._timer.close()
        self._timer = None
        if self._due:
            self._arm(max(next(iter(self._due.values())) - monotonic(), 0.0))


class Channel:
    """A connected stream of bytes, used by one greenlet at a time.

    `send` sends, and `receive` waits for bytes; both end with the TimeoutError that `expire` throws into them. Raises
    OSError, of which TimeoutError is one, and ssl.SSLError. `buffer` is where bytes are received: channels of one thread may
    share it, since what was received is to be used before anything is waited for.
    """

    def __init__(self, sock: Any, buffer: memoryview) -> None:
        self._sock = sock
        self._buffer = buffer
        self._buffers = [buffer]
        self._hub = get_hub()
        self._waiter: Any = None
        self._heard: Callable[[bytes], None] | None = None
        self._descriptor: int = sock.fileno()
        self._readable = self._hub.loop.io(self._descriptor, _READ)
        self._readable.start(self.ready)
        self._poll: Callable[[int], list[Any]] | None = None
        self._open = True
        self._gathering: Gathering | None = None
        self._told: arrival.Told = []
        self._unsent: memoryview | None = None  # of what was sent with others'
        self.sent = perf_counter()
        """When the last request began to be sent; before the first one, when the channel was made (of perf_counter)."""
        self.broken: OSError | None = None
        """What went wrong with sending: a server may refuse, and close, before it has read all, and its answer counts."""
        arrival.ask(sock)

    def arrived(self) -> float:
        """Return when the bytes received last had come (of perf_counter), as the kernel tells; now where it does not."""
        return arrival.moment(self._told, self.sent)

    def gather(self, gathering: Gathering) -> None:
        """Be looked at with others from now on, once the kernel tells when bytes come: they may have to wait for others."""
        if self._gathering is None and self._told and self._open:
            self._readable.stop()
            self._gathering = gathering
            gathering.join(self._descriptor, self)

    def leave(self) -> None:
        """Be looked at by itself again."""
        if self._gathering is not None:
            self._gathering.part(self._descriptor)
            self._gathering = None
            self._readable.start(self.ready)

    def send(self, data: bytes) -> None:
        """Send all of `data`; with others' where calls are gathered, which `receive` waits for. Raises only TimeoutError:
        what else goes wrong is `broken`.
        """
        self.broken = None
        if self._gathering is not None and self._gathering.gathers:
            self._gathering.post(self, data)
            return
        self._finish_sending(self._begin_sending(data))

    def put(self, data: bytes) -> None:
        """Send what `send` has left to the end of this turn; called from the hub, while `receive` waits."""
        rest = self._begin_sending(data)
        if rest and self._waiter is not None:
            self._unsent = rest
            self._waiter.switch()

    def receive(self) -> memoryview:
        """Wait for bytes and return them, good until the next wait; none when the server has closed the connection."""
        while True:
            self._wait()
            if self._unsent is not None:
                rest, self._unsent = self._unsent, None
                self._finish_sending(rest)
                continue
            try:
                size, self._told, _, _ = self._sock.recvmsg_into(self._buffers, arrival.TOLD_BYTES)
            except BlockingIOError:
                continue
            if not self._told:
                self.leave()  # else what it does not tell would be told by a late look
            return self._buffer[:size]

    def listen(self, heard: Callable[[bytes], None]) -> None:
        """From now on tell `heard` what comes, from the hub; nothing (b"") once the stream has ended or is broken."""
        self._heard = heard
        self._readable.callback = self._on_heard  # the usual callback would ask each time who is there

    def send_at_once(self, data: bytes) -> bool:
        """Send all of `data` without waiting; False where there is no room for it."""
        try:
            return bool(self._sock.send(data) == len(data))
        except BlockingIOError:
            return False

    def is_silent(self) -> bool:
        """Whether the connection is open and the server has sent nothing that has not been received."""
        if not self._open:
            return False
        if self._gathering is not None and self._gathering.is_fresh:
            return True
        if self._poll is None:  # websockets never ask
            self._poll = _poller(self._sock)
        return not self._poll(0)

    def expire(self) -> None:
        """Throw TimeoutError into the greenlet that waits; called from the hub."""
        if self._waiter is not None:
            self._waiter.throw(TimeoutError("timed out"))

    def close(self) -> None:
        """Close the socket; never raises, and may be called again."""
        if not self._open:
            return
        self._open = False
        if self._gathering is not None:
            self._gathering.part(self._descriptor)
            self._gathering = None
        self._readable.close()  # before its file descriptor, whose number may be another socket's at once
        try:
            self._sock.close()
        except OSError:
            pass

    def _wait(self) -> None:
        self._waiter = getcurrent()
        try:
            self._hub.switch()
        finally:
            self._waiter = None

    def awaits(self) -> bool:
        """Whether a greenlet waits for what comes."""
        return self._waiter is not None

    def ready(self) -> None:
        """Go on: bytes have come, or the end of the stream; called from the hub."""
        if self._waiter is not None:
            self._waiter.switch()
        else:
            self._on_unasked()

    def _on_heard(self) -> None:
        try:
            data = self._sock.recv(_HEARD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        assert self._heard is not None
        self._heard(data)

    def _on_unasked(self) -> None:
        if not self.is_silent():
            self.close()  # closed by the server, or bytes that nobody asked for: of no more use either way

    def _begin_sending(self, data: bytes) -> memoryview:
        """Send as much of `data` as there is room for, and return the rest."""
        self.sent = perf_counter()
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.broken = error
            sent = len(data)
        return memoryview(data)[sent:]

    def _finish_sending(self, rest: memoryview) -> None:
        if not rest:
            return
        # An early answer must not wake this wait again and again: reading has its turn once all is sent.
        self.leave()
        self._readable.stop()
        writable = self._hub.loop.io(self._descriptor, _WRITE)
        try:
            writable.start(self.ready)
            while rest:
                self._wait()
                try:
                    rest = rest[self._sock.send(rest) :]
                except BlockingIOError:
                    continue
        except TimeoutError:
            raise
        except OSError as error:
            self.broken = error
        finally:
            writable.close()
            if self._open:
                self._readable.start(self.ready)


class TlsChannel(Channel):
    """The same stream through TLS. `handshake` comes first; `first_bytes` tell what a server that failed at it speaks."""

    def __init__(self, sock: Any, buffer: memoryview, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(sock, buffer)
        self.first_bytes = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def handshake(self) -> None:
        """Agree on keys and check the certificate. Raises ssl.SSLError, of which SSLCertVerificationError is one."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if self.broken is not None:
                    raise self.broken from None
                self._take()
            except ssl.SSLError:
                self._flush()  # the alert that tells the server why
                raise
            else:
                self._flush()
                return

    def send(self, data: bytes) -> None:
        """Send all of `data`, as a channel without TLS does."""
        self.sent = perf_counter()
        try:
            self._tls.write(data)
        except OSError as error:  # ssl.SSLError is one
            self.broken = error
        else:
            self._flush()

    def receive(self) -> memoryview:
        """Wait for bytes and return them, good until the next wait; none when the server has closed the connection."""
        while True:
            data = self._decrypted()
            if data is not None:
                return data
            self._take()

    def listen(self, heard: Callable[[bytes], None]) -> None:
        """From now on tell `heard` what comes, from the hub; nothing (b"") once the stream has ended or is broken."""
        super().listen(heard)
        self._tell_decrypted(heard)  # what came with the last answer will not make the socket readable again

    def send_at_once(self, data: bytes) -> bool:
        """Send all of `data` without waiting; False where there is no room for it."""
        self._tls.write(data)
        return super().send_at_once(self._outgoing.read())

    def is_silent(self) -> bool:
        """Whether the connection is open and the server has sent no data (session tickets, which idle TLS has, are none)."""
        try:
            while self._open:
                if self._incoming.pending and self._decrypted() is not None:
                    return False
                if super().is_silent():
                    return True
                received = self._sock.recv_into(self._buffer)
                if not received:
                    return False
                self._incoming.write(self._buffer[:received])
        except OSError:  # ssl.SSLError is one
            pass
        return False

    def _on_heard(self) -> None:
        assert self._heard is not None
        try:
            self._decrypt(self._buffer[: self._sock.recv_into(self._buffer)])
        except BlockingIOError:
            return
        except OSError:
            self._heard(b"")
            return
        self._tell_decrypted(self._heard)

    def _tell_decrypted(self, heard: Callable[[bytes], None]) -> None:
        while self._open:
            try:
                data = self._decrypted()
            except OSError:  # ssl.SSLError is one
                data = self._buffer[:0]
            if data is None:
                return
            heard(bytes(data))
            if not data:
                return

    def _decrypted(self) -> memoryview | None:
        try:
            size: Any = self._tls.read(len(self._buffer), self._buffer)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            size = 0
        return self._buffer[:size]

    def _take(self) -> None:
        self._decrypt(super().receive())

    def _decrypt(self, data: memoryview) -> None:
        if data:
            self.first_bytes = self.first_bytes or bytes(data[:8])
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            super().send(data)


def _poller(sock: Any) -> Callable[[int], list[Any]]:
    poll = _POLL()
    poll.register(sock.fileno(), select.POLLIN)
    asks: Callable[[int], list[Any]] = poll.poll
    return asks
