"""The participants' websocket: subscribe, ping, heartbeat, and the frames of a chat.

The frames are those of amazon-connect-websocket-manager, the client inside amazon-connect-chatjs.
"""

import asyncio
import contextlib
import math
import random
import time
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from harness.emulator.http.connection.transport import reset
from harness.emulator.service.chats import Chat
from harness.emulator.service.items import Item, Participant
from harness.emulator.service.state import State

TOPIC = "aws/chat"
Frame = dict[str, Any]


# Frames that may wait for a client that does not read; beyond it the connection is cut.
_WAITING = 1000


async def serve(socket: WebSocket, state: State) -> None:
    """Serve one websocket until its client leaves; an address that is not valid is refused in the handshake."""
    ticket = state.open_websocket(state.clock.now(), socket.query_params.get("token", ""))
    limit = state.settings.websockets
    if ticket is None:
        await socket.close()
        return
    chat = ticket.chat
    own = [listener for listener in chat.listeners if listener.who is ticket.who]
    if len(own) >= limit.count and limit.beyond == "refuse":
        await socket.close()
        return
    early = state.conversations.take_unheard(chat) if ticket.who is None else []
    transport = socket.scope["state"]["transport"]
    subscriber = _Subscriber(state, ticket.who, transport, early)
    # It listens from the opened socket on: what is said before the subscribe frame arrives is heard after it. (The
    # service is slower to deliver than a client is to subscribe; here a message would else be there first, and lost.)
    chat.listen(subscriber)
    for oldest in own[: max(0, len(own) + 1 - limit.count)]:
        chat.leave(oldest)
        oldest.finish()
    state.on_close.append(subscriber.finish)
    await socket.accept()
    writer = asyncio.create_task(_write(socket, subscriber))
    subscriber.plan_faults()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            subscriber.heard_from()
            _reply(message.get("text") or message.get("bytes") or "", state, chat, subscriber)
            if transport.is_closing():  # nobody is there to hear the answers to what is left
                break
    except WebSocketDisconnect:
        pass
    finally:
        state.on_close.remove(subscriber.finish)
        chat.leave(subscriber)
        subscriber.cancel()
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer


class _Subscriber:
    """What one websocket has to send: replies at once, the chat's frames once it has subscribed."""

    def __init__(self, state: State, who: Participant | None, transport: Any, early: list[Item]) -> None:
        self.who = who
        self.closed = False
        self.outbox: asyncio.Queue[tuple[float, Frame | None]] = asyncio.Queue(_WAITING)
        self.subscribed = False
        self._state, self._transport = state, transport
        self._tail = random.Random(f"{state.settings.seed} websocket latency")
        self._early = [_frame(item) for item in early]
        self._silent = False
        self._heard = state.clock.now()
        self._look_at = math.inf  # when it is next looked whether it is idle

    def hear(self, chat: Chat, item: Item) -> None:
        """Take an item of the chat: it is sent, or kept until the client has subscribed."""
        if self.subscribed:
            self._put(_frame(item), self._latency())
        elif len(self._early) < _WAITING:
            self._early.append(_frame(item))

    def subscribe(self, acknowledgement: Frame) -> None:
        """Note that the client has subscribed: acknowledge it, and send what was kept."""
        self.subscribed = True
        self.reply(acknowledgement)
        for frame in self._early:
            self._put(frame, self._latency())
        self._early.clear()

    def reply(self, frame: Frame) -> None:
        """Send an answer to a frame of the client."""
        self._put(frame, 0.0)

    def finish(self) -> None:
        """Close the websocket once all that waits is sent."""
        self._put(None, 0.0)

    def plan_faults(self) -> None:
        """Close, cut or silence the websocket after the time that the settings say, on the emulator's clock."""
        settings, rng = self._state.settings, self._state.websocket_faults
        self._after(settings.websocket_lifetime, _Subscriber.finish)
        # Always two draws a websocket, so that one setting does not shift the other's.
        drop, half_open = rng.expovariate(1.0), rng.expovariate(1.0)
        self._after(drop * settings.websocket_drop, _Subscriber._drop)
        self._after(half_open * settings.websocket_half_open, _Subscriber._fall_silent)
        self._await_frame()

    def heard_from(self) -> None:
        """Note that the client has sent a frame."""
        self._heard = self._state.clock.now()
        self._await_frame()

    def cancel(self) -> None:
        """Note that the websocket is closed."""
        self.closed = True

    def _after(self, seconds: float, action: Callable[["_Subscriber"], None]) -> None:
        if math.isinf(seconds):
            return
        # The schedule outlives the websocket: it must not hold it.
        planned = weakref.ref(self)

        def act(now: float) -> None:
            subscriber = planned()
            if subscriber is not None and not subscriber.closed:
                action(subscriber)

        self._state.schedule.at(self._state.clock.now() + seconds, act)

    def _await_frame(self) -> None:
        due = self._heard + self._state.settings.websocket_idle
        if due < self._look_at:
            self._look_at = due
            self._after(due - self._state.clock.now(), _Subscriber._look_for_frame)

    def _look_for_frame(self) -> None:
        self._look_at = math.inf
        if self._state.clock.now() >= self._heard + self._state.settings.websocket_idle:
            self.finish()
        else:
            self._await_frame()

    def _drop(self) -> None:
        reset(self._transport)

    def _fall_silent(self) -> None:
        self._silent = True

    def _latency(self) -> float:
        settings = self._state.settings
        return settings.websocket_latency * math.exp(settings.latency_sigma * self._tail.gauss())

    def _put(self, frame: Frame | None, latency: float) -> None:
        if self._silent:
            return
        try:
            self.outbox.put_nowait((time.monotonic() + latency, frame))
        except asyncio.QueueFull:
            reset(self._transport)  # a client that does not read must not fill the memory


def _frame(item: Item) -> Frame:
    return {"topic": TOPIC, "contentType": "application/json", "content": msgspec.json.encode(item).decode()}


async def _write(socket: WebSocket, subscriber: _Subscriber) -> None:
    """Write alone: replies and chat frames leave in the order in which they arose."""
    while True:
        due, frame = await subscriber.outbox.get()
        if due > (now := time.monotonic()):
            await asyncio.sleep(due - now)
        if socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            if frame is None:
                await socket.close(1001)
                return
            await socket.send_text(orjson.dumps(frame).decode())
        except (WebSocketDisconnect, RuntimeError):
            return


def _reply(raw: str | bytes, state: State, chat: Chat, subscriber: _Subscriber) -> None:
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
            state.subscribed(state.clock.now(), chat, subscriber.who)
            subscriber.subscribe({"topic": topic, "content": {"status": "success", "topics": topics}})
            return
        named = [each for each in topics if isinstance(each, str)] if isinstance(topics, list) else []
        reply = {"topic": topic, "content": {"status": "failure", "topics": named}}
    elif topic == "aws/ping":
        reply = {"topic": topic, "statusCode": 200, "statusContent": "OK"}
    elif topic == "aws/heartbeat":
        reply = {"topic": topic}
    else:  # what API Gateway sends for a frame that it has no route for
        reply = {"message": "Forbidden", "connectionId": state.chats.new_id(), "requestId": state.chats.new_id()}
    subscriber.reply(reply)
