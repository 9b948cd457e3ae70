"""A websocket's frames: put together from any pieces, at a cost that grows with what comes and no faster."""

import time
from itertools import pairwise

import gevent
from hypothesis import given
from hypothesis import strategies as st

from harness.connect.websocket.frames import CLOSE, MAX_MESSAGE_BYTES, PING, TEXT, Incoming
from harness.connect.websocket.participant_socket import ParticipantSocket
from harness.connect.websocket.pulse import Pulse
from tests.harness.connect.test_broken_websockets import SUBSCRIBED, accept, frame
from tests.support.scripted_server import PATIENCE, Peer, serving

CPU = 20.0
"""Seconds of CPU after which a test that would take minutes fails; it needs a fraction of one."""


def heard(pieces: list[bytes]) -> list[tuple[int, bytes]]:
    """What is told of these pieces of a stream."""
    told: list[tuple[int, bytes]] = []
    incoming, give_up = Incoming(lambda opcode, data: told.append((opcode, data))), time.process_time() + CPU
    for piece in pieces:
        incoming.feed(piece)
        assert time.process_time() < give_up
    return told


MESSAGES = st.lists(st.sampled_from([0, 1, 125, 126, 300, 65_535, 65_536, 70_000]).map(bytes), max_size=4)


@given(MESSAGES, st.lists(st.integers(0, 140_000), max_size=12), st.integers(1, 5))
def test_however_it_is_cut_the_same_is_heard(messages: list[bytes], cuts: list[int], parts: int) -> None:
    """Whole messages, messages in several frames and pings between them come out as they went in."""
    stream, expected = b"", list[tuple[int, bytes]]()
    for number, message in enumerate(messages):
        step = len(message) // parts + 1
        split = [message[at : at + step] for at in range(0, len(message), step)] or [b""]
        for index, part in enumerate(split):
            last = index == len(split) - 1
            stream += frame(part, (0x80 if last else 0) | (0 if index else TEXT))
            if number % 2 and not last:
                stream += frame(b"p", 0x80 | PING)
                expected.append((PING, b"p"))
        expected.append((TEXT, message))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert heard([stream[a:b] for a, b in pairwise(edges)]) == expected


def test_a_message_in_many_frames_is_not_copied_with_each() -> None:
    """A message of 4 MB in 200,000 frames, and one in as many pieces, cost what one of a few does."""
    size, count = 20, MAX_MESSAGE_BYTES // 20
    frames = [frame(b"x" * size, 0 if number else TEXT) for number in range(count)]
    assert heard([*frames, frame(b"", 0x80)]) == [(TEXT, b"x" * size * count)]
    whole = frame(b"y" * MAX_MESSAGE_BYTES)
    assert heard([whole[at : at + size] for at in range(0, len(whole), size)]) == [(TEXT, b"y" * MAX_MESSAGE_BYTES)]


def test_of_pings_that_come_together_the_last_is_answered() -> None:
    """A flood of pings is answered a few times, not thousands of times, and the last one is among those."""
    pongs: list[bytes] = []

    def flood(peer: Peer) -> None:
        if not accept(peer):
            return
        pings = b"".join(frame(b"%05d" % number, 0x80 | PING) for number in range(5_000))
        peer.send(pings + SUBSCRIBED)
        received = b""
        while data := peer.sock.recv(65536):
            received += data
        at = 0
        while at < len(received):
            size, key = received[at + 1] & 0x7F, received[at + 2 : at + 6]
            payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(received[at + 6 : at + 6 + size]))
            if received[at] & 0x0F not in (TEXT, CLOSE):
                pongs.append(payload)
            at += 6 + size

    with serving(flood) as server:
        socket = ParticipantSocket("c-1", lambda item, at: None, lambda lost: None, Pulse(), PATIENCE)
        assert socket.open(f"{server.url.replace('http', 'ws')}/").outcome == "ok"
        assert socket.subscribe().outcome == "ok"
        socket.close()
        while not pongs:
            gevent.sleep(0.01)
    assert len(pongs) < 500
    assert pongs[-1] == b"04999"
