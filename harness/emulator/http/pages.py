"""The emulator's own pages under `/_emulator/`, and the route of the participants' websocket."""

import asyncio
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harness.emulator.http.control import Control
from harness.emulator.http.page_requests import Condition, PageError, read_advance, read_end, read_message, read_spec
from harness.emulator.http.websocket import serve
from harness.emulator.service.chats import Chat
from harness.emulator.service.state import finite
from harness.emulator.service.transcript import plain
from harness.emulator.service.view import chat_detail, chat_summary

_POLL = 0.01
_MOST = 1000


class Pages:
    """Handlers of the pages; `control` is the emulator that they show and steer."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def state(self, request: Request) -> Response:
        """Settings, limits, counts of answers, open chats."""
        api = self._control.api
        state = api.state
        return _json({"settings": finite(state.settings), "counts": api.counts, **state.describe(state.clock.now())})

    async def chats(self, request: Request) -> Response:
        """Every chat that is remembered, newest first: `?state=open|ended&attribute.KEY=VALUE&limit=N`."""
        state = self._control.api.state
        state.advance(state.clock.now())
        wanted = request.query_params.get("state", "")
        if wanted not in ("", "open", "ended"):
            raise PageError("state is open or ended")
        attributes = {
            key.removeprefix("attribute."): value
            for key, value in request.query_params.items()
            if key.startswith("attribute.")
        }
        found = [
            chat
            for chat in reversed(state.chats.by_id.values())
            if (not wanted or (chat.ended is None) == (wanted == "open"))
            and all(chat.attributes.get(key) == value for key, value in attributes.items())
        ]
        limit = request.query_params.get("limit", str(_MOST))
        if not (limit.isascii() and limit.isdigit()):
            raise PageError("limit is a whole number")
        listed = [chat_summary(state, chat) for chat in found[: int(limit)]]
        return _json({"count": len(found), "chats": listed})

    async def chat(self, request: Request) -> Response:
        """One chat with its whole request; `?until=CONDITION&timeout=10s` answers once the condition holds."""
        condition = Condition.read(request.query_params)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + condition.timeout
        while True:
            state = self._control.api.state
            state.advance(state.clock.now())
            chat = self._find(request)
            if condition.holds(state, chat):
                return _json(chat_detail(state, chat))
            if loop.time() >= deadline:
                detail = chat_detail(state, chat)
                return _json({"message": f"not {condition.text!r} within {condition.timeout:g} s", "chat": detail}, 408)
            await asyncio.sleep(_POLL)

    async def speak(self, request: Request) -> Response:
        """Speak, type or acknowledge in a chat as somebody whom nobody plays here."""
        state, chat = self._control.api.state, self._find(request, must_be_open=True)
        said = read_message(await request.body())
        now = state.clock.now()
        who = state.conversations.participant(chat, said.participant_role, said.display_name)
        item = state.conversations.say(now, chat, said.content_type, said.content, who)
        return _json(plain(item))

    async def end(self, request: Request) -> Response:
        """End a chat for a reason that no caller of the operations can bring about."""
        state, reason = self._control.api.state, read_end(await request.body())
        chat = self._find(request, must_be_open=True)
        state.chats.end(state.clock.now(), chat, reason)
        return _json({"DisconnectReason": reason})

    async def reset(self, request: Request) -> Response:
        """Forget everything and go back to the settings of the start."""
        self._control.reset()
        return await self.state(request)

    async def settings(self, request: Request) -> Response:
        """Change limits and faults while it runs."""
        spec = read_spec(await request.body())
        self._control.change(spec)
        return await self.state(request)

    async def clock(self, request: Request) -> Response:
        """Advance the emulator's clock."""
        self._control.advance(read_advance(await request.body()))
        return _json({"now_s": self._control.api.state.clock.now()})

    async def websocket(self, socket: WebSocket) -> None:
        """The websocket of a participant."""
        await serve(socket, self._control.api.state)

    def _find(self, request: Request, must_be_open: bool = False) -> Chat:
        chat = self._control.api.state.chats.by_id.get(request.path_params["contact_id"])
        if chat is None or (must_be_open and chat.ended is not None):
            raise PageError("no such open chat" if must_be_open else "no such chat", 404)
        return chat


def pages(control: Control) -> Starlette:
    """Starlette's routes for people and tests: look at the emulator, steer it, speak for those whom nobody plays."""
    own = Pages(control)

    async def refuse(request: Request, problem: Exception) -> Response:
        return _json({"message": str(problem)}, getattr(problem, "status", 400))

    return Starlette(
        routes=[
            Route("/_emulator/state", own.state),
            Route("/_emulator/chats", own.chats),
            Route("/_emulator/chats/{contact_id}", own.chat),
            Route("/_emulator/chats/{contact_id}/messages", own.speak, methods=["POST"]),
            Route("/_emulator/chats/{contact_id}/end", own.end, methods=["POST"]),
            Route("/_emulator/reset", own.reset, methods=["POST"]),
            Route("/_emulator/settings", own.settings, methods=["POST"]),
            Route("/_emulator/clock", own.clock, methods=["POST"]),
            WebSocketRoute("/participant/websocket", own.websocket),
        ],
        exception_handlers={ValueError: refuse},
    )


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
