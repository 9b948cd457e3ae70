"""The emulator as a process: how it starts and ends, its connections, faults on the wire, time that runs faster."""

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
import websocket

from tests.harness.emulator.support import Running, running

UNSIGNED = "sigv4=off,rate=inf,active_chats=100000"


def request(where: dict[str, str], **members: Any) -> bytes:
    """A raw StartChatContact call."""
    body = json.dumps(
        {
            "InstanceId": where["instance_id"],
            "ContactFlowId": where["contact_flow_id"],
            "ParticipantDetails": {"DisplayName": "x"},
            **members,
        }
    ).encode()
    return b"PUT /contact/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def call(emulator: Running, path: str, method: str = "GET", body: Any = None, **headers: str) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(emulator.endpoint + path, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed


def start(emulator: Running, **members: Any) -> dict[str, Any]:
    body = json.loads(request(emulator.where, **members).partition(b"\r\n\r\n")[2])
    return call(emulator, "/contact/chat", "PUT", body, **{"Content-Type": "application/json"})


def counts(emulator: Running) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = call(emulator, "/_emulator/state")["counts"]
    return counted


def receive(connection: socket.socket, answers: int) -> bytes:
    received = b""
    while received.count(b"ParticipantToken") < answers:
        piece = connection.recv(65536)
        assert piece, "closed too early"
        received += piece
    return received


@pytest.mark.parametrize("how", ["eof", signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ends_orderly(how: str | signal.Signals) -> None:
    """It exits with 0 on each of these signals and, with --lifeline, at the end of its standard input, and says nothing."""
    with running("rate=5") as emulator, socket.create_connection(("127.0.0.1", emulator.port)):
        assert emulator.process.stdin is not None
        if isinstance(how, signal.Signals):
            emulator.process.send_signal(how)
        else:
            emulator.process.stdin.close()
        assert emulator.process.wait(10) == 0


def test_killed_parent_leaves_no_emulator() -> None:
    """The emulator of a parent that is killed ends, as its standard input does."""
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'harness.emulator', '--lifeline'], stdin=subprocess.PIPE)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    parent.kill()
    # The pipe ends when the last process that writes to it has gone: the emulator.
    assert parent.stdout.read() == ""
    parent.wait(10)
    parent.stdout.close()


def test_line_of_json_says_where_it_is() -> None:
    """The line on standard output names all that a client needs; the address is loopback's."""
    with running("region=eu-west-2") as emulator:
        names = {"endpoint", "participant_endpoint", "region", "instance_id", "contact_flow_id"}
        assert set(emulator.where) == {*names, "access_key_id", "secret_access_key"}
        assert emulator.where["region"] == "eu-west-2"
        assert emulator.endpoint.startswith("http://127.0.0.1:")


def test_says_what_it_is_in_a_header() -> None:
    """Each answer's server header says that this is not AWS."""
    with running() as emulator, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(emulator.endpoint + "/", timeout=10)
    assert caught.value.headers["server"].startswith("chatquota-emulator/")
    assert "not AWS" in caught.value.headers["server"]
    caught.value.close()


