"""One request, one attempt, one answer or one error: the connection layer over real sockets to servers that misbehave."""

import contextlib
import socket
from collections.abc import Iterator

import gevent
import pytest

from harness.connect.client import ConnectClient, Reply
from harness.connect.signing import Credentials
from harness.connect.wire import MAX_ANSWER_BYTES, Endpoint, Pool, WireError, WireTimeout
from tests.support.scripted_server import PATIENCE, STARTED, Peer, Script, answer, answering, serving

REQUEST = b"PUT /contact/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
SHORT = 0.2
"""Seconds given to servers that are never going to answer."""


@contextlib.contextmanager
def pool_for(url: str, timeout: float = PATIENCE) -> Iterator[Pool]:
    pool = Pool(Endpoint.parse(url), timeout)
    try:
        yield pool
    finally:
        pool.close()


def client_of(pool: Pool) -> ConnectClient:
    return ConnectClient(pool, "us-east-1", lambda: Credentials("AKID", "secret"), "test")


def start_once(script: Script, timeout: float = PATIENCE) -> tuple[Reply, int]:
    """One chat start against `script`: its reply, and how many requests the server has seen."""
    with serving(script) as server, pool_for(server.url, timeout) as pool:
        return client_of(pool).start_chat(b"{}"), len(server.requests)


