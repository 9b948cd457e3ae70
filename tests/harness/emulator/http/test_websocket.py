"""The websocket as a client meets it: how many, how long, and the faults that the settings bring."""

import json
import time
from collections.abc import Callable

import pytest
import websocket

from tests.harness.emulator.http.test_server import UNSIGNED, call, heard, start, subscribed
from tests.harness.emulator.support import running

JSON = {"Content-Type": "application/json"}


def until(holds: Callable[[], bool], patience: float = 10.0) -> None:
    """Wait until `holds`; fail if it does not in `patience` seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_websocket_needs_its_address() -> None:
    """A websocket without a token that was handed out is refused in the handshake; a sixth one of a customer too."""
    with running(f"{UNSIGNED},CreateParticipantConnection.rate=inf") as emulator:
        with pytest.raises(websocket.WebSocketBadStatusException):
            websocket.create_connection(emulator.endpoint.replace("http", "ws") + "/participant/websocket?token=x")
        url = start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"]
        sockets = [websocket.create_connection(url, timeout=10) for _ in range(5)]
        with pytest.raises(websocket.WebSocketBadStatusException):
            websocket.create_connection(url, timeout=10)
        for one in sockets:
            one.close()


@pytest.mark.parametrize("beyond", ["refuse", "close_oldest"])
def test_one_websocket_too_many_is_refused_or_closes_the_oldest(beyond: str) -> None:
    """websockets=N:refuse refuses one more in the handshake, close_oldest closes the one that was opened first."""
    with running(f"{UNSIGNED},websockets=1:{beyond}") as emulator:
        url = start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"]
        first = subscribed(url)
        if beyond == "refuse":
            with pytest.raises(websocket.WebSocketBadStatusException):
                websocket.create_connection(url, timeout=10)
        else:
            second = subscribed(url)
            assert first.recv() == ""
            second.close()
        first.close()


@pytest.mark.slow
def test_websocket_is_closed_after_its_lifetime_and_when_idle() -> None:
    """websocket_lifetime and websocket_idle close it from the server's side; a client that pings is not idle."""
    for spec, frame in (("websocket_lifetime=200ms", '{"topic":"aws/ping"}'), ("websocket_idle=200ms", "")):
        with running(f"{UNSIGNED},{spec}") as emulator:
            customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
            if frame:
                customer.send(frame)
                assert "OK" in customer.recv()
            opcode, data = customer.recv_data()
            assert (opcode, int.from_bytes(data[:2])) == (websocket.ABNF.OPCODE_CLOSE, 1001)
            customer.close()


