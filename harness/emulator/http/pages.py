"""The emulator's own pages under `/_emulator/`, and the route of the participants' websocket."""

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harness.emulator.api.api import Api
from harness.emulator.http.websocket import serve
from harness.emulator.service.state import finite

_ROLES = ("AGENT", "SYSTEM", "CUSTOM_BOT", "SUPERVISOR")
# Ends that no caller of the emulated operations brings about; AWS's words for them.
_ENDS = ("AGENT_DISCONNECT", "AGENT_NETWORK_DISCONNECT", "THIRD_PARTY_DISCONNECT", "IDLE_DISCONNECT", "SYSTEM_ERROR")


def pages(api: Api) -> Starlette:
    """Starlette's routes for people and tests: the state as JSON, voice and hand for those whom nobody plays here."""
    state = api.state

    async def show(request: Request) -> Response:
        described = {"settings": finite(state.settings), "counts": api.counts, **state.describe(state.clock.now())}
        return _json(described)

    async def speak(request: Request) -> Response:
        chat = state.chats.by_id.get(request.path_params["contact_id"])
        if chat is None or chat.ended is not None:
            return _json({"message": "no such open chat"}, 404)
        try:
            said: Any = orjson.loads(await request.body())
            content, kind = said["Content"], said.get("ContentType", "text/plain")
            role = said.get("ParticipantRole", "AGENT")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return _json({"message": 'wants {"Content": ..., "ContentType": ..., "ParticipantRole": ...}'}, 400)
        if not isinstance(content, str) or not isinstance(kind, str) or role not in _ROLES:
            return _json({"message": f"ParticipantRole is one of {', '.join(_ROLES)}; the rest are strings"}, 400)
        return _json(state.conversations.say(state.clock.now(), chat, kind, content, role))

    async def end(request: Request) -> Response:
        chat = state.chats.by_id.get(request.path_params["contact_id"])
        try:
            reason = orjson.loads(await request.body() or b"{}").get("DisconnectReason", "AGENT_DISCONNECT")
        except (orjson.JSONDecodeError, AttributeError):
            reason = None
        if reason not in _ENDS:
            return _json({"message": f"DisconnectReason is one of {', '.join(_ENDS)}"}, 400)
        if chat is None or not state.chats.end(state.clock.now(), chat, reason):
            return _json({"message": "no such open chat"}, 404)
        return _json({"DisconnectReason": reason})

    async def websocket(socket: WebSocket) -> None:
        await serve(socket, state)

    return Starlette(
        routes=[
            Route("/_emulator/state", show),
            Route("/_emulator/chats/{contact_id}/messages", speak, methods=["POST"]),
            Route("/_emulator/chats/{contact_id}/end", end, methods=["POST"]),
            WebSocketRoute("/participant/websocket", websocket),
        ]
    )


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
