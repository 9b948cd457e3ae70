"""Requests against AWS's model and its documented rules: what is at a limit passes, what is beyond it is refused."""

import json
from typing import Any

import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.harness.emulator.support import Lab

INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"
LAB = Lab("rate=inf,active_chats=1000000000")


def nested(path: str, value: Any) -> dict[str, Any]:
    """`{a: {b: value}}` from `a.b`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    built: dict[str, Any] = value
    return built


AT_THE_LIMIT: list[dict[str, Any]] = [
    nested("ParticipantDetails.DisplayName", "x" * 256),
    {"Attributes": {"k" * 16_384: "v" * 16_384}},
    {"Attributes": {"key-1_B": "é" * 10, "empty": ""}},
    {"Attributes": {}},
    {"ClientToken": "t" * 500},
    {"ChatDurationInMinutes": 60},
    {"ChatDurationInMinutes": 10_080},
    {"SupportedMessagingContentTypes": ["text/markdown", "text/plain"]},
    {"InitialMessage": {"ContentType": "text/plain", "Content": "x" * 16_384}},
    {"InitialMessage": {"ContentType": "text/plain", "Content": "🙂" * 4096}},
    {"CustomerId": "c" * 128},
    {"DisconnectOnCustomerExit": ["AGENT"]},
    {"ConnectionTypes": ["WEBSOCKET", "CONNECTION_CREDENTIALS"]},
    {"ParticipantConfiguration": {"ResponseMode": "COMPLETE"}},
    {"SegmentAttributes": {"s": {"ValueMap": {"a": {"ValueList": [{"ValueString": "x"}]}}}}},
    {
        "SegmentAttributes": {"connect:Subtype": {"ValueString": "connect:Guide"}},
        "SupportedMessagingContentTypes": ["text/plain", INTERACTIVE, f"{INTERACTIVE}.response"],
    },
    {"Attributes": None, "InitialMessage": None, "ChatDurationInMinutes": None},
    {"MemberOfTheFuture": 1},
]
BEYOND_IT: list[dict[str, Any]] = [
    nested("ParticipantDetails.DisplayName", "x" * 257),
    nested("ParticipantDetails.DisplayName", ""),
    {"Attributes": {"k" * 16_385: "v" * 16_384}},
    {"Attributes": {"key": "é" * 16_384}},
    {"Attributes": {"two words": "v"}},
    {"Attributes": {"dot.key": "v"}},
    {"Attributes": {"ключ": "v"}},
    {"Attributes": {"new\nline": "v"}},
    {"Attributes": {"newline\n": "v"}},
    {"Attributes": {"": "v"}},
    {"ClientToken": "t" * 501},
    {"ChatDurationInMinutes": 59},
    {"ChatDurationInMinutes": 10_081},
    {"SupportedMessagingContentTypes": []},
    {"SupportedMessagingContentTypes": ["text/markdown"]},
    {"SupportedMessagingContentTypes": ["text/plain", "text/html"]},
    {"InitialMessage": {"ContentType": "text/plain", "Content": ""}},
    {"InitialMessage": {"ContentType": "text/plain", "Content": "x" * 16_385}},
    {"InitialMessage": {"ContentType": "text/plain", "Content": "🙂" * 4097}},
    {"InitialMessage": {"ContentType": "text/markdown", "Content": "*x*"}},
    {"InitialMessage": {"ContentType": "text/html", "Content": "x"}},
    {"InstanceId": ""},
    {"InstanceId": "i" * 101},
    {"ContactFlowId": "f" * 501},
    {"CustomerId": ""},
    {"CustomerId": "c" * 129},
    {"DisconnectOnCustomerExit": []},
    {"DisconnectOnCustomerExit": ["CUSTOMER"]},
    {"ConnectionTypes": []},
    {"ConnectionTypes": ["WEBSOCKET", "WEBSOCKET", "WEBSOCKET"]},
    {"ConnectionTypes": ["TELEPATHY"]},
    {"ParticipantConfiguration": {"ResponseMode": "SLOW"}},
    {"PersistentChat": {"RehydrationType": "NONE", "SourceContactId": "c"}},
    {"PersistentChat": {"RehydrationType": "FROM_SEGMENT"}},
    {"PersistentChat": {"SourceContactId": "c"}, "RelatedContactId": "r"},
    {"SegmentAttributes": {"s": {"ValueString": "x" * 1025}}},
    {"SegmentAttributes": {"s p": {"ValueString": "x"}}},
    {"SegmentAttributes": {"connect:Subtype": {"ValueString": "connect:Guide"}}},
    {"ChatStreamingConfiguration": {"StreamingEndpointArn": "not an arn"}},
]
WRONG_TYPES: list[dict[str, Any]] = [
    {"InstanceId": 1},
    {"InstanceId": ...},
    {"ContactFlowId": None},
    {"ParticipantDetails": []},
    {"ParticipantDetails": {}},
    {"ParticipantDetails": "Customer"},
    {"Attributes": []},
    {"Attributes": {"k": 1}},
    {"Attributes": {"k": None}},
    {"Attributes": {"k": {"deep": "v"}}},
    {"InitialMessage": {"Content": "x"}},
    {"InitialMessage": {"ContentType": "text/plain"}},
    {"ClientToken": 5},
    {"ChatDurationInMinutes": "120"},
    {"ChatDurationInMinutes": 120.5},
    {"ChatDurationInMinutes": True},
    {"ChatDurationInMinutes": 10**30},
    {"SupportedMessagingContentTypes": "text/plain"},
    {"SupportedMessagingContentTypes": ["text/plain", None]},
    {"SegmentAttributes": {"s": "x"}},
    {"SegmentAttributes": {"s": {"ValueInteger": "1"}}},
    {"ConnectionTypes": {"0": "WEBSOCKET"}},
    {"ChatStreamingConfiguration": {}},
]


@pytest.mark.parametrize("members", AT_THE_LIMIT, ids=lambda m: ",".join(m))
def test_request_at_its_limits_is_accepted(members: dict[str, Any]) -> None:
    """What AWS documents as allowed, to the last byte, starts a chat."""
    reply = LAB.start(**members)
    assert reply.status == 200, reply


@pytest.mark.parametrize("members", BEYOND_IT, ids=lambda m: ",".join(m))
def test_request_beyond_its_limits_is_refused(members: dict[str, Any]) -> None:
    """One step beyond a documented limit is InvalidParameterException, with the parameter in its message."""
    before = LAB.state.chats.live
    reply = LAB.start(**members)
    assert (reply.status, reply.code) == (400, "InvalidParameterException")
    named = {name[:1].lower() + name[1:] for name in members}
    assert any(name in reply.message for name in named), reply.message
    assert LAB.state.chats.live == before


@pytest.mark.parametrize("members", WRONG_TYPES, ids=lambda m: ",".join(m))
def test_request_of_wrong_types_is_refused(members: dict[str, Any]) -> None:
    """A missing member or one of another type is InvalidRequestException."""
    reply = LAB.start(**members)
    assert (reply.status, reply.code) == (400, "InvalidRequestException")
    assert reply.message


def test_account_without_custom_durations() -> None:
    """Where custom durations are not enabled, ChatDurationInMinutes is a 400 and nothing else is."""
    lab = Lab("custom_durations=no")
    assert lab.start(ChatDurationInMinutes=120).status == 400
    assert lab.start().status == 200


@pytest.mark.parametrize("name", ["InstanceId", "ContactFlowId"])
def test_unknown_resource_is_not_found(name: str) -> None:
    """An instance or a flow that does not exist is ResourceNotFoundException 404."""
    reply = LAB.start(**{name: "99999999-9999-4999-8999-999999999999"})
    assert (reply.status, reply.code) == (404, "ResourceNotFoundException")


def test_related_contact_is_looked_up() -> None:
    """A RelatedContactId names a contact of the instance, or the answer is ResourceNotFoundException."""
    reply = LAB.start(RelatedContactId="nobody")
    assert (reply.status, reply.code) == (404, "ResourceNotFoundException")
    assert LAB.start(RelatedContactId=LAB.start().body["ContactId"]).status == 200


def test_ids_may_be_arns() -> None:
    """Instance and flow may be named by their ARNs."""
    instance = LAB.state.instance_arn(LAB.settings.instance_id)
    flow = f"{instance}/contact-flow/{LAB.settings.contact_flow_id}"
    assert LAB.start(InstanceId=instance, ContactFlowId=flow).status == 200


def test_persistent_chat_continues_an_ended_chat_only() -> None:
    """PersistentChat names a chat that has ended; the answer says from which it continues."""
    source = LAB.start().body["ContactId"]
    persistent = {"RehydrationType": "ENTIRE_PAST_SESSION", "SourceContactId": source}
    assert LAB.start(PersistentChat=persistent).code == "InvalidRequestException"
    LAB.stop(source)
    assert LAB.start(PersistentChat=persistent).body["ContinuedFromContactId"] == source
    unknown = {**persistent, "SourceContactId": "nobody"}
    assert LAB.start(PersistentChat=unknown).code == "ResourceNotFoundException"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.slow
@hypothesis_settings(max_examples=300, deadline=None)
@given(members=st.dictionaries(st.sampled_from(sorted(LAB.request(**AT_THE_LIMIT[8], ClientToken="t"))), JSON))
def test_any_json_gets_a_documented_answer(members: dict[str, Any]) -> None:
    """Whatever JSON stands in a member, the answer is a chat or a documented refusal."""
    reply = LAB.start(**members)
    assert reply.status in (200, 400, 404)
    assert reply.status == 200 or reply.code in (
        "InvalidRequestException",
        "InvalidParameterException",
        "ResourceNotFoundException",
    )


@pytest.fixture(scope="module")
def models() -> dict[str, ServiceModel]:
    session = get_session()
    return {name: session.get_service_model(name) for name in ("connect", "connectparticipant")}


def test_answers_fit_the_service_model(models: dict[str, ServiceModel]) -> None:
    """Each operation's answer parses with botocore and satisfies the output shape of AWS's model."""
    lab = Lab("greeting=Welcome")
    instance = lab.settings.instance_id
    started = lab.start(
        ConnectionTypes=["WEBSOCKET", "CONNECTION_CREDENTIALS"],
        ChatStreamingConfiguration={"StreamingEndpointArn": "arn:aws:sns:us-east-1:000000000000:topic"},
        Attributes={"loadtest-run": "r"},
        SegmentAttributes={"s": {"ValueString": "x"}},
        CustomerId="c",
    ).body
    contact, token = started["ContactId"], started["ConnectionCredentials"]["ConnectionToken"]
    typing = "application/vnd.amazonaws.connect.event.typing"
    answers = {
        "StartChatContact": started,
        "CreateParticipantConnection": lab.participant(
            "connection", started["ParticipantToken"], {"Type": ["WEBSOCKET", "CONNECTION_CREDENTIALS"]}
        ).body,
        "SendMessage": lab.participant("message", token, {"ContentType": "text/plain", "Content": "hi"}).body,
        "SendEvent": lab.participant("event", token, {"ContentType": typing}).body,
        "GetTranscript": lab.participant("transcript", token, {"MaxResults": 2}).body,
        **more_answers(lab, contact, token),
        "DisconnectParticipant": lab.participant("disconnect", token).body,
        "DescribeContact": lab.describe(contact).body,
        "SearchContacts": lab.call(
            "POST",
            "/search-contacts",
            {
                "InstanceId": instance,
                "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4e9},
                "SearchCriteria": {
                    "SearchableContactAttributes": {"Criteria": [{"Key": "loadtest-run", "Values": ["r"]}]}
                },
            },
        ).body,
        "GetCurrentMetricData": lab.call(
            "POST",
            f"/metrics/current/{instance}",
            {"Filters": {"Queues": ["q"]}, "CurrentMetrics": [{"Name": "CONTACTS_IN_QUEUE", "Unit": "COUNT"}]},
        ).body,
        "StopContact": lab.stop(lab.start().body["ContactId"]).body,
    }
    parser, validator = create_parser("rest-json"), ParamValidator()
    served = {operation.name: operation for operation in lab.api.operations()}
    assert set(answers) == set(served)
    for name, body in answers.items():
        shape = models["connect" if served[name].service == "connect" else "connectparticipant"]
        output = shape.operation_model(name).output_shape
        assert output is not None
        assert set(body) <= set(output.members), name
        parsed = parser.parse({"status_code": 200, "headers": {}, "body": _json(body)}, output)
        parsed.pop("ResponseMetadata")
        report = validator.validate(parsed, output)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"
        assert set(parsed) == set(body)


def more_answers(lab: Lab, contact: str, token: str) -> dict[str, dict[str, Any]]:
    """Answers about attachments, attributes, further participants and streaming."""
    names = {"InstanceId": lab.settings.instance_id, "ContactId": contact}
    attributes = {"InstanceId": lab.settings.instance_id, "InitialContactId": contact, "Attributes": {"a": "b"}}
    file = {"ContentType": "image/png", "AttachmentSizeInBytes": 1, "AttachmentName": "x.png", "ClientToken": "t"}
    upload = lab.participant("start-attachment-upload", token, file).body
    name, address = upload["AttachmentId"], upload["UploadMetadata"]["Url"]
    chat = lab.state.chats.by_id[contact]
    assert lab.state.attachments.upload(lab.clock.at, chat, name, address.partition("secret=")[2], b"x")
    done = {"AttachmentIds": [name], "ClientToken": "t"}
    topic = {"StreamingEndpointArn": "arn:aws:sns:us-east-1:000000000000:topic"}
    streaming = lab.call(
        "POST", "/contact/start-streaming", {**names, "ChatStreamingConfiguration": topic, "ClientToken": "t"}
    ).body
    bot = {"ParticipantDetails": {"ParticipantRole": "CUSTOM_BOT", "DisplayName": "Robi"}}
    return {
        "StartAttachmentUpload": upload,
        "CompleteAttachmentUpload": lab.participant("complete-attachment-upload", token, done).body,
        "GetAttachment": lab.participant("attachment", token, {"AttachmentId": name}).body,
        "UpdateContactAttributes": lab.call("POST", "/contact/attributes", attributes).body,
        "GetContactAttributes": lab.call("GET", f"/contact/attributes/{names['InstanceId']}/{contact}").body,
        "CreateParticipant": lab.call("POST", "/contact/create-participant", {**names, **bot}).body,
        "StartContactStreaming": streaming,
        "StopContactStreaming": lab.call("POST", "/contact/stop-streaming", {**names, **streaming}).body,
    }


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
