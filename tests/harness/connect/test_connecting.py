"""What keeps a connection from being made: names, ports, addresses, and this machine's own limits; each in its time."""

import errno
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from harness.connect.client import ConnectClient, Reply
from harness.connect.signing import Credentials
from harness.connect.sockets import resolver
from harness.connect.sockets.faults import is_generator_fault
from harness.connect.wire import Endpoint, Pool, WireError
from tests.support.scripted_server import STARTED, Peer, answering, serving


def start(url: str, timeout: float = 5.0) -> Reply:
    """One chat start."""
    pool = Pool(Endpoint.parse(url), timeout)
    return ConnectClient(pool, "us-east-1", lambda: Credentials("AKID", "secret"), "test").start_chat(b"{}")


@pytest.fixture
def silent_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names are not resolved before the test is over; the names asked for."""
    over = threading.Event()
    asked: list[str] = []

    def lookup(host: str, *_: Any) -> list[Any]:
        asked.append(host)
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(resolver, "get_original", lambda *_: lookup)
    yield asked
    over.set()


def test_a_name_server_that_does_not_answer_is_a_timeout(silent_name_server: list[str]) -> None:
    """The calls end while it is still silent, nothing was sent, and calls to one host share one look-up."""
    calls = [gevent.spawn(start, "http://connect.example:80", 0.3) for _ in range(20)]
    replies = [call.get() for call in calls]
    assert {(reply.outcome, reply.may_have_started) for reply in replies} == {("timeout", False)}
    assert silent_name_server == ["connect.example"]


def test_names_are_resolved_and_each_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two addresses the first refuses and the second answers."""
    with serving(answering(STARTED)) as server:
        infos = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port)) for host in ("127.0.0.99", "127.0.0.1")
        ]
        monkeypatch.setattr(resolver, "get_original", lambda *_: lambda *_: infos)
        assert start(f"http://two.example:{server.port}").outcome == "started"


def test_connections_come_to_all_addresses_of_a_family_and_families_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolver that always gives the same order would lead all connections to one address."""
    with serving(answering(STARTED)) as one, serving(answering(STARTED)) as other, serving(answering(STARTED)) as last:
        infos = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", server.port)) for server in (one, other)]
        infos.append((socket.AF_INET6, 1, 6, "", ("::ffff:127.0.0.1", last.port)))
        monkeypatch.setattr(resolver, "get_original", lambda *_: lambda *_: infos)
        for _ in range(40):
            assert start("http://three.example:80").outcome == "started"
        reached = [server.connections for server in (one, other, last)]
    assert min(reached[:2]) > 0
    assert reached[2] == 0


def test_a_name_that_does_not_exist_says_so(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The resolver's own words are in the message, and gevent prints no traceback of its thread's."""

    def lookup(*_: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(resolver, "get_original", lambda *_: lookup)
    reply = start("http://no-such-name.example")  # a name of its own: look-ups of one name are shared
    assert (reply.outcome, reply.generator_fault) == ("connection_error", False)
    assert reply.message == "cannot connect: the name does not resolve (Name or service not known)"
    assert capfd.readouterr().err == ""


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process may open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_running_out_of_files_is_the_generators_fault() -> None:
    """No service is blamed for what this machine has run out of; a refused connection is another matter."""
    with serving(answering(STARTED)) as server:
        assert start(server.url).outcome == "started"
        with no_more_files():
            reply = start(server.url)
    assert (reply.outcome, reply.generator_fault, reply.may_have_started) == ("connection_error", True, False)
    assert "too many open files" in reply.message
    refused = start("http://127.0.0.1:1")
    assert (refused.outcome, refused.generator_fault) == ("connection_error", False)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EADDRNOTAVAIL])
def test_what_this_machine_runs_out_of(number: int) -> None:
    """Files, memory and local ports are the generator's own."""
    assert is_generator_fault(OSError(number, "out of it"))
    assert not is_generator_fault(OSError(errno.ECONNREFUSED, "refused"))
    assert not is_generator_fault(WireError("x", after_send=False))


def test_port_0_is_refused() -> None:
    """No server has it; it would become the default port in silence."""
    with pytest.raises(ValueError, match="port 0, which no server has; give a number from 1 to 65535"):
        Endpoint.parse("http://127.0.0.1:0")


def test_http_to_a_server_that_speaks_tls_names_the_url_to_write() -> None:
    """Its alert is told apart from other bytes."""

    def alert(peer: Peer) -> None:
        peer.request()
        peer.send(b"\x15\x03\x01\x00\x02\x02\x46")

    with serving(alert) as server:
        reply = start(server.url)
    assert reply.outcome == "connection_error"
    assert reply.message.endswith(f"it speaks TLS: write {server.url.replace('http', 'https')}")
