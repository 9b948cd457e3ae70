"""What the operations of both services share: settings, clock, chats, throttles, conversations, websocket addresses."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from harness.emulator.service.attachments import Attachments
from harness.emulator.service.chats import CUSTOMER_LEFT, Chat, Chats, instance_ids
from harness.emulator.service.clock import Clock, iso8601
from harness.emulator.service.flow import FlowPlayer
from harness.emulator.service.items import JOINED, LEFT, Attachment, Item, Participant
from harness.emulator.service.members import Members
from harness.emulator.service.schedule import Schedule
from harness.emulator.service.throttles import Throttles
from harness.emulator.service.transcript import Conversations
from harness.emulator.settings import documented
from harness.emulator.settings.flow import Flow, FlowFile, Rule, Step
from harness.emulator.settings.settings import Settings
from harness.emulator.settings.values import WebsocketLimit


@dataclass(slots=True)
class WebsocketTicket:
    """A websocket address that was handed out: whose it is (None: the first customer), until when it may be opened."""

    chat: Chat
    who: Participant | None
    expires: float


class State:
    """One emulated account in one Region."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.chats = Chats(settings, self._ended)
        self.throttles = Throttles(settings)
        self.conversations = Conversations(clock, settings.seed)
        self.schedule = Schedule()
        self.attachments = Attachments(self.chats.new_id, self.chats.new_token)
        # The newest flow first; a chat stays in the flow in which it began.
        self._players = [self._player(whole_flow(settings))]
        self.instances: dict[str, str] = {}
        for instance in instance_ids(settings):
            self.instances[instance] = self.instances[self.instance_arn(instance)] = instance
        # Where websockets are opened; the server puts its own address here.
        self.websocket_base = "ws://127.0.0.1"
        self._tickets: dict[str, WebsocketTicket] = {}
        self.websocket_faults = random.Random(f"{settings.seed} websocket faults")
        self.on_close: list[Callable[[], None]] = []  # closes an open websocket each

    def advance(self, now: float) -> None:
        """Let time pass until `now`: what is due happens in the order of its time."""
        schedule = self.schedule
        while schedule.is_due(now):
            due = schedule.next
            self.chats.advance(due)
            schedule.pop()(due)
        self.chats.advance(now)

    def change(self, settings: Settings) -> None:
        """Go on with other settings; limiters that they do not concern keep their state."""
        throttles = Throttles(settings)
        throttles.keep_unchanged(self.throttles)
        flow = whole_flow(settings)
        if flow != whole_flow(self.settings):
            self._players = [self._player(flow), *(player for player in self._players if player.busy)]
        self.settings = self.chats.settings = settings
        self.throttles = throttles

    def close(self) -> None:
        """Close every websocket: this state will not be used again."""
        for close in tuple(self.on_close):
            close()

    @property
    def http_base(self) -> str:
        """The address of both services, without a path."""
        return f"http{self.websocket_base.removeprefix('ws')}"

    def instance_arn(self, instance: str) -> str:
        settings = self.settings
        return f"arn:aws:connect:{settings.region}:{settings.account_id}:instance/{instance}"

    def connection(self, now: float, chat: Chat, types: list[str], who: Participant | None = None) -> Members:
        """Return a participant's (the first customer's) connection, as far as `types` asks: websocket address, token."""
        answer: Members = {}
        if "WEBSOCKET" in types:
            self._drop_old(now)
            token = self.chats.new_token()
            expires = now + documented.WEBSOCKET_URL_LIFETIME
            self._tickets[token] = WebsocketTicket(chat, who, expires)
            answer["Websocket"] = {
                "Url": f"{self.websocket_base}/participant/websocket?token={token}",
                "ConnectionExpiry": iso8601(self.clock.unix(expires)),
            }
        if "CONNECTION_CREDENTIALS" in types:
            token, expires = self.chats.add_connection(now, chat, who)
            answer["ConnectionCredentials"] = {
                "ConnectionToken": token,
                "Expiry": iso8601(self.clock.unix(expires)),
            }
        if answer and self.settings.connect_stops_on == "api" and who is None:
            self.chats.connect(now, chat)
        return answer

    def open_websocket(self, now: float, token: str) -> WebsocketTicket | None:
        """Return what the websocket address with `token` was for; None: not known, too old, or the chat has ended."""
        self.advance(now)
        ticket = self._tickets.get(token)
        if ticket is None or ticket.expires < now or ticket.chat.ended is not None:
            return None
        if self.settings.connect_stops_on == "open" and ticket.who is None:
            self.chats.connect(now, ticket.chat)
        return ticket

    def subscribed(self, now: float, chat: Chat, who: Participant | None = None) -> None:
        """Note that a participant (the first customer) has subscribed on the websocket."""
        self.advance(now)
        if who is not None:
            return
        self.chats.connect(now, chat)
        if not chat.subscribed:
            player = self._plays(chat)
            player.start(now, chat)
            player.connected(now, chat)
        chat.subscribed = True

    def started(self, now: float, chat: Chat) -> None:
        """A chat has started, and with it, perhaps, its flow."""
        player = self._players[0]
        if not player.empty and self.settings.starts_flow == "contact":
            player.start(now, chat)

    def says(
        self, now: float, chat: Chat, content_type: str, content: str | None, who: Participant | None = None
    ) -> Item:
        """Return a participant (the first customer) says something; the flow may answer customers."""
        item = self.conversations.say(now, chat, content_type, content, who)
        if item.participant_role == "CUSTOMER":
            self._plays(chat).heard(now, chat, item)
        return item

    def attached(self, now: float, chat: Chat, attachment: Attachment, who: Participant | None) -> None:
        """Note that a participant (the first customer) has sent a file."""
        self.conversations.attach(now, chat, attachment.shown, who)

    def joins(self, now: float, chat: Chat, who: Participant) -> None:
        """Another participant than the first customer asks for a connection; its first one is its arrival."""
        tokens = [token for token, speaker in (chat.speakers or {}).items() if speaker is who]
        if all(math.isinf((chat.connection_tokens or {})[token]) for token in tokens):
            self.conversations.say(now, chat, JOINED, None, who)

    def leaves(self, now: float, chat: Chat, who: Participant | None) -> None:
        """Note that a participant leaves; with the customer who started it the chat ends."""
        if who is None:
            self.chats.end(now, chat, CUSTOMER_LEFT)
            return
        self.chats.revoke(chat, who)
        self.conversations.say(now, chat, LEFT, None, who)

    def describe(self, now: float, most: int = 1000) -> Members:
        """Limits and open chats for people and tests; at most `most` chats are listed."""
        self.advance(now)
        listed: list[Members] = []
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
        self._plays(chat).ended(chat.ended or 0.0, chat)

    def _player(self, flow: Flow) -> FlowPlayer:
        return FlowPlayer(flow, self.chats, self.conversations, self.schedule, self.settings.seed, self.clock.unix)

    def _plays(self, chat: Chat) -> FlowPlayer:
        """Return the player of the flow that `chat` is in; the newest where it has not begun."""
        return next((player for player in self._players if player.plays(chat)), self._players[0])

    def _drop_old(self, now: float) -> None:
        # Insertion order is order of expiry, as every address lives equally long.
        while self._tickets:
            token = next(iter(self._tickets))
            if self._tickets[token].expires >= now:
                return
            del self._tickets[token]


def whole_flow(settings: Settings) -> Flow:
    """Return the flow of the settings: their file's, after their `greeting`."""
    flow = settings.flow.flow
    if not settings.greeting:
        return flow
    return msgspec.structs.replace(flow, rules=[Rule("start", [Step(say=settings.greeting)]), *flow.rules])


def finite(settings: Settings) -> Members:
    """All settings as JSON values; infinity becomes `never`. Secrets are left out."""
    values = {}
    for name in type(settings).__dataclass_fields__:
        value = getattr(settings, name)
        if name in ("limits", "latencies", "secret_access_key"):
            continue
        if isinstance(value, WebsocketLimit | FlowFile):
            value = str(value)
        values[name] = "never" if isinstance(value, float) and math.isinf(value) else value
    return values
