"""The operations of the Participant Service: what the customer of a chat may do with a bearer token."""

from harness.emulator.api.responses import Refused, Response, success
from harness.emulator.api.rules import check_message
from harness.emulator.api.validation import Invalid
from harness.emulator.service.chats import Chat
from harness.emulator.service.items import DELIVERED, EVENTS, READ, Participant
from harness.emulator.service.members import Members
from harness.emulator.service.state import State
from harness.emulator.service.transcript import page, receipt_message_id

DENIED = Refused("AccessDeniedException", "Access denied")


class ParticipantApi:
    """Handlers: `(now, parameters, chat, who) -> Response`; a `who` of None is the customer who started the chat."""

    def __init__(self, state: State) -> None:
        self.state = state

    def bearer(self, now: float, operation: str, token: str) -> Chat:
        """Return the chat that `token` speaks for in a call of `operation`. Raises AccessDeniedException.

        CreateParticipantConnection wants a participant token, every other operation a connection token.
        """
        chat = self.state.chats.by_token.get(token)
        if chat is None:
            raise DENIED
        expires = (chat.connection_tokens or {}).get(token)
        participants = expires is None or expires == float("inf")
        if participants != (operation == "CreateParticipantConnection") or (expires is not None and expires < now):
            raise DENIED
        readable = operation == "GetTranscript" and self.state.settings.transcript_after_end
        if chat.ended is not None and not readable:
            raise DENIED
        return chat

    def create_participant_connection(
        self, now: float, parameters: Members, chat: Chat, who: Participant | None
    ) -> Response:
        """CreateParticipantConnection."""
        types = parameters.get("Type") or []
        connected = parameters.get("ConnectParticipant")
        if not types and not connected:
            raise Refused("ValidationException", "Type must not be empty unless ConnectParticipant is true.")
        if "WEBRTC_CONNECTION" in types:
            raise Refused("ValidationException", "WEBRTC_CONNECTION is not available for a chat contact.")
        if who is not None:
            self.state.joins(now, chat, who)
        elif connected:
            self.state.chats.connect(now, chat)
        return success(self.state.connection(now, chat, types, who))

    def send_message(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """SendMessage."""
        check_message(parameters, chat.content_types)
        return self._said(now, parameters, chat, who)

    def send_event(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """SendEvent: typing, and receipts of messages."""
        kind = parameters["ContentType"]
        if kind not in EVENTS:
            raise Refused("ValidationException", f"Content type {kind!r} is not supported for an event.")
        if kind in (DELIVERED, READ) and receipt_message_id(parameters.get("Content")) is None:
            raise Refused("ValidationException", 'Content must be JSON that names the message: {"messageId": "..."}.')
        return self._said(now, parameters, chat, who)

    def get_transcript(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """GetTranscript."""
        if parameters.get("ContactId") not in (None, chat.contact_id):
            raise DENIED
        try:
            items, token = page(self.state.conversations.items(chat), parameters)
        except ValueError as error:
            raise Refused("ValidationException", str(error)) from None
        result: Members = {"InitialContactId": chat.contact_id, "Transcript": items}
        if token is not None:
            result["NextToken"] = token
        return success(result)

    def disconnect_participant(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        """DisconnectParticipant: with the customer who started it the chat ends, without a bot it goes on."""
        self.state.leaves(now, chat, who)
        return success({})

    def _said(self, now: float, parameters: Members, chat: Chat, who: Participant | None) -> Response:
        token = parameters.get("ClientToken")
        said = chat.sent.get(token) if token else None
        if said is None:
            item = self.state.says(now, chat, parameters["ContentType"], parameters.get("Content"), who)
            said = {"Id": item.id, "AbsoluteTime": item.absolute_time}
            if token:
                chat.sent[token] = said
        return success(said)


def as_validation(invalid: Invalid) -> Refused:
    """Return what the Participant Service calls a request that breaks its shape."""
    return Refused("ValidationException", invalid.message)
