"""The participants' websocket: subscribe, ping, heartbeat, and the frames of a chat.

The frames are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs.
"""

import asyncio
import contextlib
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from harness.emulator import documented
from harness.emulator.chats import Chat
from harness.emulator.state import State

TOPIC = "aws/chat"


async def serve(socket: WebSocket, state: State) -> None:
    """Serve one websocket until its client leaves; an address that is not valid is refused in the handshake."""
    chat = state.open_websocket(state.clock.now(), socket.query_params.get("token", ""))
    if chat is None or len(chat.listeners) >= documented.WEBSOCKETS_PER_PARTICIPANT:
        await socket.close()
        return
    await socket.accept()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def hear(chat: Chat, item: dict[str, Any]) -> None:
        content = orjson.dumps(item).decode()
        outbox.put_nowait({"topic": TOPIC, "contentType": "application/json", "content": content})

    writer = asyncio.create_task(_write(socket, outbox))
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            raw = message.get("text") or message.get("bytes") or ""
            outbox.put_nowait(_reply(raw, state, chat, hear))
    except WebSocketDisconnect:
        pass
    finally:
        if hear in chat.listeners:
            chat.listeners.remove(hear)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer


async def _write(socket: WebSocket, outbox: asyncio.Queue[dict[str, Any]]) -> None:
    """The only writer: replies and chat frames leave in the order in which they arose."""
    while True:
        frame = await outbox.get()
        if socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await socket.send_text(orjson.dumps(frame).decode())
        except (WebSocketDisconnect, RuntimeError):
            return


def _reply(raw: str | bytes, state: State, chat: Chat, hear: Any) -> dict[str, Any]:
    try:
        frame: Any = orjson.loads(raw)
        topic = frame["topic"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _refused(state)
    if topic == "aws/subscribe":
        content = frame.get("content")
        topics = content.get("topics") if isinstance(content, dict) else None
        if topics != [TOPIC]:
            return {
                "topic": topic,
                "content": {"status": "failure", "topics": topics if isinstance(topics, list) else []},
            }
        if chat.ended is None and hear not in chat.listeners:
            chat.listeners.append(hear)
        state.subscribed(state.clock.now(), chat)
        return {"topic": topic, "content": {"status": "success", "topics": topics}}
    if topic == "aws/ping":
        return {"topic": topic, "statusCode": 200, "statusContent": "OK"}
    if topic == "aws/heartbeat":
        return {"topic": topic}
    return _refused(state)


def _refused(state: State) -> dict[str, Any]:
    """What API Gateway sends for a frame that it has no route for."""
    return {"message": "Forbidden", "connectionId": state.chats.new_id(), "requestId": state.chats.new_id()}
