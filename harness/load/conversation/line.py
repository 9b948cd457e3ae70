"""A customer's line to a chat: the connection, its websocket, and a new one when that is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

import gevent

from harness.connect.client import Reply, now
from harness.connect.participant import Connection
from harness.connect.websocket.participant_socket import ParticipantSocket
from harness.load.conversation.shared import Shared
from harness.vocabulary import CREATE_CONNECTION, OK, WEBSOCKET_OPEN, WEBSOCKET_SUBSCRIBE

CONNECT_ATTEMPTS = 6
_LONGEST_PAUSE = 20.0
_USABLE_FOR = 85.0
"""A websocket address must be opened within 100 s; AWS's own client trusts one for 85 s."""


class Customer(Protocol):
    """Whose line it is: hears each item, is asked whether all is over, waits, and records attempts."""

    def hear(self, item: dict[str, Any], at: float) -> None:
        """Take one message or event of the chat, whose frame was read at `at`."""

    def is_over(self) -> bool:
        """Tell whether the chat or the run has ended."""

    def pause(self, seconds: float) -> bool:
        """Wait; False when the chat or the run ended in the meantime."""

    def record(self, operation: str, due: float, reply: Reply) -> None:
        """Record an attempt that was due at `due`."""


class Line:
    """One line of one customer. `on_subscribed(at)` is told each time that the websocket has subscribed."""

    def __init__(
        self,
        shared: Shared,
        customer: Customer,
        reply: Reply,
        rng: random.Random,
        on_subscribed: Callable[[float], None],
    ) -> None:
        self._shared = shared
        self._customer = customer
        self._contact_id = str(reply.contact_id)
        self._participant_token = reply.participant_token
        self._rng = rng
        self._on_subscribed = on_subscribed
        self._connection: Connection | None = None
        if reply.websocket_url and reply.connection_token and not shared.client.refusal_of_address(reply.websocket_url):
            self._connection = Connection(reply.websocket_url, reply.connection_token)
        self._url_at = reply.received
        self._socket: ParticipantSocket | None = None

    @property
    def token(self) -> str:
        """The bearer token of the customer's calls."""
        return self._connection.token if self._connection else ""

    @property
    def is_open(self) -> bool:
        """Whether the websocket is open."""
        return self._socket is not None

    def connect(self) -> bool:
        """Be subscribed, as AWS's own client would: try again after a pause that doubles. False when it was no use."""
        pause = 1.0
        for attempt in range(CONNECT_ATTEMPTS):
            if attempt and not self._customer.pause(pause * self._rng.uniform(0.75, 1.25)):
                return False
            if self._customer.is_over():
                return False
            if self._attempt():
                if not self._customer.is_over():
                    return True
                self.close()  # it was opened while the end came
                return False
            pause = min(pause * 2, _LONGEST_PAUSE)
        return False

    def close(self) -> None:
        """Close the websocket, if there is one."""
        if self._socket is not None:
            self._shared.sockets.discard(self._socket)
            self._socket.close()
            self._socket = None

    def reconnect(self) -> bool:
        """Close the websocket on purpose and open another one with a new connection, as a page that is loaded again does."""
        self.close()
        self._url_at = -1e18
        self._shared.reconnects += 1
        return self.connect()

    def _attempt(self) -> bool:
        if self._connection is None or now() - self._url_at > _USABLE_FOR:
            if self._participant_token is None:
                return False  # the service answered the start without a token that could be sent
            due = now()
            reply, self._connection = self._shared.client.create_connection(self._participant_token)
            self._url_at = reply.received
            self._customer.record(CREATE_CONNECTION, due, reply)
            if self._connection is None:
                return False
        socket = ParticipantSocket(
            self._contact_id,
            self._customer.hear,
            self._lost,
            self._shared.pulse,
            self._shared.timeout,
            self._shared.ca_bundle,
            self._shared.bare_429,
        )
        due = now()
        reply = socket.open(self._connection.websocket_url)
        self._customer.record(WEBSOCKET_OPEN, due, reply)
        if reply.outcome == OK:
            self._socket = socket
            self._shared.sockets.add(socket)
            due = now()
            reply = socket.subscribe()
            self._customer.record(WEBSOCKET_SUBSCRIBE, due, reply)
        if reply.outcome != OK:
            self.close()
            self._url_at = -1e18  # an address is good for one attempt
            return False
        self._on_subscribed(reply.received)
        return True

    def _lost(self, socket: ParticipantSocket) -> None:
        self._shared.sockets.discard(socket)
        if socket is not self._socket or self._customer.is_over():
            return
        self._socket = None
        self._shared.reconnects += 1
        gevent.spawn(self.connect)


class _Tab:
    """A further tab of a customer, which hears nothing that the first has not heard."""

    def __init__(self, customer: Customer) -> None:
        self.is_over = customer.is_over
        self.pause = customer.pause
        self.record = customer.record

    def hear(self, item: dict[str, Any], at: float) -> None:
        """Do nothing."""


def further_tab(shared: Shared, customer: Customer, reply: Reply, rng: random.Random) -> Line:
    """Return the line of a further browser tab in which the customer has the chat open, with a connection of its own."""
    return Line(shared, _Tab(customer), reply.but(websocket_url=None), rng, lambda at: None)
