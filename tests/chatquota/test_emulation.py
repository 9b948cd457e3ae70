"""The emulator from Python: `from chatquota import emulator`."""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import websocket
from botocore.exceptions import ClientError

from chatquota import Chat, Emulator, EmulatorError, emulator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with emulator(rate=50, burst=80) as service:
        yield service


@pytest.fixture
def service(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


def test_import_loads_no_locust_and_patches_nothing() -> None:
    """A test process that uses the emulator has neither Locust nor gevent in it."""
    code = (
        "import sys, socket, threading\nbefore = socket.socket, threading.Thread\n"
        "from chatquota import emulator\nwith emulator() as service:\n    service.start_chat()\n"
        "assert (socket.socket, threading.Thread) == before\n"
        "assert not {'locust', 'gevent'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_shows_what_the_application_asked_for(service: Emulator) -> None:
    """A chat has the whole request and its attributes, and is found by them."""
    started = service.start_chat("Zoë", Attributes={"topic": "orders"}, ChatDurationInMinutes=90)
    service.start_chat("Bob")
    (chat,) = service.chats(attributes={"topic": "orders"})
    assert isinstance(chat, Chat)
    assert (chat.contact_id, chat.display_name, chat.state) == (started["ContactId"], "Zoë", "open")
    assert chat.request["ChatDurationInMinutes"] == 90
    assert [each.display_name for each in service.chats()] == ["Bob", "Zoë"]


def test_speaks_for_the_agent_and_ends(service: Emulator) -> None:
    """The customer's websocket hears the agent, and the chat ends for the reason given."""
    started = service.start_chat()
    connection = service.participant().create_participant_connection(
        Type=["WEBSOCKET", "CONNECTION_CREDENTIALS"], ParticipantToken=started["ParticipantToken"]
    )
    customer = websocket.create_connection(connection["Websocket"]["Url"], timeout=10)
    customer.send(json.dumps({"topic": "aws/subscribe", "content": {"topics": ["aws/chat"]}}))
    (chat,) = service.chats(until="connected")
    service.say(chat.contact_id, "How can I help?", name="Ann")
    customer.recv()
    item = json.loads(json.loads(customer.recv())["content"])
    assert (item["Content"], item["DisplayName"], item["ParticipantRole"]) == ("How can I help?", "Ann", "AGENT")
    assert service.chat(chat.contact_id).said_by("AGENT") == ["How can I help?"]
    service.end(chat.contact_id, "THIRD_PARTY_DISCONNECT")
    assert service.chat(chat.contact_id, until="ended").disconnect_reason == "THIRD_PARTY_DISCONNECT"
    customer.close()


def test_waits_for_what_has_not_happened_yet(service: Emulator) -> None:
    """`until` returns when a chat comes that is so; otherwise TimeoutError tells how things stand."""
    with pytest.raises(TimeoutError, match=r"no chat is 'connected' within 0\.1 s"):
        service.chats(until="connected", timeout=0.1)
    waiting: list[list[Chat]] = []
    thread = threading.Thread(target=lambda: waiting.append(service.chats(until="started", timeout=30)))
    thread.start()
    contact = service.start_chat()["ContactId"]
    thread.join(30)
    assert [chat.contact_id for chat in waiting[0]] == [contact]
    service.say(contact, "hi")
    with pytest.raises(
        TimeoutError, match=r"not 'message=bye' within 0\.1 s; the chat is open, its messages: \['hi'\]"
    ):
        service.chat(contact, until="message=bye", timeout=0.1)


def test_settings_change_while_chats_go_on(service: Emulator) -> None:
    """A quota that is lowered refuses the next chat; a reset goes back to the settings of the start."""
    service.start_chat()
    service.settings(active_chats=1, StopContact_rate=3)
    assert service.state()["limits"]["StopContact"]["rate"] == 3
    with pytest.raises(ClientError, match="LimitExceededException"):
        service.start_chat()
    service.reset()
    assert service.chats() == []
    assert service.state()["limits"]["StopContact"]["rate"] == 10
    service.start_chat()


def test_flow_changes_for_the_chats_to_come(service: Emulator) -> None:
    """A chat stays in the flow in which it began; a later one is greeted by the new flow."""
    service.reset(flow={"rules": [{"on": "start", "steps": [{"say": 'He said "one", two'}]}]})
    first = service.start_chat()["ContactId"]
    service.settings(flow={"rules": [{"on": "start", "steps": [{"say": "two"}]}]})
    second = service.start_chat()["ContactId"]
    assert service.chat(first, until="messages=1").said_by("SYSTEM") == ['He said "one", two']
    assert service.chat(second, until="messages=1").said_by("SYSTEM") == ["two"]


def test_time_passes_at_once_and_starts_again_with_a_reset(service: Emulator) -> None:
    """`advance` takes seconds, a timedelta or a text; a reset takes back what was advanced."""
    contact = service.start_chat()["ContactId"]
    service.advance("4m")
    assert service.chat(contact).state == "open"
    service.advance(timedelta(seconds=30))
    service.advance(30)
    assert service.chat(contact).disconnect_reason == "CUSTOMER_CONNECTION_NOT_ESTABLISHED"
    service.reset()
    assert service.state()["now_s"] < 60
    service.advance(timedelta(days=12, seconds=1))
    assert service.state()["now_s"] >= 12 * 86400 + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rat": 5}, "no setting 'rat'; did you mean 'rate'?"),
        ({"latency": "soon"}, "latency=soon: wants a duration such as 250ms"),
        ({"flow": {"rules": [{"on": "start", "steps": []}]}}, r"rule 1 \(on start\): has no steps"),
        ({"flow": "/nowhere/flow.toml"}, "flow=/nowhere/flow.toml: cannot read it: No such file"),
    ],
)
def test_refuses_a_mistake_in_one_line(service: Emulator, settings: dict[str, Any], message: str) -> None:
    """A wrong setting is an EmulatorError with the emulator's own words, at the start and later."""
    with pytest.raises(EmulatorError, match=message), emulator(**settings):
        pass
    with pytest.raises(EmulatorError, match=message):
        service.settings(**settings)


