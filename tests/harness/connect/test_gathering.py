"""Connections that are looked at together: each call keeps its own answer, sent once, and the moment at which that came."""

import contextlib
import errno
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event

from harness.connect.client import ConnectClient, Reply, now
from harness.connect.signing import Credentials
from harness.connect.sockets import arrival, gathering
from harness.connect.sockets.gathering import OFTEN, Gathering, can_gather
from harness.connect.wire import Endpoint, Pool
from harness.load.arrivals.greenlets import Crew
from tests.support.certificates import Authority
from tests.support.scripted_server import PATIENCE, STARTED, Peer, answer, answering, serving

pytestmark = pytest.mark.skipif(not can_gather(), reason="this system cannot look at many connections together")


def echo(peer: Peer) -> None:
    """Answer each request with a chat whose id is the request's body."""
    while request := peer.request():
        peer.send(answer(200, b'{"ContactId": "%b"}' % request.rpartition(b"\r\n\r\n")[2]))


@dataclass
class Calls:
    """A client whose calls are made in turns, and what it was told of reading."""

    pool: Pool
    client: ConnectClient
    gathering: Gathering
    reads: list[str]
    replies: dict[bytes, Reply] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._crew = Crew(self._call)
        self._done = Event()

    def warm_up(self, count: int) -> None:
        """Have `count` greenlets, and as many connections that are looked at together: the kernel tells when bytes come."""
        with gevent.Timeout(PATIENCE):
            while len(self.gathering) < count:
                self.turn(*(b"warm-%d" % number for number in range(count)))
        self.replies.clear()
        self.reads.clear()

    def begin(self, *bodies: bytes) -> None:
        """Make a call with each body in one turn, and return once they have been sent."""
        self._awaited = len(self.replies) + len(bodies)
        self._done.clear()
        turned = Event()

        def make_calls() -> None:
            for body in bodies:
                self._crew.hand(body)

        def turn() -> None:
            self.gathering.turn(make_calls)
            turned.set()

        get_hub().loop.run_callback(turn)
        assert turned.wait(PATIENCE)

    def turn(self, *bodies: bytes) -> list[Reply]:
        """Make a call with each body in one turn, and return their replies."""
        self.begin(*bodies)
        return self.wait(*bodies)

    def wait(self, *bodies: bytes) -> list[Reply]:
        """Wait for what `begin` has begun."""
        assert self._done.wait(PATIENCE)
        return [self.replies.pop(body) for body in bodies]

    def _call(self, body: bytes) -> None:
        self.replies[body] = self.client.start_chat(body)
        if len(self.replies) == self._awaited:
            self._done.set()


@contextlib.contextmanager
def calls_to(url: str, timeout: float = PATIENCE, context: ssl.SSLContext | None = None) -> Iterator[Calls]:
    """Calls that are made often, so that answers wait for each other."""
    pool = Pool(Endpoint.parse(url), timeout, context)
    client, reads = ConnectClient(pool, "us-east-1", lambda: Credentials("AKID", "secret"), "test"), list[str]()
    together = client.gather(lambda: reads.append("begin"), lambda: reads.append("end"))
    assert together is not None
    together.offer(OFTEN)
    try:
        yield Calls(pool, client, together, reads)
    finally:
        client.close()


