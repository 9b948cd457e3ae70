"""What the emulator shows of one chat: its request, attributes, transcript, participants, connections."""

import math

from harness.emulator.service.chats import Chat
from harness.emulator.service.clock import iso8601
from harness.emulator.service.members import Members
from harness.emulator.service.state import State
from harness.emulator.service.transcript import plain


def chat_summary(state: State, chat: Chat) -> Members:
    """Return the few facts that a list of chats has of each."""
    return {
        "contact_id": chat.contact_id,
        "instance_id": chat.instance,
        "state": "open" if chat.ended is None else "ended",
        "display_name": chat.display_name,
        "attributes": chat.attributes,
        "started": iso8601(state.clock.unix(chat.started)),
        "connected": _time(state, chat.connected),
        "ended": _time(state, chat.ended),
        "disconnect_reason": chat.reason,
        "age_s": state.clock.now() - chat.started,
    }


def chat_detail(state: State, chat: Chat) -> Members:
    """Everything that is known of one chat, but for its bearer tokens."""
    request = {name: value for name, value in chat.request.items() if name != "ClientToken"}
    others = [
        {"id": who.id, "display_name": who.display_name, "role": who.role} for who in (chat.others or {}).values()
    ]
    customer = {"id": chat.participant_id, "display_name": chat.display_name, "role": "CUSTOMER"}
    return {
        **chat_summary(state, chat),
        "request": request,
        "client_token": chat.request.get("ClientToken"),
        "participants": [customer, *others],
        "transcript": [plain(item) for item in state.conversations.items(chat)],
        "connections": {
            "websockets": len(chat.listeners),
            "connection_tokens": sum(not math.isinf(expires) for expires in (chat.connection_tokens or {}).values()),
        },
        "expires": _time(state, chat.expires),
    }


def _time(state: State, at: float | None) -> str | None:
    return None if at is None or math.isinf(at) else iso8601(state.clock.unix(at))