def test_says_which_settings_cannot_change(service: Emulator) -> None:
    """Settings that clients were told at the start want another emulator, some others a reset."""
    with pytest.raises(EmulatorError, match="region cannot change while the emulator runs; start another emulator"):
        service.reset(region="eu-west-2")
    with pytest.raises(EmulatorError, match="seed cannot change while the emulator runs; give it to a reset"):
        service.settings(seed=3)
    service.reset(seed=3)


@pytest.mark.parametrize("contact", ["nobody", "a/b", "a b", "ä", "a?b#c", "a%2Fb", ".."])
def test_says_that_there_is_no_such_chat(service: Emulator, contact: str) -> None:
    """An id that is none is an EmulatorError, whatever letters it has."""
    for ask in (service.chat, service.end, lambda contact: service.say(contact, "hello")):
        with pytest.raises(EmulatorError, match=r"no such|no page"):
            ask(contact)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("hello", "markdown", "ContentType 'markdown' is none of a message; it is one of application/json, "),
        ("x" * 16_385, "text/plain", "more than 16384 bytes"),
        ("", "text/markdown", "Content is missing"),
    ],
)
def test_says_only_what_a_participant_can_say(service: Emulator, content: str, kind: str, message: str) -> None:
    """A content type that is none, and what is too long for a message, are refused; an event of any kind is not."""
    contact = service.start_chat()["ContactId"]
    with pytest.raises(EmulatorError, match=message):
        service.say(contact, content, content_type=kind)
    service.say(contact, "", content_type="application/vnd.amazonaws.connect.event.participant.joined")
    assert service.chat(contact, until="agent").messages == []


def test_says_that_a_contact_id_is_empty(service: Emulator) -> None:
    """An id that the caller forgot is told."""
    with pytest.raises(EmulatorError, match="the contact id is empty"):
        service.chat("")


def test_says_that_it_has_ended() -> None:
    """An emulator that is closed, or was killed, says so."""
    with emulator() as service:
        pass
    with pytest.raises(EmulatorError, match="has ended with exit code 0"):
        service.state()


def test_tls_serves_https_and_wss_with_its_own_certificate() -> None:
    """boto3 and a websocket client that trust its authority talk to it by name and by address."""
    with emulator(tls=True) as service:
        assert service.endpoint.startswith("https://127.0.0.1:")
        started = service.start_chat(ConnectionTypes=["WEBSOCKET"])
        url = started["Websocket"]["Url"]
        assert url.startswith("wss://")
        for host in ("127.0.0.1", "localhost"):
            customer = websocket.create_connection(
                url.replace("127.0.0.1", host), timeout=10, sslopt={"ca_certs": service.ca_bundle}
            )
            customer.close()
        assert service.environment["AWS_CA_BUNDLE"] == service.ca_bundle


def test_ends_with_its_parent() -> None:
    """The emulator of a test process that is killed ends: its port no longer answers."""
    code = (
        "import os, signal\nfrom chatquota import Emulator\nservice = Emulator()\n"
        "print(service._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        try:
            assert select.select([watch], [], [], 30)[0]
        finally:
            os.close(watch)