def test_pipelined_and_fragmented_calls_are_answered_in_order() -> None:
    """Calls sent in one piece, and one sent byte by byte, on one connection: one answer each, in order."""
    with (
        running(UNSIGNED) as emulator,
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        page = b"GET /_emulator/state HTTP/1.1\r\nHost: x\r\n\r\n"
        one = request(emulator.where, ConnectionTypes=["WEBSOCKET"])
        connection.sendall(one * 3 + page + one * 2)
        received = receive(connection, 5)
        assert received.count(b"HTTP/1.1 200") == 6
        # The page stands between the third and the fourth chat: it was answered in its turn.
        assert received.split(b'"counts"')[0].count(b"ParticipantToken") == 3
        for byte in one:
            connection.sendall(bytes([byte]))
        receive(connection, 1)
        assert counts(emulator)["StartChatContact"] == {"ok": 6}


def test_a_thousand_connections_at_once() -> None:
    """A thousand open connections each get their answer, and stay usable."""
    with running(UNSIGNED) as emulator:
        connections = [socket.create_connection(("127.0.0.1", emulator.port), timeout=20) for _ in range(1000)]
        try:
            for _ in range(2):
                for connection in connections:
                    connection.sendall(request(emulator.where))
                for connection in connections:
                    receive(connection, 1)
        finally:
            for connection in connections:
                connection.close()
        assert counts(emulator)["StartChatContact"] == {"ok": 2000}


def test_old_http_closes_its_connection() -> None:
    """An HTTP/1.0 call is answered and its connection closed, as is one with `Connection: close`."""
    with running(UNSIGNED) as emulator:
        old = request(emulator.where).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        last = request(emulator.where).replace(b"Host: x", b"Host: x\r\nConnection: close", 1)
        for raw in (old, last):
            with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
                connection.sendall(raw)
                received = b""
                while piece := connection.recv(65536):
                    received += piece
                assert b"ParticipantToken" in received
                assert b"connection: close" in received


@pytest.mark.parametrize(
    ("fault", "when", "started"),
    [
        ("500", "before", 0),
        ("503", "after", 5),
        ("reset", "before", 0),
        ("reset", "after", 5),
        ("stall", "after", 5),
        ("garbage", "before", 0),
    ],
)
def test_faults_come_before_or_after_the_effect(fault: str, when: str, started: int) -> None:
    """Each fault is seen on the wire, and whether the call had its effect is what fault_when says."""
    spec = f"{UNSIGNED},fault_{fault}=1,fault_when={when},stall=20ms,fault_operations=StartChatContact"
    with running(spec) as emulator:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
                connection.sendall(request(emulator.where))
                if fault == "stall":
                    assert connection.recv(65536) == b""
                elif fault == "reset":
                    with pytest.raises(ConnectionResetError):
                        connection.recv(65536)
                else:
                    received = connection.recv(65536)
                    status = b"200" if fault == "garbage" else fault.encode()
                    assert received.startswith(b"HTTP/1.1 " + status)
        assert call(emulator, "/_emulator/state")["open_chats"] == started
        assert counts(emulator)["StartChatContact"] == {f"fault_{fault}": 5}  # one call is counted once


@pytest.mark.slow
def test_clock_runs_faster_than_real_time() -> None:
    """With --time-scale a websocket hears its chat expire, and a chat that nobody connects to ends after 300 seconds."""
    with running(f"{UNSIGNED},chat_duration=400s", arguments=("--time-scale", "200")) as emulator:
        unconnected = start(emulator)["ContactId"]
        started = start(emulator, ConnectionTypes=["WEBSOCKET"])
        customer = websocket.create_connection(started["Websocket"]["Url"], timeout=60)
        customer.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
        frames = [json.loads(customer.recv()) for _ in range(3)]
        customer.close()
        assert json.loads(frames[-1]["content"])["ContentType"].endswith("chat.ended")
        instance = emulator.where["instance_id"]
        for contact_id, reason, length in (
            (started["ContactId"], "EXPIRED", 400),
            (unconnected, "CUSTOMER_CONNECTION_NOT_ESTABLISHED", 300),
        ):
            contact = call(emulator, f"/contacts/{instance}/{contact_id}")["Contact"]
            assert contact["DisconnectReason"] == reason
            assert contact["DisconnectTimestamp"] - contact["InitiationTimestamp"] == pytest.approx(length)


def test_somebody_may_speak_for_the_agent_and_leave() -> None:
    """What is posted under /_emulator/ reaches the customer's websocket as the agent's: a message, and the end."""
    with running(UNSIGNED) as emulator:
        started = start(emulator, ConnectionTypes=["WEBSOCKET"])
        customer = websocket.create_connection(started["Websocket"]["Url"], timeout=10)
        path = f"/_emulator/chats/{started['ContactId']}/messages"
        call(emulator, path, "POST", {"Content": "How can I help?"})
        customer.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
        frames = [json.loads(customer.recv()) for _ in range(2)]
        call(emulator, path.replace("messages", "end"), "POST", {"DisconnectReason": "IDLE_DISCONNECT"})
        ended = [json.loads(json.loads(customer.recv())["content"])["ContentType"] for _ in range(2)]
        assert ended[1].endswith("chat.ended")
        customer.close()
        contact = call(emulator, f"/contacts/{emulator.where['instance_id']}/{started['ContactId']}")["Contact"]
        assert contact["DisconnectReason"] == "IDLE_DISCONNECT"
        item = json.loads(frames[1]["content"])
        assert (item["Content"], item["ParticipantRole"]) == ("How can I help?", "AGENT")
        for wrong, body in ((path, {"Content": 5}), (path, []), ("/_emulator/chats/nobody/messages", {})):
            with pytest.raises(urllib.error.HTTPError) as caught:
                call(emulator, wrong, "POST", body)
            assert caught.value.code in (400, 404)
            caught.value.close()


@pytest.mark.parametrize("settings", ["", "latency=1ms"])
@pytest.mark.parametrize("path", ["/participant/message", "/contact/chat"])
def test_preflight_allows_each_header_by_name_once(settings: str, path: str) -> None:
    """A preflight has one allowed origin and names every header that AWS's clients send, delays or not."""
    with (
        running(settings) as emulator,
        urllib.request.urlopen(
            urllib.request.Request(emulator.endpoint + path, method="OPTIONS"), timeout=10
        ) as answer,
    ):
        assert answer.headers.get_all("access-control-allow-origin") == ["*"]
        allowed = answer.headers["access-control-allow-headers"].lower().split(",")
        assert {"authorization", "content-type", "x-amz-bearer", "x-amz-date", "amz-sdk-request"} <= set(allowed)
        assert "*" not in allowed


@pytest.mark.parametrize("settings", ["", "latency=1ms"])
def test_every_answer_has_the_headers_of_the_gateway(settings: str) -> None:
    """Answers of both services may be read by a page, and carry the ids of API Gateway and of X-Ray."""
    with running(f"{UNSIGNED},{settings}") as emulator:
        for path in ("/participant/message", "/contact/chat", "/nothing"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                call(emulator, path, "PUT", {})
            headers = caught.value.headers
            assert headers.get_all("access-control-allow-origin") == ["*"]
            assert headers["x-amz-apigw-id"].endswith("=")
            assert headers["x-amzn-trace-id"].startswith("Root=1-")
            caught.value.close()


@pytest.mark.parametrize("settings", ["", "latency=1ms"])
def test_upgrade_to_http2_is_ignored(settings: str) -> None:
    """A call that offers h2c, as Java's HttpClient does, is answered in HTTP/1.1, and so is the next one."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    with (
        running(f"{UNSIGNED},{settings}") as emulator,
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        one = request(emulator.where).replace(b"Host: x\r\n", b"Host: x\r\n" + offer)
        for _ in range(2):
            connection.sendall(one)
            assert receive(connection, 1).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /_emulator/state HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"])
def test_call_without_exactly_one_host_is_a_bad_request(hosts: bytes) -> None:
    """HTTP/1.1 wants one Host header."""
    with (
        running(UNSIGNED) as emulator,
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        connection.sendall(request(emulator.where).replace(b"Host: x\r\n", hosts))
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("sent", [b"", b"PUT /contact/chat HTTP/1.1\r\nX: " + b"y" * 70_000])
def test_connection_that_sends_no_whole_request_is_closed(sent: bytes) -> None:
    """A connection that stays silent is closed after arrival_timeout; headers beyond 64 KiB are refused."""
    with (
        running(f"{UNSIGNED},arrival_timeout=100ms") as emulator,
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        connection.sendall(sent)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 431") if sent else answer == b""


def subscribed(url: str) -> websocket.WebSocket:
    customer = websocket.create_connection(url, timeout=10)
    customer.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
    customer.recv()
    return customer


def heard(customer: websocket.WebSocket) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(json.loads(customer.recv())["content"])
    return item


@pytest.mark.parametrize("starts", ["contact", "connection"])
def test_greeting_with_a_comma_is_heard_on_the_websocket(starts: str) -> None:
    """What the flow says at the start reaches the first websocket that subscribes, once, and the transcript."""
    with running(f'{UNSIGNED},greeting="Hello, friend",starts_flow={starts}') as emulator:
        started = start(emulator, ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"])
        customer = subscribed(started["Websocket"]["Url"])
        item = heard(customer)
        assert (item["Content"], item["ParticipantRole"]) == ("Hello, friend", "SYSTEM")
        bearer = {
            "X-Amz-Bearer": started["ConnectionCredentials"]["ConnectionToken"],
            "Content-Type": "application/json",
        }
        said = {"ContentType": "text/plain", "Content": "hi"}
        call(emulator, "/participant/message", "POST", said, **bearer)
        assert heard(customer)["Content"] == "hi"
        transcript = call(emulator, "/participant/transcript", "POST", {}, **bearer)["Transcript"]
        assert [one.get("Content") for one in transcript] == ["hi", "Hello, friend", None]
        customer.close()


def test_receipts_reach_the_websocket_and_the_transcript() -> None:
    """An agent's read receipt is a message.metadata frame, and metadata of the message in the transcript."""
    with running(UNSIGNED) as emulator:
        started = start(emulator, ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"])
        customer = subscribed(started["Websocket"]["Url"])
        bearer = {
            "X-Amz-Bearer": started["ConnectionCredentials"]["ConnectionToken"],
            "Content-Type": "application/json",
        }
        said = {"ContentType": "text/plain", "Content": "hi"}
        sent = call(emulator, "/participant/message", "POST", said, **bearer)
        heard(customer)
        event = "application/vnd.amazonaws.connect.event.message."
        receipt = {"ContentType": f"{event}read", "Content": json.dumps({"messageId": sent["Id"]})}
        agent = call(emulator, f"/_emulator/chats/{started['ContactId']}/messages", "POST", receipt)
        frame = heard(customer)
        assert (frame["ContentType"], frame["Type"]) == (f"{event}metadata", "MESSAGEMETADATA")
        metadata = frame["MessageMetadata"]
        assert metadata["MessageId"] == sent["Id"]
        assert metadata["Receipts"][0]["RecipientParticipantId"] == agent["ParticipantId"]
        assert metadata["Receipts"][0]["ReadTimestamp"]
        transcript = call(emulator, "/participant/transcript", "POST", {}, **bearer)["Transcript"]
        assert transcript[0]["MessageMetadata"] == metadata
        customer.close()


@pytest.mark.slow
def test_throttles_are_answered_faster_than_admissions() -> None:
    """With throttle_latency a refused call is back long before an admitted one, on the same latency."""
    with running(f"{UNSIGNED},latency=1s,throttle_latency=1ms,rate=0.001,burst=1") as emulator:
        order: list[str] = []

        def ask() -> None:
            try:
                start(emulator)
                order.append("admitted")
            except urllib.error.HTTPError as refused:
                order.append(str(refused.code))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert order == ["429", "429", "admitted"]


def test_state_shows_limits_counts_and_chats_without_the_secret() -> None:
    """The state page has limits, counts and open chats, and no secret key."""
    with running(f"{UNSIGNED},held=2") as emulator:
        started = start(emulator)
        state = call(emulator, "/_emulator/state")
        assert [chat["contact_id"] for chat in state["chats"]] == [started["ContactId"]]
        (instance,) = state["instances"].values()
        assert instance == {"active_chats": 3, "quota": 100000, "held_by_others": 2}
        assert state["limits"]["StopContact"] == {"rate": 10, "burst": 15, "scope": "account"}
        assert emulator.where["secret_access_key"] not in json.dumps(state)