@pytest.mark.slow
def test_websocket_drops_or_falls_silent_and_a_new_one_hears_again() -> None:
    """websocket_drop resets the connection; websocket_half_open leaves it open and mute; messages stay in the transcript."""
    with running(f"{UNSIGNED},websocket_drop=20ms") as emulator:
        customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
        with pytest.raises((ConnectionError, websocket.WebSocketConnectionClosedException)):
            customer.recv()
        customer.close()
    with running(f"{UNSIGNED},websocket_half_open=1ms") as emulator:
        chat = start(emulator, ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"])
        customer = websocket.create_connection(chat["Websocket"]["Url"], timeout=0.3)
        for _ in range(100):  # until the fault has come
            customer.send('{"topic":"aws/ping"}')
            try:
                customer.recv()
            except websocket.WebSocketTimeoutException:
                break
        else:
            pytest.fail("it answers for ever")
        call(emulator, "/_emulator/settings", "POST", {"websocket_half_open": "never"})
        bearer = JSON | {"X-Amz-Bearer": chat["ConnectionCredentials"]["ConnectionToken"]}
        participant = JSON | {"X-Amz-Bearer": chat["ParticipantToken"]}
        connection = call(emulator, "/participant/connection", "POST", {"Type": ["WEBSOCKET"]}, **participant)
        again = subscribed(connection["Websocket"]["Url"])
        call(emulator, "/participant/message", "POST", {"ContentType": "text/plain", "Content": "hello"}, **bearer)
        assert heard(again)["Content"] == "hello"
        with pytest.raises(websocket.WebSocketTimeoutException):
            customer.recv()
        again.close()
        customer.close()


def test_messages_take_their_latency_on_the_websocket() -> None:
    """A frame waits for websocket_latency while its message is in the transcript already."""
    with running(f"{UNSIGNED},websocket_latency=60s") as emulator:
        chat = start(emulator, ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"])
        customer = subscribed(chat["Websocket"]["Url"])
        bearer = JSON | {"X-Amz-Bearer": chat["ConnectionCredentials"]["ConnectionToken"]}
        call(emulator, "/participant/message", "POST", {"ContentType": "text/plain", "Content": "hello"}, **bearer)
        customer.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            customer.recv()
        transcript = call(emulator, "/participant/transcript", "POST", {}, **bearer)["Transcript"]
        assert transcript[0]["Content"] == "hello"
        customer.close()


def test_client_that_sends_much_at_once_is_answered_frame_by_frame() -> None:
    """More pings than may wait for a slow reader, sent in one piece, are all answered."""
    with running(UNSIGNED) as emulator:
        customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
        ping = json.dumps({"topic": "aws/ping"}).encode()
        assert customer.sock is not None
        customer.sock.sendall(b"".join(bytes([0x81, 0x80 | len(ping), 0, 0, 0, 0]) + ping for _ in range(3000)))
        assert all(json.loads(customer.recv())["topic"] == "aws/ping" for _ in range(3000))


def test_long_frames_among_many_short_ones_are_answered() -> None:
    """Frames longer than what is taken apart at once, with short ones before and after them in one piece, are answered."""
    with running(UNSIGNED) as emulator:
        customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
        short, long = (
            json.dumps({"topic": topic, "x": "y" * size})
            for topic, size in (("aws/ping", 0), ("aws/heartbeat", 200_000))
        )
        frames = [short] * 300 + [long, short, long]
        assert customer.sock is not None
        text = websocket.ABNF.OPCODE_TEXT
        customer.sock.sendall(b"".join(websocket.ABNF.create_frame(one, text).format() for one in frames))
        topics = [json.loads(customer.recv())["topic"] for _ in frames]
        assert topics == [json.loads(one)["topic"] for one in frames]
        customer.close()


@pytest.mark.parametrize("spec", ["websocket_lifetime=2h", "websocket_idle=10m", "websocket_drop=10m"])
def test_websocket_lives_on_the_clock_that_a_test_advances(spec: str) -> None:
    """Hours of a websocket pass at once with the emulator's clock."""
    with running(f"{UNSIGNED},{spec}") as emulator:
        customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
        customer.send('{"topic":"aws/ping"}')
        assert "OK" in customer.recv()
        call(emulator, "/_emulator/clock", "POST", {"advance": "1d"})
        try:
            assert customer.recv() == ""  # closed
        except ConnectionError:
            assert "drop" in spec
        customer.close()


def test_idle_time_runs_as_fast_as_the_clock() -> None:
    """With --time-scale a websocket is idle after as much of the emulator's time, not of ours."""
    with running(f"{UNSIGNED},websocket_idle=20s", arguments=("--time-scale", "20")) as emulator:
        customer = subscribed(start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"])
        assert customer.recv() == ""
        customer.close()


def test_mute_websocket_that_is_idle_is_forgotten_when_its_client_leaves() -> None:
    """A half-open websocket cannot be closed for idleness, but its client can leave it."""
    with running(f"{UNSIGNED},websocket_half_open=1ms,websocket_idle=20ms") as emulator:
        chat = start(emulator, ConnectionTypes=["WEBSOCKET"])
        customer = websocket.create_connection(chat["Websocket"]["Url"], timeout=10)
        for _ in range(20):  # idle many times over
            call(emulator, "/_emulator/clock", "POST", {"advance": "1s"})
        assert customer.sock is not None
        customer.sock.close()
        page = f"/_emulator/chats/{chat['ContactId']}"
        until(lambda: call(emulator, page)["connections"]["websockets"] == 0)


@pytest.mark.parametrize("topics", ["[" * 900 + "]" * 900, '"aws/chat"', "[1, null]"])
def test_websocket_outlives_a_subscription_that_is_none(topics: str) -> None:
    """Topics that are none are refused, and the next subscription is taken."""
    with running(UNSIGNED) as emulator:
        url = start(emulator, ConnectionTypes=["WEBSOCKET"])["Websocket"]["Url"]
        customer = websocket.create_connection(url, timeout=10)
        customer.send(f'{{"topic": "aws/subscribe", "content": {{"topics": {topics}}}}}')
        assert json.loads(customer.recv())["content"] == {"status": "failure", "topics": []}
        customer.send('{"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}')
        assert json.loads(customer.recv())["content"]["status"] == "success"
        customer.close()
