"""Answers mean what the SDK takes them for, and each has exactly one outcome."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.connect.client import ConnectClient
from harness.connect.outcome import classify, read_error
from harness.connect.signing import Credentials
from harness.connect.wire import Endpoint, Pool, Response
from harness.vocabulary import OUTCOMES, START_CHAT, STOP_CONTACT, cause_of_429
from tests.support.botocore_says import Sdk
from tests.support.scripted_server import ScriptedServer, answer, answering, serving
from tests.support.wiretap import Wiretap


@cache
def sdk() -> Sdk:
    return Sdk("http://127.0.0.1:4566", "us-east-1")


CODES = (
    "TooManyRequestsException",
    "ThrottlingException",
    "LimitExceededException",
    "ServiceQuotaExceededException",
    "InvalidRequestException",
    "InvalidParameterException",
    "ResourceNotFoundException",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InternalServiceException",
    "SomethingNewException",
)
codes = st.sampled_from(CODES) | st.sampled_from(CODES).flatmap(
    lambda code: st.sampled_from(
        [f"{code}:http://internal.amazon.com/coral/com.amazon/", f"com.amazonaws.connect#{code}", f"aws.x#{code}:y"]
    )
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
objects: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"message": words, "Message": words, "code": codes, "Code": codes, "__type": codes, "Detail": words}
)
bodies = (
    objects.map(lambda body: json.dumps(body).encode())
    | st.just(b"")
    | st.just(b"<html>Too Many Requests</html>")
    | words.filter(lambda text: not _is_json(text)).map(str.encode)  # boto3 itself fails on JSON that is no object
)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


STATUSES = [400, 401, 403, 404, 408, 410, 413, 429, 500, 502, 503, 504]


@pytest.mark.slow
@settings(max_examples=1500)
@given(
    status=st.sampled_from([400, 401, 403, 404, 408, 410, 413, 429, 500, 502, 503, 504]),
    header=st.none() | codes,
    body=bodies,
)
def test_code_message_and_status_are_the_sdks(status: int, header: str | None, body: bytes) -> None:
    """What an error answer says is read as boto3 reads it; where boto3 makes the status up into a code there is none.

    One thing is read that boto3 drops: the error type in the header of a 5xx whose body is empty or HTML.
    """
    headers = {} if header is None else {"x-amzn-errortype": header}
    their_code, their_message, their_status, _ = sdk().makes_of(status, headers, body)
    code, message = read_error(headers, body)
    assert status == their_status
    if status >= 500 and (not body.strip() or body.strip().startswith(b"<html>")):
        assert (their_code, message) == (str(status), body.decode())
        assert (code is None) == (header is None)
        return
    assert (code or str(status), message) == (their_code, their_message)


def eight_in_common(text: str, secrets: str) -> bool:
    return any(text[at : at + 8] in secrets for at in range(len(text) - 7))


@pytest.mark.slow
@settings(max_examples=300)
@given(contact=ids, participant=st.none() | ids, token=st.none() | ids, extra=words)
def test_a_start_is_read_as_the_sdk_reads_it(
    contact: str, participant: str | None, token: str | None, extra: str
) -> None:
    """The contact and the token of a 200 are a boto3 caller's, unless the contact repeats the token."""
    assume(not eight_in_common(contact, token or ""))
    fields = {"ContactId": contact, "ParticipantId": participant, "ParticipantToken": token, "Unknown": extra}
    body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    _, _, status, theirs = sdk().makes_of(200, {}, body)
    tap = Wiretap()
    tap.answer = Response(200, {}, body)
    reply = tap.client(Credentials("AKID", "secret")).start_chat(b"{}")
    assert (reply.contact_id, reply.participant_token) == (theirs["ContactId"], theirs.get("ParticipantToken"))
    assert (status, reply.outcome) == (200, "started")


