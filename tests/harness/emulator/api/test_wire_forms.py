"""The forms that a 429 may take on the wire, as botocore reads them; the order and the cost of the checks."""

import pytest
from botocore.parsers import create_parser
from botocore.session import get_session

from harness.emulator.api.responses import Response, error, quota_response, throttle_response
from harness.emulator.settings.parse import parse_settings
from harness.emulator.settings.settings import ORDERS
from tests.harness.emulator.support import Lab


def code_by_botocore(response: Response) -> tuple[int, str]:
    """Status and error code as botocore's rest-json parser sees them."""
    headers = {name.decode(): value.decode() for name, value in response.headers}
    shape = get_session().get_service_model("connect").operation_model("StartChatContact").output_shape
    assert shape is not None
    parts = {"status_code": response.status, "headers": headers, "body": response.body}
    parsed = create_parser("rest-json").parse(parts, shape)
    return response.status, parsed["Error"]["Code"]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("too_many_requests", "TooManyRequestsException"),
        ("too_many_requests_url", "TooManyRequestsException"),
        ("too_many_requests_type", "TooManyRequestsException"),
        ("too_many_requests_namespace", "TooManyRequestsException"),
        ("too_many_requests_code", "TooManyRequestsException"),
        ("throttling", "ThrottlingException"),
        ("gateway_quota", "LimitExceededException"),
        ("bare", "429"),
        ("empty", "429"),
    ],
)
def test_throttle_forms(form: str, code: str) -> None:
    """Each form of a throttle is a 429 under the code that botocore gives that form."""
    response = throttle_response(parse_settings(f"throttle_form={form}"), declares_throttling=False)
    assert code_by_botocore(response) == (429, code)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("limit_exceeded", "LimitExceededException"),
        ("limit_exceeded_url", "LimitExceededException"),
        ("limit_exceeded_type", "LimitExceededException"),
        ("service_quota", "ServiceQuotaExceededException"),
    ],
)
def test_quota_forms(form: str, code: str) -> None:
    """Each form of an active-chat refusal is a 429 under the code that botocore gives that form."""
    assert code_by_botocore(quota_response(parse_settings(f"quota_form={form}"))) == (429, code)


def test_messages_of_refusals_are_settings() -> None:
    """The texts of both refusals can be set."""
    settings = parse_settings("throttle_message=slow down,quota_message=full house")
    assert b"slow down" in throttle_response(settings, declares_throttling=False).body
    assert b"full house" in quota_response(settings).body


def test_throttle_is_named_as_the_model_declares() -> None:
    """By default an operation that declares ThrottlingException throttles with it, any other as API Gateway does."""
    lab = Lab("rate=0,burst=0,DescribeContact.rate=0,DescribeContact.burst=0,StopContact.burst=0")
    assert lab.start().code == lab.stop("x").code == "TooManyRequestsException"
    assert lab.describe("x").code == "ThrottlingException"


def test_modelled_errors_have_the_models_member() -> None:
    """Errors of the service say `Message`, as modelled; errors of the front say `message`."""
    assert error("InvalidRequestException", "m").body == b'{"Message":"m"}'
    assert error("MissingAuthenticationTokenException", "m").body == b'{"message":"m"}'


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("costs", ["yes", "no"])
def test_cost_of_a_quota_refusal(order: str, costs: str) -> None:
    """Whether an active-chat refusal takes a token is what the setting says; nothing is taken before the last check."""
    lab = Lab(f"active_chats=0,rate=0.001,burst=3,order={order},quota_costs_token={costs}")
    codes = [lab.start().code for _ in range(5)]
    free = costs == "no" or order == "validation-quota-throttle"
    assert codes == ["LimitExceededException"] * (5 if free else 3) + ["TooManyRequestsException"] * (0 if free else 2)


@pytest.mark.parametrize(
    ("order", "costs", "free"),
    [
        ("throttle-validation-quota", "yes", False),
        ("throttle-validation-quota", "no", True),
        ("validation-throttle-quota", "yes", True),
    ],
)
def test_cost_of_an_invalid_request(order: str, costs: str, free: bool) -> None:
    """An invalid request takes a token only where the throttle comes first and the setting says so."""
    lab = Lab(f"rate=0.001,burst=2,order={order},invalid_costs_token={costs}")
    codes = [lab.start(ChatDurationInMinutes=1).code for _ in range(4)]
    assert codes.count("TooManyRequestsException") == (0 if free else 2)


