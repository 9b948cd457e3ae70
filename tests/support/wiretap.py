"""Stands where a pool of connections stands: keeps what would be sent, and answers what it is told to."""

from typing import Any

from harness.connect.client import ConnectClient
from harness.connect.signing import Credentials
from harness.connect.wire import Endpoint, Response


class Wiretap:
    """A pool whose one connection never leaves the process."""

    def __init__(self, endpoint: str = "http://127.0.0.1:4566") -> None:
        self.endpoint = Endpoint.parse(endpoint)
        self.sent: list[bytes] = []
        self.answer = Response(200, {}, b'{"ContactId": "c"}')
        self.sent_at = 0.0

    def client(self, credentials: Credentials, region: str = "us-east-1") -> ConnectClient:
        """A client that sends into this tap."""
        pool: Any = self
        return ConnectClient(pool, region, lambda: credentials, "test")

    def acquire(self) -> "Wiretap":
        return self

    def release(self, connection: object) -> None:
        pass

    def arrived_at(self) -> float:
        return self.sent_at

    def exchange(self, request: bytes) -> Response:
        self.sent.append(request)
        return self.answer