TYPE = "x-amzn-ErrorType"
WIRE_FORMS = {
    # TPS throttles: where the code can stand, and under which names
    "header": (answer(429, b'{"message": "Too Many Requests"}', f"{TYPE}: TooManyRequestsException"), "tps_throttled"),
    "header with a URL": (answer(429, b"{}", f"{TYPE}: TooManyRequestsException:http://x/"), "tps_throttled"),
    "header, any case": (answer(429, b"{}", "X-AMZN-ERRORTYPE: TooManyRequestsException"), "tps_throttled"),
    "__type": (answer(429, b'{"__type": "TooManyRequestsException", "Message": "m"}'), "tps_throttled"),
    "__type with a namespace": (
        answer(429, b'{"__type": "com.amazonaws.connect#ThrottlingException"}'),
        "tps_throttled",
    ),
    "code": (answer(429, b'{"code": "TooManyRequestsException"}'), "tps_throttled"),
    "Code": (answer(429, b'{"Code": "ThrottlingException"}'), "tps_throttled"),
    "ThrottlingException, 400": (answer(400, b"{}", f"{TYPE}: ThrottlingException"), "tps_throttled"),
    "short name": (answer(429, b"{}", f"{TYPE}: TooManyRequests"), "tps_throttled"),
    "gateway's 503": (answer(503, b"{}", f"{TYPE}: ThrottlingException"), "tps_throttled"),
    # the quota of active chats
    "quota in the header": (answer(429, b'{"Message": "q"}', f"{TYPE}: LimitExceededException"), "active_chat_limit"),
    "quota in __type": (answer(429, b'{"__type": "LimitExceededException"}'), "active_chat_limit"),
    "service quota": (answer(402, b"{}", f"{TYPE}: ServiceQuotaExceededException"), "active_chat_limit"),
    # a 429 of neither kind is never guessed
    "bare 429": (answer(429, b""), "unclassified_429"),
    "429 with a message only": (answer(429, b'{"message": "Limit Exceeded"}'), "unclassified_429"),
    "429 in HTML": (answer(429, b"<html>429</html>"), "unclassified_429"),
    "429 of the widget's wrapper": (
        answer(429, b'{"data":{"statusCode":{"code":429,"msg":"Service Quota Exceeded"}}}'),
        "unclassified_429",
    ),
    "429 with an unknown code": (answer(429, b"{}", f"{TYPE}: NewException"), "unclassified_429"),
    # everything else
    "invalid request": (
        answer(400, b'{"Message": "m", "Reason": "r"}', f"{TYPE}: InvalidRequestException"),
        "invalid_request",
    ),
    "bare 400": (answer(400, b""), "invalid_request"),
    "unknown instance": (answer(404, b"{}", f"{TYPE}: ResourceNotFoundException"), "not_found"),
    "gone": (answer(410, b"{}", f"{TYPE}: ContactNotFoundException"), "not_found"),
    "denied": (answer(403, b"{}", f"{TYPE}: AccessDeniedException"), "access_denied"),
    "bad signature": (answer(403, b"{}", f"{TYPE}: InvalidSignatureException"), "access_denied"),
    "expired token, 400": (answer(400, b"{}", f"{TYPE}: ExpiredTokenException"), "access_denied"),
    "fault": (answer(500, b"{}", f"{TYPE}: InternalServiceException"), "service_error"),
    "fault that calls itself a throttle": (answer(500, b"{}", f"{TYPE}: ThrottlingException"), "service_error"),
    "bare 503": (answer(503, b""), "service_error"),
    "redirect": (answer(302, b"", "Location: http://x/"), "service_error"),
    "200 without a contact": (answer(200, b"{}"), "service_error"),
    "200 that is no JSON": (answer(200, b"<html>"), "service_error"),
    "200 with a list": (answer(200, b'["ContactId"]'), "service_error"),
    "200 with a number": (answer(200, b'{"ContactId": 7}'), "service_error"),
    "200 with an empty id": (answer(200, b'{"ContactId": ""}'), "service_error"),
    "started": (answer(200, b'{"ContactId": "c"}'), "started"),
}


@pytest.fixture
def client_of() -> Iterator[Any]:
    pools: list[Pool] = []

    def make(server: ScriptedServer) -> ConnectClient:
        pools.append(Pool(Endpoint.parse(server.url), 20.0))
        return ConnectClient(pools[-1], "us-east-1", lambda: Credentials("AKID", "secret"), "test")

    yield make
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("form", WIRE_FORMS)
def test_each_wire_form_has_its_outcome(form: str, client_of: Any) -> None:
    """Every form in which the service is known to answer becomes the outcome that the documentation gives it."""
    raw, outcome = WIRE_FORMS[form]
    with serving(answering(raw)) as server:
        reply = client_of(server).start_chat(b"{}")
    assert reply.outcome == outcome
    assert (reply.contact_id is not None) == (outcome == "started")
    assert len(server.requests) == 1


