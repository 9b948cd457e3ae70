"""The usual Locust user that holds a conversation: boto3 for the calls, websocket-client for the websocket.

A client of its own for each user, or with BENCH_SHARED=1 one for all. BENCH_STAY=1: it stays in its first chat.
"""

import json
import os
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import Event
from locust import User, constant, task  # before boto3: Locust must patch the sockets first

import boto3  # isort: skip
import websocket
from botocore.config import Config

_THINKS = float(os.environ.get("BENCH_THINK", "0.5"))
_TURNS = int(os.environ.get("BENCH_TURNS", "3"))
_STAYS = os.environ.get("BENCH_STAY") == "1"
_INSTANCE, _FLOW = os.environ.get("BENCH_INSTANCE", ""), os.environ.get("BENCH_FLOW", "")
_EVENT = "application/vnd.amazonaws.connect.event."
_HEARTBEAT_EVERY = 10.0

_shared: dict[str, Any] = {}


def _client(service: str, host: str) -> Any:
    create: Any = boto3.client
    if os.environ.get("BENCH_SHARED") != "1":
        return create(service, region_name="us-east-1", endpoint_url=host)
    if service not in _shared:
        _shared[service] = create(
            service, region_name="us-east-1", endpoint_url=host, config=Config(max_pool_connections=200)
        )
    return _shared[service]


class ConversationUser(User):
    """Starts a chat, says what the harness's customers say in the same benchmark, leaves, and starts the next one."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Make the clients of this user."""
        self.connect = _client("connect", str(self.host))
        self.participant = _client("connectparticipant", str(self.host))

    @task
    def converse(self) -> None:
        """One conversation."""
        chat = self._call(
            "StartChatContact",
            lambda: self.connect.start_chat_contact(
                InstanceId=_INSTANCE, ContactFlowId=_FLOW, ParticipantDetails={"DisplayName": "Customer"}
            ),
        )
        way = self._call(
            "CreateParticipantConnection",
            lambda: self.participant.create_participant_connection(
                Type=["WEBSOCKET", "CONNECTION_CREDENTIALS"], ParticipantToken=chat["ParticipantToken"]
            ),
        )
        token = way["ConnectionCredentials"]["ConnectionToken"]
        socket = self._call("WebSocket", lambda: _Socket(way["Websocket"]["Url"]))
        try:
            self._talk(socket, token)
        finally:
            socket.close()
        self._call("DisconnectParticipant", lambda: self.participant.disconnect_participant(ConnectionToken=token))

    def _talk(self, socket: "_Socket", token: str) -> None:
        socket.wait_for_other()
        for number in range(_TURNS):
            self._call(
                "SendEvent",
                lambda: self.participant.send_event(ContentType=f"{_EVENT}typing", ConnectionToken=token),
            )
            gevent.sleep(_THINKS)
            self._call("SendMessage", partial(self._send, token, f"This is message {number}."))
            socket.wait_for_other()
        self._call("GetTranscript", lambda: self.participant.get_transcript(ConnectionToken=token, MaxResults=100))
        if _STAYS:
            gevent.sleep(3600)

    def _send(self, token: str, text: str) -> None:
        self.participant.send_message(
            ContentType="text/plain", Content=text, ConnectionToken=token, ClientToken=str(uuid.uuid4())
        )

    def _call(self, name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        failure: Exception | None = None
        try:
            return call()
        except Exception as error:
            failure = error
            raise
        finally:
            self.environment.events.request.fire(
                request_type="Connect",
                name=name,
                response_time=(time.perf_counter() - began) * 1000,
                response_length=0,
                response=None,
                context={},
                exception=failure,
            )


class _Socket:
    """A subscribed websocket with a greenlet that reads and one that sends heartbeats."""

    def __init__(self, url: str) -> None:
        self._socket: Any = websocket.create_connection(url, timeout=60)
        self._heard = Event()
        self._send("aws/subscribe", {"topics": ["aws/chat"]})
        self._greenlets = [gevent.spawn(self._read), gevent.spawn(self._beat)]

    def wait_for_other(self) -> None:
        """Wait for the next message of another participant. Raises TimeoutError."""
        if not self._heard.wait(30):
            raise TimeoutError("nobody answered")
        self._heard.clear()

    def close(self) -> None:
        """Close it."""
        gevent.killall(self._greenlets)
        self._socket.close()

    def _send(self, topic: str, content: Any = None) -> None:
        self._socket.send(json.dumps({"topic": topic} if content is None else {"topic": topic, "content": content}))

    def _read(self) -> None:
        while True:
            frame = json.loads(self._socket.recv())
            if frame.get("topic") == "aws/chat":
                item = json.loads(frame["content"])
                if item.get("Type") == "MESSAGE" and item.get("ParticipantRole") != "CUSTOMER":
                    self._heard.set()

    def _beat(self) -> None:
        while True:
            self._send("aws/ping")
            self._send("aws/heartbeat")
            gevent.sleep(_HEARTBEAT_EVERY)