def test_calls_of_one_turn_get_each_its_own_answer_and_are_sent_once() -> None:
    """What leaves together comes back to who sent it, over the same connections turn after turn."""
    with serving(echo) as server, calls_to(server.url) as calls:
        calls.warm_up(5)
        opened, before = calls.pool.opened, len(server.requests)
        for turn in range(20):
            bodies = [b"%d-%d" % (turn, number) for number in range(5)]
            assert [reply.contact_id for reply in calls.turn(*bodies)] == [body.decode() for body in bodies]
    assert len(server.requests) == before + 100
    assert calls.pool.opened == opened


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_calls_of_one_turn_pass_through_tls(tmp_path_factory: pytest.TempPathFactory, version: ssl.TLSVersion) -> None:
    """The same holds of connections over TLS, whose session tickets harm nothing."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    context = authority.server("127.0.0.1")
    context.minimum_version = context.maximum_version = version
    with (
        serving(echo, context=context) as server,
        calls_to(server.url, context=authority.trusted()) as calls,
    ):
        calls.warm_up(5)
        opened = calls.pool.opened
        for turn in range(10):
            bodies = [b"%d-%d" % (turn, number) for number in range(5)]
            assert [reply.contact_id for reply in calls.turn(*bodies)] == [body.decode() for body in bodies]
    assert calls.pool.opened == opened


def test_answers_are_read_between_a_begin_and_an_end() -> None:
    """Whoever leaves work to the end of reading is told of both, in pairs, and an answer is handed on in between."""
    with serving(echo) as server, calls_to(server.url) as calls:
        calls.warm_up(3)
        calls.turn(b"1", b"2", b"3")
        reads = list(calls.reads)
    assert reads == ["begin", "end"] * (len(reads) // 2)
    assert reads


def test_a_large_request_of_a_turn_goes_out_whole() -> None:
    """A body larger than every buffer on the way is sent to its last byte, though it left with others."""
    body = bytes(range(256)) * 40_000
    with serving(answering(STARTED)) as server, calls_to(server.url) as calls:
        calls.warm_up(2)
        replies = calls.turn(body, b"small")
    assert [reply.outcome for reply in replies] == ["started", "started"]
    assert sum(request.endswith(b"\r\n\r\n" + body) for request in server.requests) == 1


def test_an_early_refusal_of_a_turns_call_counts() -> None:
    """A server may answer and close while a body that left with others is still on its way: that is the outcome."""
    refusal = answer(413, b'{"message": "too large"}', "Connection: close")

    def warm_then_refuse(peer: Peer) -> None:
        while (begun := peer.sock.recv(4096)) and len(begun) < 4096:
            peer.send(STARTED)
        peer.send(refusal)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.until_closed()

    with serving(warm_then_refuse) as server, calls_to(server.url) as calls:
        calls.warm_up(1)
        replies = calls.turn(bytes(30_000_000))
    assert [(reply.outcome, reply.status) for reply in replies] == [("invalid_request", 413)]


@pytest.mark.parametrize("how", ["close", "unasked bytes"])
def test_a_connection_that_died_is_found_out_before_a_turns_send(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server did to connections that are looked at together costs no call, though answers wait to be read."""
    monkeypatch.setattr(gathering, "_BETWEEN", 3600.0)
    die, died = threading.Event(), threading.Event()

    def dying(peer: Peer) -> None:
        peer.sock.settimeout(0.01)
        while not die.is_set():
            with contextlib.suppress(TimeoutError):
                peer.request()
                peer.send(STARTED)
        peer.leave(how)
        died.set()
        peer.hold()

    with serving(dying, answering(STARTED)) as server, calls_to(server.url) as calls:
        calls.warm_up(1)
        die.set()
        assert died.wait(PATIENCE)
        before = len(server.requests)
        assert calls.turn(b"next")[0].outcome == "started"
    assert (server.connections, len(server.requests)) == (2, before + 1)


def test_answers_come_though_no_further_call_leaves() -> None:
    """The last calls before a pause are answered without another turn, whether calls are still expected or not."""
    with serving(echo) as server, calls_to(server.url) as calls:
        calls.warm_up(2)
        assert [reply.outcome for reply in calls.turn(b"1", b"2")] == ["started"] * 2
        calls.begin(b"3", b"4")
        calls.gathering.offer(0.0)
        assert [reply.outcome for reply in calls.wait(b"3", b"4")] == ["started"] * 2
        assert calls.client.start_chat(b"5").contact_id == "5"


def test_calls_under_way_are_answered_after_the_end_of_gathering() -> None:
    """Whoever closes the pool takes no answer from anybody."""
    with serving(echo) as server, calls_to(server.url) as calls:
        calls.warm_up(2)
        calls.begin(b"1", b"2")
        calls.client.close()
        assert [reply.contact_id for reply in calls.wait(b"1", b"2")] == ["1", "2"]
        assert calls.client.start_chat(b"3").contact_id == "3"