def test_an_answer_is_kept_as_it_came(client_of: Any) -> None:
    """Status, code, message, request id and sizes of a refusal are in the reply, verbatim."""
    body = '{"message": "Rate exceeded – try later"}'.encode()
    raw = answer(429, body, "x-amzn-RequestId: 0af-1", "x-amzn-ErrorType: ThrottlingException:")
    with serving(answering(raw)) as server:
        reply = client_of(server).start_chat(b"{}")
    assert (reply.status, reply.error_code, reply.message) == (429, "ThrottlingException", "Rate exceeded – try later")
    assert (reply.request_id, reply.body_bytes) == ("0af-1", len(body))
    assert reply.sent <= reply.received
    assert not reply.may_have_started


def test_a_started_chat_keeps_its_token_out_of_sight(client_of: Any) -> None:
    """The participant's token is there for the conversation, and in no text of the reply."""
    raw = answer(200, b'{"ContactId": "c", "ParticipantId": "p", "ParticipantToken": "secret-token"}')
    with serving(answering(raw)) as server:
        reply = client_of(server).start_chat(b"{}")
    assert (reply.contact_id, reply.participant_token) == ("c", "secret-token")
    assert "secret-token" not in repr(reply)


def test_stop_contact_has_its_own_outcomes(client_of: Any) -> None:
    """A stop that works is `ok`, one of a chat that is gone `not_found`, and a limit on it says nothing of active chats."""
    gone = answer(410, b"{}", f"{TYPE}: ContactNotFoundException")
    limit = answer(429, b"{}", f"{TYPE}: LimitExceededException")
    throttle = answer(429, b"{}", f"{TYPE}: TooManyRequestsException")
    with serving(answering(answer(), gone, limit, throttle)) as server:
        client = client_of(server)
        replies = [client.stop_contact("i", "c") for _ in range(4)]
    assert [reply.outcome for reply in replies] == ["ok", "not_found", "unclassified_429", "tps_throttled"]
    assert {reply.contact_id for reply in replies} == {"c"}


@pytest.mark.slow
@settings(max_examples=1000)
@given(st.sampled_from([START_CHAT, STOP_CONTACT, "SendMessage"]), st.integers(200, 599), st.none() | codes | words)
def test_every_answer_has_one_known_outcome(operation: str, status: int, code: str | None) -> None:
    """No answer is without an outcome, only a 2xx is a success, and a 429 is never anything but a refusal."""
    outcome = classify(operation, status, code)
    assert outcome in OUTCOMES
    assert (outcome in ("started", "ok")) == (200 <= status < 300 and code is None)
    if outcome == "active_chat_limit":
        assert operation == START_CHAT
    if status == 429:
        assert outcome in ("tps_throttled", "active_chat_limit", "unclassified_429")


USAGE_PLAN = b'{"message": "Limit Exceeded"}'


@pytest.mark.parametrize(
    ("status", "code", "body", "bare", "outcome"),
    [
        (429, "LimitExceededException", USAGE_PLAN, "unclassified_429", "unclassified_429"),
        (429, "LimitExceededException", USAGE_PLAN, "tps_throttled", "unclassified_429"),
        (
            429,
            "LimitExceededException",
            b'{"Message": "You have reached the limit"}',
            "tps_throttled",
            "active_chat_limit",
        ),
        (429, "LimitExceededException", b'{"message": "limit exceeded"}', "unclassified_429", "active_chat_limit"),
        (429, None, b'{"message": "Too Many Requests"}', "unclassified_429", "unclassified_429"),
        (429, None, b'{"message": "Too Many Requests"}', "tps_throttled", "tps_throttled"),
        (429, None, b"", "tps_throttled", "tps_throttled"),
        (429, None, USAGE_PLAN, "tps_throttled", "unclassified_429"),
        (429, "SomethingNew", b"{}", "tps_throttled", "unclassified_429"),
        (429, "not a name!", b"{}", "tps_throttled", "unclassified_429"),
        (503, None, b"", "tps_throttled", "service_error"),
    ],
)
def test_a_429_is_never_guessed(status: int, code: str | None, body: bytes, bare: str, outcome: str) -> None:
    """A usage plan's answer is not the chat quota, and a bare 429 is a throttle only for who says so."""
    headers = {} if code is None else {"x-amzn-errortype": code}
    read, message = read_error(headers, body)
    assert classify(START_CHAT, status, read, message, bare) == outcome


def test_the_likely_cause_of_an_unclassified_429_is_told() -> None:
    """In words that say what to do."""
    assert "usage plan" in cause_of_429("LimitExceededException", "Limit Exceeded")
    assert "--treat-bare-429-as tps_throttled" in cause_of_429(None, "Too Many Requests")
    assert "SomethingNew" in cause_of_429("SomethingNew", "")