@pytest.mark.parametrize(("costs", "replays"), [("yes", 1), ("no", 4)])
def test_cost_of_a_replay(costs: str, replays: int) -> None:
    """Whether a replayed ClientToken takes a token is what the setting says."""
    lab = Lab(f"rate=0.001,burst=2,replay_costs_token={costs}")
    statuses = [lab.start(ClientToken="t").status for _ in range(5)]
    assert statuses == [200] * (1 + replays) + [429] * (4 - replays)


def test_each_operation_has_its_own_bucket() -> None:
    """Emptying one operation's bucket leaves the others' full; the documented bursts hold."""
    lab = Lab("active_chats=1000")
    assert [lab.start().status for _ in range(9)] == [200] * 8 + [429]
    assert [lab.describe("x").status for _ in range(16)] == [404] * 15 + [429]
    assert [lab.stop("x").status for _ in range(16)] == [410] * 15 + [429]


def test_participant_buckets_count_by_instance() -> None:
    """The Participant Service's quotas hold by instance: another instance's customers find a full bucket."""
    lab = Lab("instances=2,rate=inf")
    first, second = lab.state.chats.open
    _, here = lab.connected(InstanceId=first)
    _, there = lab.connected(InstanceId=second)
    message = {"ContentType": "text/plain", "Content": "x"}
    assert [lab.participant("message", here, message).status for _ in range(16)] == [200] * 15 + [429]
    assert lab.participant("message", here, message).code == "ThrottlingException"
    assert lab.participant("message", there, message).status == 200


@pytest.mark.parametrize(
    ("route", "status", "code"),
    [
        ("missing_token", 403, "MissingAuthenticationTokenException"),
        ("unknown_operation", 404, "UnknownOperationException"),
    ],
)
def test_unknown_route(route: str, status: int, code: str) -> None:
    """A path that is not an operation is answered as the setting says."""
    lab = Lab(f"unknown_route={route}")
    for method, path in (
        ("GET", "/"),
        ("POST", "/contact/chat"),
        ("PUT", "/contact/chat/"),
        ("GET", "/contacts/a/b/c"),
    ):
        reply = lab.call(method, path)
        assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize("token", ["x", "-1", "9" * 50_000, "é"])
def test_search_refuses_a_token_that_it_did_not_give(token: str) -> None:
    """A NextToken of SearchContacts that is not the emulator's is InvalidParameterException."""
    lab = Lab()
    span = {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4e9}
    request = {"InstanceId": lab.settings.instance_id, "TimeRange": span, "NextToken": token}
    assert lab.call("POST", "/search-contacts", request).code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("how", "values", "matches"),
    [
        ("MATCH_ALL", ["a", "b"], {"ab"}),
        ("MATCH_ANY", ["a", "b"], {"ab", "a", "b"}),
        ("MATCH_NONE", ["a", "b"], {"neither"}),
    ],
)
def test_search_combines_attributes(how: str, values: list[str], matches: set[str]) -> None:
    """MatchType says how the criteria on several attributes combine."""
    lab = Lab("rate=inf")
    contacts = {}
    for name, attributes in {"ab": {"k": "a", "l": "b"}, "a": {"k": "a"}, "b": {"l": "b"}, "neither": {}}.items():
        contacts[lab.start(Attributes=attributes).body["ContactId"]] = name
    criteria = [{"Key": key, "Values": [value]} for key, value in zip("kl", values, strict=True)]
    request = {
        "InstanceId": lab.settings.instance_id,
        "TimeRange": {"Type": "INITIATION_TIMESTAMP", "StartTime": 0, "EndTime": 4e9},
        "SearchCriteria": {"SearchableContactAttributes": {"Criteria": criteria, "MatchType": how}},
    }
    found = lab.call("POST", "/search-contacts", request).body["Contacts"]
    assert {contacts[contact["Id"]] for contact in found} == matches
