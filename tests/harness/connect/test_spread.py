"""Calls of one after another meet more than one node of a service, without any of them waiting for a connection."""

import threading
from collections import Counter

import pytest

from harness.connect import wire
from harness.connect.client import ConnectClient
from harness.connect.signing import Credentials
from harness.connect.sockets import connecting
from harness.connect.target import LAB_CREDENTIALS, Target
from harness.connect.wire import SPREAD, Endpoint, Pool
from tests.support.scripted_server import PATIENCE, STARTED, Peer, answering, serving


class Nodes:
    """Two nodes, to which a balancer pins connections in turn; counts the calls that each gets."""

    def __init__(self) -> None:
        self.calls: Counter[int] = Counter()
        self._connections = 0
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        with self._lock:
            node, self._connections = self._connections % 2, self._connections + 1
        while peer.request():
            self.calls[node] += 1
            peer.send(STARTED)


def client_of(pool: Pool) -> ConnectClient:
    return ConnectClient(pool, "us-east-1", lambda: Credentials("AKID", "secret"), "test")


def test_calls_one_after_another_are_spread_over_connections() -> None:
    """Each node gets about half of the calls, over a few connections, though no two calls are on the wire together."""
    nodes = Nodes()
    with serving(nodes) as server:
        pool = Pool(Endpoint.parse(server.url), PATIENCE, spread=SPREAD)
        client = client_of(pool)
        assert {client.start_chat(b"{}").outcome for _ in range(400)} == {"started"}
        pool.close()
    assert 100 < nodes.calls[0] < 300
    assert nodes.calls.total() == 400
    assert SPREAD <= pool.opened <= SPREAD + 1


def test_the_client_of_a_run_spreads_its_calls() -> None:
    """What a run calls with is such a client."""
    nodes = Nodes()
    with serving(nodes) as server:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: LAB_CREDENTIALS)
        client = target.client("test", PATIENCE)
        for _ in range(100):
            client.start_chat(b"{}")
        client.close()
    assert len(nodes.calls) == 2


def test_calls_that_come_seldom_take_the_connection_that_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server closes connections that nobody uses: one that was used a moment ago is the surest."""
    clock = iter(float(60 * n) for n in range(10_000))
    monkeypatch.setattr(wire, "monotonic", lambda: next(clock))
    with serving(answering(STARTED)) as server:
        pool = Pool(Endpoint.parse(server.url), PATIENCE, spread=SPREAD)
        client = client_of(pool)
        for _ in range(20):
            client.start_chat(b"{}")
        pool.close()
    assert server.connections == 1


def test_a_connection_that_cannot_be_opened_beside_the_calls_harms_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no further connection is let in, all calls are answered on the first, and none is tried again for a while."""
    connect, tried = connecting.connect, list[int]()

    def only_one(host: str, port: int, seconds: float) -> object:
        tried.append(port)
        if len(tried) > 1:
            raise ConnectionRefusedError
        return connect(host, port, seconds)

    monkeypatch.setattr(wire, "connect", only_one)
    with serving(answering(STARTED)) as server:
        pool = Pool(Endpoint.parse(server.url), PATIENCE, spread=SPREAD)
        client = client_of(pool)
        assert {client.start_chat(b"{}").outcome for _ in range(50)} == {"started"}
        pool.close()
    assert len(tried) == 2
