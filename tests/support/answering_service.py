"""An Amazon Connect whose bot answers, slows down, and sometimes stays silent, and which logs what it did to the last chat.

Written apart from the harness and its emulator: asyncio and the standard library alone.
"""

import asyncio
import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

Writer = asyncio.StreamWriter

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_EVENT = "application/vnd.amazonaws.connect.event."


@dataclass
class ChatLog:
    """What the service did in one chat: when it greeted, and of each message when it was taken and when it was answered.

    Times are unix seconds; None is never. `open_chats` is how many were open when the message was taken.
    """

    connected: float | None = None
    greeted: float | None = None
    greets: bool = True
    taken: list[float] = field(default_factory=list)
    answered: list[float | None] = field(default_factory=list)
    open_chats: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    connections: int = 0
    typed: int = 0
    left: float | None = None


@dataclass
class Behaviour:
    """The bot answers in `seconds` up to `comfortable` open chats, and `slope` seconds later for each chat more.

    It loses each `loses`-th reply and never greets each `silent`-th chat; 0: none.
    """

    seconds: float = 0.2
    comfortable: int = 40
    slope: float = 0.05
    loses: int = 50
    silent: int = 30


class AnsweringService:
    """The service on 127.0.0.1, in a thread of its own while it is entered. `log` is by contact."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.log: dict[str, ChatLog] = {}
        self.port = 0
        self._contact_of: dict[str, str] = {}  # by token
        self._open: set[str] = set()
        self._sockets: dict[str, list[Writer]] = {}
        self._replies = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "AnsweringService":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (one.partition(":") for one in rest if one)}
                method, path, _ = line.split(" ")
                if "sec-websocket-key" in headers:
                    await self._websocket(reader, writer, path, headers)
                    return
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = self._answer(method, path, headers.get("x-amz-bearer", ""), json.loads(body or b"{}"))
                data = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, bearer: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/contact/chat":
            contact = str(uuid4())
            silent = self.behaviour.silent
            self.log[contact] = ChatLog(greets=not silent or (len(self.log) + 1) % silent != 0)
            self._open.add(contact)
            return {"ContactId": contact, "ParticipantId": str(uuid4()), "ParticipantToken": self._token(contact)}
        if path == "/contact/stop":
            self._end(body["ContactId"])
            return {}
        contact = self._contact_of.get(bearer, "")
        if path == "/participant/connection":
            self.log[contact].connections += 1
            url, expires = f"ws://127.0.0.1:{self.port}/ws/{self._token(contact)}", "2099-01-01T00:00:00.000Z"
            return {
                "Websocket": {"Url": url, "ConnectionExpiry": expires},
                "ConnectionCredentials": {"ConnectionToken": self._token(contact), "Expiry": expires},
            }
        if path == "/participant/message":
            return self._take_message(contact, body)
        if path == "/participant/event":
            self.log[contact].typed += 1
            return {"Id": str(uuid4()), "AbsoluteTime": _absolute()}
        if path == "/participant/transcript":
            return {"InitialContactId": contact, "Transcript": []}
        if path == "/participant/disconnect":
            self.log[contact].left = time.time()
            self._end(contact)
            return {}
        return {"Contact": {"Id": path.rsplit("/", 1)[-1], "DisconnectReason": "CUSTOMER_DISCONNECT"}}

    def _token(self, contact: str) -> str:
        token = str(uuid4())
        self._contact_of[token] = contact
        return token

    def _take_message(self, contact: str, body: dict[str, Any]) -> dict[str, Any]:
        log, identity = self.log[contact], str(uuid4())
        log.taken.append(time.time())
        log.answered.append(None)
        log.open_chats.append(len(self._open))
        log.words.append(body["Content"])
        self._say(contact, "CUSTOMER", body["Content"], identity, body["ContentType"])
        self._say(contact, "CUSTOM_BOT", None, None, f"{_EVENT}typing")  # an event is no answer
        self._replies += 1
        if not self.behaviour.loses or self._replies % self.behaviour.loses:
            crowd = max(0, len(self._open) - self.behaviour.comfortable)
            delay = self.behaviour.seconds + self.behaviour.slope * crowd
            self._later(delay, contact, len(log.taken) - 1, f"You said: {body['Content']}")
        return {"Id": identity, "AbsoluteTime": _absolute()}

    def _later(self, delay: float, contact: str, number: int, text: str) -> None:
        async def reply() -> None:
            await asyncio.sleep(delay)
            if contact not in self._open:
                return
            log = self.log[contact]
            if number < 0:
                log.greeted = time.time()
            else:
                log.answered[number] = time.time()
            self._say(contact, "CUSTOM_BOT", text)

        task = self._loop.create_task(reply())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the websocket -------------------------------------------------------------------------------------------------

    async def _websocket(
        self, reader: asyncio.StreamReader, writer: Writer, path: str, headers: dict[str, str]
    ) -> None:
        key = base64.b64encode(hashlib.sha1(headers["sec-websocket-key"].encode() + _ACCEPT).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: %b\r\n\r\n" % key)
        contact = self._contact_of[re.sub(r".*/", "", path)]
        try:
            while (text := await _frame(reader)) is not None:
                topic = json.loads(text)["topic"]
                content = {"status": "success", "topics": ["aws/chat"]} if topic == "aws/subscribe" else {}
                _send(writer, {"topic": topic, "content": content, "statusCode": 200})
                if topic == "aws/subscribe":
                    self._sockets.setdefault(contact, []).append(writer)
                    log = self.log[contact]
                    if log.connected is None:
                        log.connected = time.time()
                        if log.greets:
                            self._later(self.behaviour.seconds, contact, -1, "Welcome! What is it about?")
        finally:
            if writer in self._sockets.get(contact, []):
                self._sockets[contact].remove(writer)

    def _say(self, contact: str, role: str, content: str | None, identity: str | None = None, kind: str = "") -> None:
        item = {
            "Id": identity or str(uuid4()),
            "Type": "EVENT" if kind.startswith(_EVENT) else "MESSAGE",
            "ContentType": kind or "text/plain",
            "ContactId": contact,
            "InitialContactId": contact,
            "ParticipantRole": role,
            "AbsoluteTime": _absolute(),
        }
        if content is not None:
            item["Content"] = content
        frame = {"topic": "aws/chat", "contentType": "application/json", "content": json.dumps(item)}
        for writer in self._sockets.get(contact, []):
            _send(writer, frame)

    def _end(self, contact: str) -> None:
        if contact in self._open:
            self._open.discard(contact)
            self._say(contact, "SYSTEM", None, None, f"{_EVENT}chat.ended")


def _absolute() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def _send(writer: Writer, frame: dict[str, Any]) -> None:
    data = json.dumps(frame).encode()
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2)
    if not writer.is_closing():
        writer.write(b"\x81" + size + data)


async def _frame(reader: asyncio.StreamReader) -> str | None:
    """The next text frame of a client; None when it closes."""
    while True:
        try:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
            mask = await reader.readexactly(4)
            data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if first & 0x0F == 8:
            return None
        if first & 0x0F == 1:
            return data.decode()
