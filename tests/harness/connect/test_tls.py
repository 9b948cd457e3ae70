"""TLS: certificates are checked, kept connections stay usable, and each failure is told before anything is sent."""

import datetime
import ssl
from pathlib import Path

import gevent
import pytest

from harness.connect.client import ConnectClient, Reply
from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.connect.wire import Endpoint, Pool
from tests.support.certificates import Authority
from tests.support.scripted_server import PATIENCE, STARTED, Peer, answering, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def client_to(url: str, context: ssl.SSLContext | None, timeout: float = PATIENCE) -> ConnectClient:
    pool = Pool(Endpoint.parse(url), timeout, context)
    return ConnectClient(pool, "us-east-1", lambda: Credentials("AKID", "secret"), "test")


def start(url: str, context: ssl.SSLContext | None, timeout: float = PATIENCE) -> Reply:
    return client_to(url, context, timeout).start_chat(b"{}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_trusted_server_is_called_on_one_connection(authority: Authority, version: ssl.TLSVersion) -> None:
    """Handshake once, then keep-alive: session tickets of TLS 1.3 do not pass for a dead connection."""
    context = authority.server("127.0.0.1")
    context.minimum_version = context.maximum_version = version
    with serving(answering(STARTED), context=context) as server:
        client = client_to(server.url, authority.trusted())
        outcomes = []
        for _ in range(20):
            outcomes.append(client.start_chat(b"{}").outcome)
            gevent.sleep(0)
    assert outcomes == ["started"] * 20
    assert server.connections == 1


def test_a_large_body_passes_through_tls(authority: Authority) -> None:
    """A request of many records, larger than any buffer, arrives whole."""
    body = bytes(range(256)) * 20_000
    with serving(answering(STARTED), context=authority.server("127.0.0.1")) as server:
        assert client_to(server.url, authority.trusted()).start_chat(body).outcome == "started"
    assert server.requests[0].endswith(body)


@pytest.mark.parametrize("name", ["127.0.0.2", "connect.us-east-1.amazonaws.com"])
def test_a_certificate_for_another_host_is_refused(authority: Authority, name: str) -> None:
    """A server that cannot prove its name gets no request."""
    with serving(answering(STARTED), context=authority.server(name)) as server:
        reply = start(server.url, authority.trusted())
    assert (reply.outcome, reply.may_have_started) == ("connection_error", False)
    assert "certificate not trusted" in reply.message
    assert server.requests == []


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    """The reason is told in words."""
    old = authority.server("127.0.0.1", until=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
    with serving(answering(STARTED), context=old) as server:
        reply = start(server.url, authority.trusted())
    assert reply.outcome == "connection_error"
    assert "expired" in reply.message


def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    """Without the bundle, the machine's own authorities decide."""
    with serving(answering(STARTED), context=authority.server("127.0.0.1")) as server:
        reply = start(server.url, None)
    assert (reply.outcome, server.requests) == ("connection_error", [])


def test_the_ca_bundle_of_the_target_is_trusted(authority: Authority, tmp_path: Path) -> None:
    """A target's `ca_bundle` (AWS_CA_BUNDLE, ca_bundle of a profile) makes its authority known."""
    with serving(answering(STARTED), context=authority.server("127.0.0.1")) as server:
        credentials = Credentials("AKID", "secret")
        target = Target(
            server.url, server.url, "us-east-1", "i", "f", lambda: credentials, ca_bundle=str(authority.bundle)
        )
        assert target.client("test", PATIENCE).start_chat(b"{}").outcome == "started"


def test_plain_http_behind_https_is_a_connection_error(authority: Authority) -> None:
    """A server that does not speak TLS is told apart before anything is sent, and the URL to write is named."""

    def plain(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(plain) as server:
        reply = start(server.url.replace("http:", "https:"), authority.trusted())
    assert (reply.outcome, reply.may_have_started) == ("connection_error", False)
    authority_of_server = server.url.removeprefix("http://")
    assert reply.message == f"{authority_of_server} speaks http: write http://{authority_of_server}"


def test_a_handshake_that_stalls_is_a_timeout(authority: Authority) -> None:
    """A handshake has the same time as an answer, and no chat can exist."""
    with serving(Peer.hold) as server:
        reply = start(server.url.replace("http:", "https:"), authority.trusted(), 0.2)
    assert (reply.outcome, reply.may_have_started) == ("timeout", False)
    assert "handshake" in reply.message


def test_a_close_in_the_middle_of_the_handshake_is_a_connection_error(authority: Authority) -> None:
    """A server that hangs up during the handshake is one error."""
    with serving(lambda peer: peer.sock.close()) as server:
        reply = start(server.url.replace("http:", "https:"), authority.trusted())
    assert (reply.outcome, reply.may_have_started) == ("connection_error", False)


@pytest.mark.parametrize("orderly", [True, False])
def test_a_kept_connection_that_was_closed_is_found_out_before_the_send(authority: Authority, orderly: bool) -> None:
    """With close_notify or without, an idle connection that the server closed costs no call."""
    told = gevent.event.Event()
    closed = gevent.get_hub().loop.async_()
    closed.start(told.set)

    def once(peer: Peer) -> None:
        peer.request()
        peer.send(STARTED)
        if orderly:
            assert isinstance(peer.sock, ssl.SSLSocket)
            try:
                peer.sock.settimeout(0)
                peer.sock.unwrap()
            except OSError:
                pass
        peer.sock.close()
        closed.send()

    with serving(once, answering(STARTED), context=authority.server("127.0.0.1")) as server:
        client = client_to(server.url, authority.trusted())
        first = client.start_chat(b"{}")
        assert told.wait(PATIENCE)
        second = client.start_chat(b"{}")
    assert (first.outcome, second.outcome) == ("started", "started")
    assert (server.connections, len(server.requests)) == (2, 2)


def test_an_answer_cut_off_in_tls_is_an_error(authority: Authority) -> None:
    """Half an answer is no answer under TLS either."""

    def half(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")

    with serving(half, context=authority.server("127.0.0.1")) as server:
        reply = start(server.url, authority.trusted())
    assert (reply.outcome, reply.may_have_started) == ("connection_error", True)
    assert len(server.requests) == 1