def test_an_answer_that_waits_to_be_read_has_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that is over before the answers are looked at again makes no time-out of what has come."""
    monkeypatch.setattr(gathering, "_LONGEST", 3600.0)
    with serving(echo) as server, calls_to(server.url, timeout=0.5) as calls:
        calls.warm_up(1)
        assert calls.turn(b"1")[0].outcome == "started"


def test_a_latency_does_not_hold_the_wait_for_being_read() -> None:
    """An answer that lies in the kernel while this process does something else came when it came."""
    answered = threading.Event()

    def tell(peer: Peer) -> None:
        while request := peer.request():
            peer.send(answer(200, b'{"ContactId": "c"}'))
            if request.endswith(b"told"):
                answered.set()

    with serving(tell) as server, calls_to(server.url) as calls:
        calls.warm_up(1)
        calls.begin(b"told")
        assert answered.wait(PATIENCE)  # blocks the loop
        time.sleep(0.05)
        later = now()
        time.sleep(0.05)
        (reply,) = calls.wait(b"told")
    assert reply.sent <= reply.received < later


def test_a_killed_call_leaves_no_connection_behind_for_others() -> None:
    """A call that is killed while it is looked at with others takes its connection with it."""

    def hold_one(peer: Peer) -> None:
        while request := peer.request():
            if request.endswith(b"held"):
                peer.hold()
            peer.send(answer(200, b'{"ContactId": "mine"}'))

    with serving(hold_one) as server, calls_to(server.url) as calls:
        calls.warm_up(1)
        before = len(calls.gathering)
        killed = gevent.spawn(calls.client.start_chat, b"held")
        while not server.requests[-1].endswith(b"held"):
            gevent.sleep(0)
        killed.kill()
        assert len(calls.gathering) == before - 1
        assert calls.client.start_chat(b"2").contact_id == "mine"


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()) as here, listener.accept()[0] as there:
            yield here, there


def test_the_kernel_tells_when_bytes_came() -> None:
    """The moment lies between the sending and the first sight of the bytes, however late they are read."""
    with connected() as (here, there):
        arrival.ask(here)
        told: arrival.Told = []
        give_up = perf_counter() + PATIENCE
        while not told:  # the kernel takes a while until it begins to note it
            assert perf_counter() < give_up, "this kernel does not tell when bytes came"
            began = perf_counter()
            there.send(b"x")
            select.select([here], [], [], PATIENCE)
            seen = perf_counter()
            time.sleep(0.02)
            _, told, _, _ = here.recvmsg(10, arrival.TOLD_BYTES)
        moment = arrival.moment(told, began)
    assert began <= moment < seen + 0.01


def test_what_the_kernel_does_not_tell_is_now() -> None:
    """Without a word of the kernel's the moment is that of reading, and no moment lies before the sending."""
    before = perf_counter()
    assert before <= arrival.moment([], 0.0) <= perf_counter()
    long_ago = [(socket.SOL_SOCKET, 64, bytes(16))]
    assert arrival.moment(long_ago, before) == before


def test_a_kernel_that_cannot_tell_is_asked_in_vain() -> None:
    """A refusal to tell is no error."""

    class Old:
        def setsockopt(self, *_: object) -> None:
            raise OSError(errno.ENOPROTOOPT, "not available")

    arrival.ask(Old())


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
def test_the_kernel_is_not_asked_where_its_clock_is_another() -> None:
    """Where a process is given a clock of its own, the kernel's moments would be off by as much: the read tells them."""
    script = (
        "import _socket; from harness.connect.sockets import arrival; here = _socket.socket(); arrival.ask(here); "
        "print(here.getsockopt(1, 64))"
    )
    asked = [
        subprocess.run([*fake, sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for fake in ((), ("faketime", "-f", "+0.05s"))
    ]
    assert asked == ["1\n", "0\n"]
