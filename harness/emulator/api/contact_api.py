"""The operations of Amazon Connect on a chat that is there: attributes, further participants, streaming."""

from harness.emulator.api.connect_api import NOT_FOUND, Call, ConnectApi
from harness.emulator.api.responses import Refused, Response, success
from harness.emulator.api.rules import check_attributes, check_streaming
from harness.emulator.api.validation import Invalid
from harness.emulator.service.clock import iso8601
from harness.emulator.service.members import Members


class ContactApi:
    """Handlers: `(call, parameters) -> Response`."""

    def __init__(self, connect: ConnectApi) -> None:
        self._connect, self.state = connect, connect.state

    def get_contact_attributes(self, call: Call, parameters: Members) -> Response:
        """GetContactAttributes."""
        return success({"Attributes": self._connect.contact(parameters, "InitialContactId").attributes})

    def update_contact_attributes(self, call: Call, parameters: Members) -> Response:
        """UpdateContactAttributes: of contacts that go on and of ended ones."""
        chat = self._connect.contact(parameters, "InitialContactId")
        try:
            check_attributes(parameters["Attributes"], chat.attributes)
        except Invalid as invalid:
            raise Refused("InvalidParameterException", invalid.message) from None
        chat.updated_attributes = {**(chat.updated_attributes or {}), **parameters["Attributes"]}
        return success({})

    def create_participant(self, call: Call, parameters: Members) -> Response:
        """CreateParticipant: a bot, or one more customer, who then asks for a connection as a customer does."""
        chat, details = self._connect.contact(parameters, "ContactId"), parameters["ParticipantDetails"]
        role = details.get("ParticipantRole") or "CUSTOM_BOT"
        if role not in ("CUSTOM_BOT", "CUSTOMER"):
            raise Refused("InvalidRequestException", "ParticipantRole is CUSTOM_BOT or CUSTOMER for a chat.")
        if chat.ended is not None:
            raise Refused("ConflictException", "The contact has ended.")
        key = f"participant {parameters.get('ClientToken')}"
        known = chat.sent.get(key) if parameters.get("ClientToken") else None
        if known is not None:
            return success(known)
        who = self.state.conversations.add_participant(chat, role, details.get("DisplayName") or role)
        result = {
            "ParticipantCredentials": {
                "ParticipantToken": self.state.chats.add_participant_token(chat, who),
                "Expiry": iso8601(self.state.clock.unix(chat.expires)),
            },
            "ParticipantId": who.id,
        }
        chat.sent[key] = result
        return success(result)

    def start_streaming(self, call: Call, parameters: Members) -> Response:
        """StartContactStreaming: from now on what is said also goes to the topic."""
        chat, configuration = self._connect.contact(parameters, "ContactId"), parameters["ChatStreamingConfiguration"]
        try:
            check_streaming(configuration)
        except Invalid as invalid:
            raise Refused("InvalidParameterException", invalid.message) from None
        if chat.ended is not None:
            raise Refused("InvalidRequestException", "The contact has ended.")
        key = f"streaming {parameters['ClientToken']}"
        if key not in chat.sent:
            chat.sent[key] = {"StreamingId": self.state.chats.add_stream(chat, configuration["StreamingEndpointArn"])}
        return success(chat.sent[key])

    def stop_streaming(self, call: Call, parameters: Members) -> Response:
        """StopContactStreaming."""
        chat = self._connect.contact(parameters, "ContactId")
        if (chat.streams or {}).pop(parameters["StreamingId"], None) is None:
            raise Refused("ResourceNotFoundException", NOT_FOUND.format("STREAMING"))
        return success({})
