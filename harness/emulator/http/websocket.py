"""The participants' websocket: subscribe, ping, heartbeat, and the frames of a chat.

The frames are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs.
"""

import asyncio
import contextlib
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from harness.emulator.service.chats import Chat
from harness.emulator.service.state import State
from harness.emulator.settings import documented

TOPIC = "aws/chat"
Frame = dict[str, Any]


async def serve(socket: WebSocket, state: State) -> None:
    """Serve one websocket until its client leaves; an address that is not valid is refused in the handshake."""
    chat = state.open_websocket(state.clock.now(), socket.query_params.get("token", ""))
    if chat is None or len(chat.listeners) >= documented.WEBSOCKETS_PER_PARTICIPANT:
        await socket.close()
        return
    ear = _Ear()
    # It listens from the opened socket on: what is said before the subscribe frame arrives is heard after it. (The
    # service is slower to deliver than a client is to subscribe; here a message would else be there first, and lost.)
    chat.listeners.append(ear.hear)
    await socket.accept()
    writer = asyncio.create_task(_write(socket, ear.outbox))
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            _reply(message.get("text") or message.get("bytes") or "", state, chat, ear)
    except WebSocketDisconnect:
        pass
    finally:
        if ear.hear in chat.listeners:
            chat.listeners.remove(ear.hear)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer


class _Ear:
    """What one websocket has to send: replies at once, the chat's frames once it has subscribed."""

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[Frame] = asyncio.Queue()
        self.subscribed = False
        self._early: list[Frame] = []

    def hear(self, chat: Chat, item: dict[str, Any]) -> None:
        content = orjson.dumps(item).decode()
        frame = {"topic": TOPIC, "contentType": "application/json", "content": content}
        if self.subscribed:
            self.outbox.put_nowait(frame)
        else:
            self._early.append(frame)

    def subscribe(self, acknowledgement: Frame) -> None:
        self.subscribed = True
        for frame in (acknowledgement, *self._early):
            self.outbox.put_nowait(frame)
        self._early.clear()


async def _write(socket: WebSocket, outbox: asyncio.Queue[Frame]) -> None:
    """The only writer: replies and chat frames leave in the order in which they arose."""
    while True:
        frame = await outbox.get()
        if socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await socket.send_text(orjson.dumps(frame).decode())
        except (WebSocketDisconnect, RuntimeError):
            return


def _reply(raw: str | bytes, state: State, chat: Chat, ear: _Ear) -> None:
    try:
        frame: Any = orjson.loads(raw)
        topic = frame["topic"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        topic = None
    reply: Frame
    if topic == "aws/subscribe":
        content = frame.get("content")
        topics = content.get("topics") if isinstance(content, dict) else None
        if topics == [TOPIC]:
            state.subscribed(state.clock.now(), chat)
            ear.subscribe({"topic": topic, "content": {"status": "success", "topics": topics}})
            return
        reply = {"topic": topic, "content": {"status": "failure", "topics": topics if isinstance(topics, list) else []}}
    elif topic == "aws/ping":
        reply = {"topic": topic, "statusCode": 200, "statusContent": "OK"}
    elif topic == "aws/heartbeat":
        reply = {"topic": topic}
    else:  # what API Gateway sends for a frame that it has no route for
        reply = {"message": "Forbidden", "connectionId": state.chats.new_id(), "requestId": state.chats.new_id()}
    ear.outbox.put_nowait(reply)
