"""The emulator's own pages under `/_emulator/`, and the route of the participants' websocket."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harness.emulator.http.control import Control
from harness.emulator.http.page_requests import (
    Condition,
    Filter,
    PageError,
    read_advance,
    read_end,
    read_message,
    read_spec,
)
from harness.emulator.http.websocket import serve
from harness.emulator.service.chats import Chat
from harness.emulator.service.state import finite
from harness.emulator.service.transcript import plain
from harness.emulator.service.view import chat_detail, chat_summary
from harness.emulator.settings import documented

_POLL = 0.01
_BUCKET_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET,PUT",
    "access-control-max-age": "600",
}
_DENIED = "<Error><Code>AccessDenied</Code><Message>The address is not valid, or has expired, or the file has another size than announced.</Message></Error>"  # fmt: skip # noqa: E501
_PAGES = "state, chats, chats/CONTACT_ID, settings, clock, reset below /_emulator/"
_T = TypeVar("_T")


class Pages:
    """Handlers of the pages; `control` is the emulator that they show and steer."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def state(self, request: Request) -> Response:
        """Return settings, limits, counts of answers, open chats."""
        api = self._control.api
        state = api.state
        return _json({"settings": finite(state.settings), "counts": api.counts, **state.describe(state.clock.now())})

    async def chats(self, request: Request) -> Response:
        """Every chat that is remembered, newest first: `?state=open|ended&attribute.KEY=VALUE&limit=N&full=yes`.

        With `?until=CONDITION&timeout=10s` those for which it holds, once there is one.
        """
        wanted, condition = Filter.read(request.query_params), Condition.read(request.query_params)
        shown = chat_detail if wanted.full else chat_summary

        def found() -> list[Chat]:
            state = self._control.api.state
            chats = reversed(state.chats.by_id.values())
            return [chat for chat in chats if wanted.takes(chat) and condition.holds(state, chat)]

        chats = await self._once(found, condition) if condition.text else self._now(found)
        listed = [shown(self._control.api.state, chat) for chat in chats[: wanted.limit]]
        if condition.text and not chats:
            return _json({"message": f"no chat is {condition.text!r} within {condition.timeout:g} s"}, 408)
        return _json({"count": len(chats), "chats": listed})

    async def chat(self, request: Request) -> Response:
        """One chat with its whole request; `?until=CONDITION&timeout=10s` answers once the condition holds."""
        condition = Condition.read(request.query_params)

        def found() -> Chat | None:
            chat = self._find(request)
            return chat if condition.holds(self._control.api.state, chat) else None

        chat = await self._once(found, condition)
        if chat is not None:
            return _json(chat_detail(self._control.api.state, chat))
        detail = chat_detail(self._control.api.state, self._find(request))
        said = [item["Content"] for item in detail["transcript"] if item["Type"] == "MESSAGE"]
        text = f"not {condition.text!r} within {condition.timeout:g} s; the chat is {detail['state']}, its messages: {said}"
        return _json({"message": text, "chat": detail}, 408)

    def _now(self, found: Callable[[], _T]) -> _T:
        state = self._control.api.state
        state.advance(state.clock.now())
        return found()

    async def _once(self, found: Callable[[], _T], condition: Condition) -> _T:
        """Return what `found` finds, once it finds something or the time of `condition` is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + condition.timeout
        while True:
            result = self._now(found)
            if result or loop.time() >= deadline:
                return result
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
        """Forget everything and go back to the settings of the start, changed as the body says."""
        self._control.reset(read_spec(await request.body()))
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

    async def attachment(self, request: Request) -> Response:
        """Where StartAttachmentUpload and GetAttachment send their callers: in AWS's case a bucket of S3."""
        allowed = dict(_BUCKET_CORS)
        asked = request.headers.get("access-control-request-headers")
        if request.method == "OPTIONS":
            return Response(headers={**allowed, **({"access-control-allow-headers": asked} if asked else {})})
        state = self._control.api.state
        state.advance(now := state.clock.now())
        chat, name = state.chats.by_id.get(request.path_params["contact_id"]), request.path_params["attachment_id"]
        secret = request.query_params.get("secret", "")
        if request.method == "PUT":
            body = await _at_most(request, documented.ATTACHMENT_FILE_BYTES)
            if chat is not None and body is not None and state.attachments.upload(now, chat, name, secret, body):
                return Response(headers=allowed)
        elif (file := state.attachments.read(now, name, secret)) is not None and file.body is not None:
            kind = "attachment" if request.query_params.get("disposition") == "attachment" else "inline"
            allowed["content-disposition"] = f"{kind}; filename*=UTF-8''{quote(file.name)}"
            return Response(file.body, media_type=file.content_type, headers=allowed)
        return Response(_DENIED, 403, media_type="application/xml", headers=allowed)

    async def websocket(self, socket: WebSocket) -> None:
        """Serve the websocket of a participant."""
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

    async def no_page(request: Request, problem: Exception) -> Response:
        status = getattr(problem, "status_code", 404)
        if status == 405:
            return _json(
                {"message": f"{request.url.path} does not take {request.method}"},
                status,
                getattr(problem, "headers", None),
            )
        return _json({"message": f"no page {request.url.path}; there are {_PAGES}"}, status)

    async def gone(request: Request, problem: Exception) -> Response:
        return Response()  # nobody hears it

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
            Route("/attachments/{contact_id}/{attachment_id}", own.attachment, methods=["GET", "PUT", "OPTIONS"]),
            WebSocketRoute("/participant/websocket", own.websocket),
        ],
        exception_handlers={ValueError: refuse, ClientDisconnect: gone, HTTPException: no_page},
    )


async def _at_most(request: Request, size: int) -> bytes | None:
    """Return the body of `request`; None if it is longer than `size` bytes."""
    pieces, length = [], 0
    async for piece in request.stream():
        length += len(piece)
        if length <= size:
            pieces.append(piece)
    return b"".join(pieces) if length <= size else None


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
