"""The operations of Amazon Connect itself: start, stop and describe chats, search them, count them."""

import msgspec
import orjson

from harness.emulator.api.responses import Refused, Response, quota_response, success
from harness.emulator.api.rules import check_start_chat
from harness.emulator.api.search import search
from harness.emulator.api.validation import load_model
from harness.emulator.service.chats import STOPPED, Chat, Replay
from harness.emulator.service.limiters import Limiter
from harness.emulator.service.members import Members
from harness.emulator.service.state import State

NOT_FOUND = "Resource not found of Type: {}"


class Call(msgspec.Struct, frozen=True, gc=False):
    """What a handler needs of a call beside its parameters: when it came, its limiter, whether it has paid a token there,
    and its body as sent.
    """

    now: float
    limiter: Limiter
    paid: bool
    body: bytes


class Throttled(Exception):
    """The call finds no token."""


class ConnectApi:
    """Handlers: `(call, parameters) -> Response`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._quota_response = quota_response(state.settings)
        self._any_flow = state.settings.contact_flow_id == "any"

    def check_instance(self, parameters: Members) -> str:
        """Return the instance that a call names by id or ARN; ResourceNotFoundException if there is none."""
        instance = self.state.instances.get(parameters["InstanceId"])
        if instance is None:
            raise Refused("ResourceNotFoundException", NOT_FOUND.format("INSTANCE"))
        return instance

    def check_start_chat(self, parameters: Members) -> None:
        """Everything that makes a StartChatContact request valid, beyond its shape."""
        check_start_chat(parameters, self.state.settings)
        instance = self.check_instance(parameters)
        flow = parameters["ContactFlowId"]
        if not self._any_flow and flow != self.state.settings.contact_flow_id:
            arn = f"{self.state.instance_arn(instance)}/contact-flow/{self.state.settings.contact_flow_id}"
            if flow != arn:
                raise Refused("ResourceNotFoundException", NOT_FOUND.format("CONTACT_FLOW"))
        related = parameters.get("RelatedContactId")
        if related is not None and self._find(instance, related) is None:
            raise Refused("ResourceNotFoundException", NOT_FOUND.format("CONTACT"))
        persistent = parameters.get("PersistentChat")
        if persistent is not None:
            source = self._find(instance, persistent["SourceContactId"])
            if source is None:
                raise Refused("ResourceNotFoundException", NOT_FOUND.format("CONTACT"))
            if source.ended is None:
                raise Refused("InvalidRequestException", "Only a chat that has ended can be continued.")

    def start_chat(self, call: Call, parameters: Members) -> Response:
        """StartChatContact. Raises Throttled where the throttle is the last check."""
        state, now, limiter, paid = self.state, call.now, call.limiter, call.paid
        chats, settings = state.chats, state.settings
        instance = state.instances[parameters["InstanceId"]]
        token = parameters.get("ClientToken") or None
        asked = _fingerprint(parameters, instance) if token and settings.client_token_mismatch == "invalid" else b""
        replay = chats.replay(now, instance, token) if token else None
        if replay is not None:
            if replay.request != asked:
                raise Refused("InvalidParameterException", "ClientToken was used with other parameters.")
            if paid and not settings.replay_costs_token:
                limiter.refund()
            elif not paid and settings.replay_costs_token and not limiter.admit(now):
                raise Throttled
            return success(self._replayed(now, replay, parameters))
        if not chats.has_room(instance):
            if paid and not settings.quota_costs_token:
                limiter.refund()
            return self._quota_response
        if not paid and not limiter.admit(now):
            raise Throttled
        chat = chats.start(now, instance, parameters, call.body, token, asked)
        if parameters.get("PersistentChat") is not None:
            chat.past = state.conversations.items(chats.by_id[parameters["PersistentChat"]["SourceContactId"]])
        result: Members = {
            "ContactId": chat.contact_id,
            "ParticipantId": chat.participant_id,
            "ParticipantToken": chat.participant_token,
        }
        self._extend(now, result, chat, parameters)
        state.started(now, chat)
        return success(result)

    def stop_contact(self, call: Call, parameters: Members) -> Response:
        """StopContact. A contact that is unknown or has ended is ContactNotFoundException."""
        chat = self._find(self.check_instance(parameters), parameters["ContactId"])
        if chat is None or not self.state.chats.end(call.now, chat, STOPPED):
            raise Refused("ContactNotFoundException", "Contact not found, or it has ended.")
        return success({})

    def describe_contact(self, call: Call, parameters: Members) -> Response:
        """DescribeContact."""
        chat = self.contact(parameters, "ContactId")
        unix, request = self.state.clock.unix, chat.request
        contact: Members = {
            "Arn": f"{self.state.instance_arn(chat.instance)}/contact/{chat.contact_id}",
            "Id": chat.contact_id,
            "InitialContactId": chat.contact_id,
            "ContactAssociationId": chat.contact_id,
            "InitiationMethod": "API",
            "Channel": "CHAT",
            "InitiationTimestamp": unix(chat.started),
            "LastUpdateTimestamp": unix(chat.started if chat.ended is None else chat.ended),
        }
        if chat.connected is not None:
            contact["ConnectedToSystemTimestamp"] = unix(chat.connected)
        if chat.ended is not None:
            contact["DisconnectTimestamp"] = unix(chat.ended)
            contact["DisconnectReason"] = chat.reason
        for name in ("CustomerId", "RelatedContactId", "SegmentAttributes"):
            if request.get(name) is not None:
                contact[name] = request[name]
        if request.get("PersistentChat") is not None:
            contact["RelatedContactId"] = request["PersistentChat"]["SourceContactId"]
        return success({"Contact": contact})

    def search_contacts(self, call: Call, parameters: Members) -> Response:
        """SearchContacts, by time, channel, initiation method and contact attributes."""
        instance = self.check_instance(parameters)
        latest = call.now - self.state.settings.search_lag
        asked = (parameters.get("SearchCriteria") or {}).get("SearchableContactAttributes")
        found = not asked or self.state.settings.searchable
        chats = [
            chat
            for chat in self.state.chats.by_id.values()
            if found and chat.instance == instance and chat.started <= latest
        ]
        return success(search(chats, parameters, self.state.clock.unix, self.state.instance_arn(instance)))

    def get_current_metric_data(self, call: Call, parameters: Members) -> Response:
        """GetCurrentMetricData: the chats wait in one queue and no agent works, so all else is zero."""
        instance = self.check_instance(parameters)
        channels = parameters["Filters"].get("Channels")
        counted = not channels or "CHAT" in channels
        chats = [chat for chat in self.state.chats.by_id.values() if chat.instance == instance and chat.ended is None]
        values = {
            "CONTACTS_IN_QUEUE": len(chats),
            "OLDEST_CONTACT_AGE": max((call.now - c.started for c in chats), default=0),
        }
        collections = [
            {"Metric": metric, "Value": float(values.get(metric.get("Name"), 0) if counted else 0)}
            for metric in parameters["CurrentMetrics"]
        ]
        dimensions = {"Channel": "CHAT"} if "CHANNEL" in (parameters.get("Groupings") or []) else {}
        return success(
            {
                "MetricResults": [{"Dimensions": dimensions, "Collections": collections}],
                "DataSnapshotTime": self.state.clock.unix(call.now),
                "ApproximateTotalCount": 1,
            }
        )

    def contact(self, parameters: Members, member: str) -> Chat:
        """Return the chat that a call names in `member`; ResourceNotFoundException if there is none."""
        chat = self._find(self.check_instance(parameters), parameters[member])
        if chat is None:
            raise Refused("ResourceNotFoundException", NOT_FOUND.format("CONTACT"))
        return chat

    def _find(self, instance: str, contact_id: str) -> Chat | None:
        chat = self.state.chats.by_id.get(contact_id)
        return chat if chat is not None and chat.instance == instance else None

    def _replayed(self, now: float, replay: Replay, parameters: Members) -> Members:
        chat = self.state.chats.by_id.get(replay.contact_id)
        token = replay.participant_token
        if chat is not None and self.state.settings.replay_participant_token == "new":
            token = self.state.chats.add_participant_token(chat)
        result: Members = {
            "ContactId": replay.contact_id,
            "ParticipantId": replay.participant_id,
            "ParticipantToken": token,
        }
        if chat is not None and chat.ended is None:
            self._extend(now, result, chat, parameters)
        return result

    def _extend(self, now: float, result: Members, chat: Chat, parameters: Members) -> None:
        """Add the later, optional members of the result."""
        if parameters.get("ConnectionTypes"):
            result.update(self.state.connection(now, chat, parameters["ConnectionTypes"]))
        if parameters.get("PersistentChat") is not None:
            result["ContinuedFromContactId"] = parameters["PersistentChat"]["SourceContactId"]
        if parameters.get("ChatStreamingConfiguration") is not None:
            arn = parameters["ChatStreamingConfiguration"]["StreamingEndpointArn"]
            result["StreamingId"] = self.state.chats.add_stream(chat, arn)


def _fingerprint(parameters: Members, instance: str) -> bytes:
    """Return what a request asks for, however it is written: keys sorted at every depth, ids and ARNs alike."""
    asked = {name: parameters[name] for name in _MEMBERS if parameters.get(name) is not None}
    asked["InstanceId"] = instance
    asked["ContactFlowId"] = parameters["ContactFlowId"].rpartition("/")[2]
    return orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)


_MEMBERS = tuple(load_model("connect").shape_for("StartChatContactRequest").members.keys() - {"ClientToken"})  # type: ignore[attr-defined]
