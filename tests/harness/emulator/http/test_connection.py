"""The end of a connection without sockets: when answers leave, and in which order."""

import asyncio
import re

from tests.harness.emulator.fake_wire import FakeWire, on_fake_wire

CALL = b"PUT /contact/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
GARBAGE = b"\x00\r\n\r\n"


async def one_turn() -> None:
    await asyncio.sleep(0)


def statuses(sent: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", sent)


def test_answers_to_calls_that_came_at_once_leave_together() -> None:
    """Nothing is sent before each call of a turn is answered, and then all is, in the order of the calls."""

    async def use(wire: FakeWire) -> None:
        ends = [wire.connect() for _ in range(5)]
        for protocol, _ in ends:
            protocol.data_received(CALL)
        assert wire.log == []
        await one_turn()
        assert wire.log == [transport for _, transport in ends]

    on_fake_wire(use)


def test_a_full_outbox_waits_for_no_more_calls() -> None:
    """However many calls come at once, an answer waits for few others."""

    async def use(wire: FakeWire) -> None:
        ends = [wire.connect() for _ in range(40)]
        for protocol, _ in ends:
            protocol.data_received(CALL)
        assert len(wire.log) == 32
        await one_turn()
        assert wire.log == [transport for _, transport in ends]

    on_fake_wire(use)


def test_no_answer_waits_for_a_search() -> None:
    """A search looks through all chats: what was answered before is sent first."""

    async def use(wire: FakeWire) -> None:
        (first, its), (second, _) = wire.connect(), wire.connect()
        first.data_received(CALL)
        second.data_received(CALL.replace(b"PUT /contact/chat", b"POST /search-contacts"))
        assert wire.log == [its]
        await one_turn()

    on_fake_wire(use)


def test_what_waits_is_sent_before_its_connection_closes() -> None:
    """A call before one that is no HTTP is answered first, and a client that wants no more hears its answer."""

    async def use(wire: FakeWire) -> None:
        for data, expected in (
            (CALL + GARBAGE, [b"403", b"400"]),
            (CALL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), [b"403"]),
        ):
            protocol, transport = wire.connect()
            protocol.data_received(data)
            assert transport.closed
            assert statuses(transport.sent) == expected
        await one_turn()

    on_fake_wire(use)


def test_client_that_has_gone_is_sent_nothing_and_others_are() -> None:
    """Between a call and the sending of its answer the client may go."""

    async def use(wire: FakeWire) -> None:
        (gone, its), (stays, others) = wire.connect(), wire.connect()
        gone.data_received(CALL)
        stays.data_received(CALL)
        its.closed = True
        await one_turn()
        assert its.sent == b""
        assert statuses(others.sent) == [b"403"]

    on_fake_wire(use)