def then(*steps: bytes | str) -> Script:
    """A script that reads a request, sends the given bytes, and then does what the last word says."""

    def script(peer: Peer) -> None:
        peer.request()
        for step in steps:
            if isinstance(step, bytes):
                peer.send(step)
            elif step == "reset":
                peer.reset()
            elif step == "hold":
                peer.hold()

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"ContactId": "c-1"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: 20\r\n\r\n" + BODY
WHOLE_ANSWERS = {
    "with a length": SIZED,
    "chunked": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"
    + BODY[:5]
    + b"\r\nf;ext=1\r\n"
    + BODY[5:]
    + b"\r\n0\r\n\r\n",
    "chunked with trailers": HEAD + CHUNKED + b"14\r\n" + BODY + b"\r\n0\r\nX-Checksum: 1\r\n\r\n",
    "closed after": HEAD + b"Connection: close\r\nContent-Length: 20\r\n\r\n" + BODY,
    "without a length": HEAD + b"\r\n" + BODY,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED,
    "after 103 with headers": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + HEAD
    + b"Content-Length: 20\r\n\r\n"
    + BODY,
    "then garbage": SIZED + b"\x00\x01 garbage",
    "then another answer": SIZED + HEAD + b"Content-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("form", WHOLE_ANSWERS)
def test_an_answer_is_read_whole_in_every_form(form: str) -> None:
    """Whatever frames a 200 and whatever comes before or after it, it is one started chat, sent once."""
    reply, requests = start_once(then(WHOLE_ANSWERS[form]))
    assert (reply.outcome, reply.status, reply.contact_id) == ("started", 200, "c-1")
    assert requests == 1


@pytest.mark.parametrize("form", WHOLE_ANSWERS)
def test_an_answer_is_read_whole_byte_by_byte(form: str) -> None:
    """The same answers in pieces of one byte mean the same."""
    pieces = [WHOLE_ANSWERS[form][n : n + 1] for n in range(len(WHOLE_ANSWERS[form]))]
    reply, _ = start_once(then(*pieces))
    assert (reply.outcome, reply.contact_id) == ("started", "c-1")


@pytest.mark.parametrize("form", WHOLE_ANSWERS)
def test_the_next_call_is_sound_after_every_form(form: str) -> None:
    """After any whole answer a second call gets its own answer: on the same connection only where that is safe."""
    whole, ends = WHOLE_ANSWERS[form], form in ("closed after", "without a length", "of HTTP/1.0")
    first_connection = then(whole) if ends else answering(whole, answer(200, b'{"ContactId": "c-2"}'))
    with (
        serving(first_connection, answering(answer(200, b'{"ContactId": "c-3"}'))) as server,
        pool_for(server.url) as pool,
    ):
        client = client_of(pool)
        contacts = [client.start_chat(b"{}").contact_id for _ in range(2)]
    assert contacts == ["c-1", "c-3" if ends or form.startswith("then") else "c-2"]
    assert len(server.requests) == 2


NO_ANSWERS = {
    "closed at once": (then(), "connection_error"),
    "reset": (then("reset"), "connection_error"),
    "cut in the status line": (then(b"HTTP/1.1 20"), "connection_error"),
    "cut in the headers": (then(HEAD + b"Server: x\r\n"), "connection_error"),
    "cut in the body": (then(HEAD + b"Content-Length: 20\r\n\r\n" + BODY[:7]), "connection_error"),
    "cut in a chunk": (then(HEAD + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + BODY[:7]), "connection_error"),
    "cut before the last chunk": (
        then(HEAD + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + BODY + b"\r\n"),
        "connection_error",
    ),
    "reset in the body": (then(HEAD + b"Content-Length: 20\r\n\r\n" + BODY[:7], "reset"), "connection_error"),
    "only 100 Continue": (then(b"HTTP/1.1 100 Continue\r\n\r\n"), "connection_error"),
    "no HTTP": (then(b"220 smtp.example ESMTP\r\n"), "connection_error"),
    "TLS where none is wanted": (then(b"\x15\x03\x01\x00\x02\x02\x16"), "connection_error"),
    "switching protocols": (
        then(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        "connection_error",
    ),
    "two lengths": (then(HEAD + b"Content-Length: 20\r\nContent-Length: 3\r\n\r\n" + BODY), "connection_error"),
    "length and chunks": (
        then(HEAD + b"Content-Length: 20\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "connection_error",
    ),
}


@pytest.mark.parametrize("form", NO_ANSWERS)
def test_what_is_no_answer_is_one_error_and_is_never_sent_again(form: str) -> None:
    """Each way to fail after the send gives one outcome, says that the chat may exist, and costs one request."""
    script, outcome = NO_ANSWERS[form]
    reply, requests = start_once(script)
    assert (reply.outcome, reply.status, reply.contact_id) == (outcome, 0, None)
    assert reply.may_have_started
    assert reply.message
    assert requests == 1


@pytest.mark.parametrize(
    "script",
    [then("hold"), then(HEAD, "hold"), then(HEAD + b"Content-Length: 20\r\n\r\n" + BODY[:3], "hold")],
    ids=["no answer", "half a head", "half a body"],
)
def test_a_stalled_server_is_a_timeout(script: Script) -> None:
    """A server that stops talking costs the time allowed and is a timeout, whose chat may exist."""
    reply, requests = start_once(script, SHORT)
    assert reply.outcome == "timeout"
    assert reply.may_have_started
    assert reply.received - reply.sent >= SHORT * 0.99
    assert requests == 1


def test_a_slow_drip_does_not_extend_the_time_allowed() -> None:
    """Bytes that trickle in without end do not keep a call alive."""

    def drip(peer: Peer) -> None:
        peer.request()
        peer.send(HEAD)
        while not peer.server.over.wait(0.01):
            peer.send(b"X-Drip: 1\r\n")

    reply, _ = start_once(drip, SHORT)
    assert reply.outcome == "timeout"


def test_an_endless_answer_is_given_up() -> None:
    """An answer over the limit is an error, not a memory that fills up."""

    def flood(peer: Peer) -> None:
        peer.request()
        peer.send(HEAD + b"\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.send(bytes(1 << 20))

    reply, _ = start_once(flood)
    assert reply.outcome == "connection_error"
    assert str(MAX_ANSWER_BYTES) in reply.message


def test_a_refusal_before_the_whole_request_was_read_counts() -> None:
    """A server may answer and close while the body is still on its way: its answer is the outcome, not the broken pipe."""
    refusal = answer(413, b'{"message": "too large"}', "Connection: close")

    def early(peer: Peer) -> None:
        peer.sock.recv(64)
        peer.send(refusal)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.until_closed()

    with serving(early) as server, pool_for(server.url) as pool:
        reply = client_of(pool).start_chat(bytes(30_000_000))
    assert (reply.outcome, reply.status) == ("invalid_request", 413)


def test_a_large_request_to_a_slow_reader_goes_out_whole() -> None:
    """A body larger than every buffer on the way is sent to its last byte."""
    body = bytes(range(256)) * 40_000
    with serving(answering(STARTED)) as server, pool_for(server.url) as pool:
        assert client_of(pool).start_chat(body).outcome == "started"
    assert server.requests[0].endswith(b"\r\n\r\n" + body)


def test_a_reader_that_stops_is_a_timeout() -> None:
    """A server that never reads the body cannot hold the call for ever."""
    with serving(Peer.hold) as server, pool_for(server.url, SHORT) as pool:
        reply = client_of(pool).start_chat(bytes(30_000_000))
    assert reply.outcome == "timeout"


def test_connections_are_kept_and_used_again() -> None:
    """Calls one after another take one connection."""
    with serving(answering(STARTED)) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        assert {client.start_chat(b"{}").outcome for _ in range(50)} == {"started"}
    assert (server.connections, len(server.requests), pool.opened) == (1, 50, 1)


def test_after_reconnecting_calls_take_new_connections() -> None:
    """Connections that are idle are closed, and the next call opens one, which is kept again."""
    with serving(answering(STARTED)) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        for _ in range(2):
            assert {client.start_chat(b"{}").outcome for _ in range(3)} == {"started"}
            client.reconnect()
    assert (server.connections, len(server.requests), pool.opened) == (2, 6, 2)


@pytest.mark.parametrize("how", ["close", "reset", "unasked bytes"])
def test_a_kept_connection_that_died_is_found_out_before_the_send(how: str) -> None:
    """What the server did to an idle connection never costs a call, which goes out once, on a new connection."""
    gone = gevent.get_hub().loop.async_()
    done = gevent.event.Event()
    gone.start(done.set)

    def die(peer: Peer) -> None:
        peer.request()
        peer.send(STARTED)
        peer.leave(how)
        gone.send()
        peer.hold()

    with serving(die, answering(STARTED)) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        first = client.start_chat(b"{}")
        assert done.wait(PATIENCE)
        second = client.start_chat(b"{}")
    assert (first.outcome, second.outcome) == ("started", "started")
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_dies_under_a_call_is_an_error_sent_once() -> None:
    """A keep-alive connection that is reset as the second request arrives is one error; the request is not sent again."""

    def second_is_fatal(peer: Peer) -> None:
        peer.request()
        peer.send(STARTED)
        peer.request()
        peer.reset()

    with serving(second_is_fatal, answering(STARTED)) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        outcomes = [client.start_chat(b"{}").outcome for _ in range(3)]
    assert outcomes == ["started", "connection_error", "started"]
    assert len(server.requests) == 3


@pytest.mark.slow
def test_a_thousand_calls_are_in_flight_at_once() -> None:
    """A thousand calls wait at the same time, each for its own answer on a connection of its own."""
    calls = 1000
    all_here = gevent.event.Event()
    arrived = gevent.get_hub().loop.async_()
    arrived.start(all_here.set)

    def echo_when_told(peer: Peer) -> None:
        body = peer.request().rpartition(b"\r\n\r\n")[2]
        if len(peer.server.requests) == calls:
            arrived.send()
        peer.hold()
        peer.send(answer(200, b'{"ContactId": "%b"}' % body))

    with serving(echo_when_told) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        waiting = [gevent.spawn(client.start_chat, b"%d" % n) for n in range(calls)]
        assert all_here.wait(PATIENCE)
        server.over.set()
        gevent.joinall(waiting, timeout=PATIENCE)
        assert [greenlet.value.contact_id for greenlet in waiting] == [str(n) for n in range(calls)]
        assert pool.opened == calls


def test_a_killed_call_leaves_no_connection_behind_for_others() -> None:
    """A greenlet that is killed on the wire takes its connection with it, so that nobody reads its answer."""

    def slow_first(peer: Peer) -> None:
        peer.request()
        peer.hold()

    with serving(slow_first, answering(answer(200, b'{"ContactId": "mine"}'))) as server, pool_for(server.url) as pool:
        client = client_of(pool)
        killed = gevent.spawn(client.start_chat, b"1")
        while not server.requests:
            gevent.sleep(0)
        killed.kill()
        assert client.start_chat(b"2").contact_id == "mine"


def test_nobody_listening_is_a_connection_error_without_a_send() -> None:
    """A refused connection says so, and that no chat can exist."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pool_for(f"http://127.0.0.1:{unused.getsockname()[1]}") as pool:
            reply = client_of(pool).start_chat(b"{}")
    assert reply.outcome == "connection_error"
    assert "refused" in reply.message
    assert not reply.may_have_started


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'x' * 70}.invalid"])
def test_a_name_that_does_not_resolve_is_a_connection_error_without_a_send(host: str) -> None:
    """DNS failures are told as such."""
    with pool_for(f"http://{host}:80") as pool:
        reply = client_of(pool).start_chat(b"{}")
    assert reply.outcome == "connection_error"
    assert reply.message.startswith("cannot connect")
    assert not reply.may_have_started


def test_a_connection_that_is_not_accepted_in_time_is_a_timeout_without_a_send() -> None:
    """A connect that goes nowhere ends in the time allowed, and no chat can exist."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as queue:
            for _ in range(4):  # fill the queue of connections that wait to be accepted
                filler = queue.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            with pool_for(f"http://127.0.0.1:{full.getsockname()[1]}", SHORT) as pool:
                reply = client_of(pool).start_chat(b"{}")
    assert reply.outcome == "timeout"
    assert not reply.may_have_started


def test_an_ipv6_host_is_called() -> None:
    """A literal IPv6 endpoint works and keeps its brackets in the Host header."""
    try:
        with serving(answering(STARTED), ipv6=True) as server, pool_for(server.url) as pool:
            assert client_of(pool).start_chat(b"{}").outcome == "started"
            assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.requests[0]
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_the_pool_says_when_nothing_was_sent() -> None:
    """The raw layer tells the same: `after_send` of a failed connect is False, of a cut answer True."""
    with serving(then(HEAD)) as server, pool_for(server.url) as pool:
        connection = pool.acquire()
        with pytest.raises(WireError, match="middle of an answer") as cut:
            connection.exchange(REQUEST)
        assert cut.value.after_send
        assert not connection.reusable
        pool.release(connection)
        assert not connection.is_idle()
    with pool_for(server.url, SHORT) as pool, pytest.raises(WireError) as refused:
        pool.acquire()
    assert not refused.value.after_send
    assert not isinstance(refused.value, WireTimeout)
