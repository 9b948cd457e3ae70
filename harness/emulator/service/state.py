"""What the operations of both services share: settings, clock, chats, throttles, conversations, websocket addresses."""

import math
from dataclasses import dataclass
from typing import Any

from harness.emulator.service.chats import Chat, Chats, instance_ids
from harness.emulator.service.clock import Clock, iso8601
from harness.emulator.service.throttles import Throttles
from harness.emulator.service.transcript import Conversations
from harness.emulator.settings import documented
from harness.emulator.settings.settings import Settings


@dataclass(slots=True)
class Invitation:
    """A websocket address that was handed out: whose it is and until when it may be opened."""

    chat: Chat
    expires: float


class State:
    """One emulated account in one Region."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.chats = Chats(settings, self._ended)
        self.throttles = Throttles(settings)
        self.conversations = Conversations(self.chats, clock, settings.greeting)
        self.instances: dict[str, str] = {}
        for instance in instance_ids(settings):
            self.instances[instance] = self.instances[self.instance_arn(instance)] = instance
        # Where websockets are opened; the server puts its own address here.
        self.websocket_base = "ws://127.0.0.1"
        self._invitations: dict[str, Invitation] = {}

    def instance_arn(self, instance: str) -> str:
        settings = self.settings
        return f"arn:aws:connect:{settings.region}:{settings.account_id}:instance/{instance}"

    def connection(self, now: float, chat: Chat, types: list[str]) -> dict[str, Any]:
        """The connection of a chat's customer, as far as `types` asks for it: websocket address, connection token."""
        answer: dict[str, Any] = {}
        if "WEBSOCKET" in types:
            self._drop_old(now)
            token = self.chats.new_token()
            expires = now + documented.WEBSOCKET_URL_LIFETIME
            self._invitations[token] = Invitation(chat, expires)
            answer["Websocket"] = {
                "Url": f"{self.websocket_base}/participant/websocket?token={token}",
                "ConnectionExpiry": iso8601(self.clock.unix(expires)),
            }
        if "CONNECTION_CREDENTIALS" in types:
            token, expires = self.chats.add_connection(now, chat)
            answer["ConnectionCredentials"] = {
                "ConnectionToken": token,
                "Expiry": iso8601(self.clock.unix(expires)),
            }
        if answer and self.settings.connect_stops_on == "api":
            self.chats.connect(now, chat)
        return answer

    def open_websocket(self, now: float, token: str) -> Chat | None:
        """The chat whose websocket address holds `token`; None: not known, too old, or the chat has ended."""
        self.chats.advance(now)
        invitation = self._invitations.get(token)
        if invitation is None or invitation.expires < now or invitation.chat.ended is not None:
            return None
        if self.settings.connect_stops_on == "open":
            self.chats.connect(now, invitation.chat)
        return invitation.chat

    def subscribed(self, now: float, chat: Chat) -> None:
        """The chat's customer has subscribed on the websocket."""
        self.chats.advance(now)
        self.chats.connect(now, chat)

    def describe(self, now: float, most: int = 1000) -> dict[str, Any]:
        """Limits and open chats for people and tests; at most `most` chats are listed."""
        self.chats.advance(now)
        listed: list[dict[str, Any]] = []
        for chat in self.chats.by_id.values():
            if len(listed) == most:
                break
            if chat.ended is None:
                listed.append(
                    {"contact_id": chat.contact_id, "instance_id": chat.instance, "age_s": now - chat.started}
                )
        quota = self.settings.active_chats
        return {
            "now_s": now,
            "limits": self.throttles.describe(now),
            "instances": {
                instance: {"active_chats": count, "quota": quota, "held_by_others": self.chats.held[instance]}
                for instance, count in self.chats.open.items()
            },
            "open_chats": self.chats.live,
            "chats": listed,
            "client_tokens": len(self.chats.replays),
        }

    def _ended(self, chat: Chat) -> None:
        self.conversations.ended(chat)

    def _drop_old(self, now: float) -> None:
        # Insertion order is order of expiry, as every address lives equally long.
        while self._invitations:
            token = next(iter(self._invitations))
            if self._invitations[token].expires >= now:
                return
            del self._invitations[token]


def finite(settings: Settings) -> dict[str, Any]:
    """All settings as JSON values; infinity becomes `never`. Secrets are left out."""
    values = {}
    for name in type(settings).__dataclass_fields__:
        value = getattr(settings, name)
        if name in ("limits", "secret_access_key"):
            continue
        values[name] = "never" if isinstance(value, float) and math.isinf(value) else value
    return values
