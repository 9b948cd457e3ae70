"""Requests are the SDK's: for the same parameters, clock and credentials, what goes on the wire equals botocore's."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.connect.signing import Credentials, Signer
from harness.connect.wire import Endpoint
from harness.load.workload.model import Attributes, Drawer, Kind, Message, Workload
from tests.support.botocore_says import Sdk
from tests.support.wiretap import Wiretap

ENDPOINTS = (
    "https://connect.us-east-1.amazonaws.com",
    "https://connect.eu-west-2.amazonaws.com:8443",
    "http://127.0.0.1:4566",
    "http://[::1]:8080",
    "http://Localhost",
    "https://[2001:db8::7]",
)
SIGNED = ("Content-Type", "X-Amz-Date", "X-Amz-Security-Token", "Authorization")
KEY, SECRET = "AKIDEXAMPLE", "secret/with+signs="


@cache
def sdk_of(endpoint: str, region: str) -> Sdk:
    return Sdk(endpoint, region)


def assert_same(raw: bytes, sdk: Sdk, operation: str, parameters: dict[str, Any], endpoint: str) -> None:
    """`raw` is the request that boto3 would send: method, path, host, body, signed headers and signature."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *rest = head.decode("ascii").split("\r\n")
    headers = dict(item.split(": ", 1) for item in rest)
    at = datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    theirs = sdk.sends(operation, parameters, at)
    assert line == f"{theirs.method} {theirs.path} HTTP/1.1"
    assert body == theirs.body
    assert {name: headers.get(name) for name in SIGNED} == {name: theirs.headers.get(name) for name in SIGNED}
    assert headers["Host"] == Endpoint.parse(endpoint).authority
    assert int(headers["Content-Length"]) == len(body)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
pairs = st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda pair: (min(pair), max(pair)))
messages = st.builds(
    Message,
    content_type=st.sampled_from(["text/plain", "text/markdown"]),
    texts=st.lists(texts, min_size=1, max_size=3).map(tuple),
    share=st.floats(0, 1),
)
kinds = st.builds(
    Kind,
    name=texts,
    weight=st.floats(0.1, 10),
    display_names=st.lists(texts, min_size=1, max_size=3).map(tuple),
    content_types=st.sampled_from([None, ("text/plain",), ("text/plain", "text/markdown")]),
    attributes=st.builds(
        Attributes,
        count=pairs,
        value_bytes=pairs,
        unicode=st.booleans(),
        fixed=st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), texts, max_size=3),
    ),
    message=st.none() | messages,
    durations=st.lists(st.integers(60, 10_080), max_size=3).map(tuple),
    members=st.sampled_from(
        [
            {},
            {"CustomerId": "ü-1"},
            {"RelatedContactId": "r"},
            {"SegmentAttributes": {"connect:Subtype": {"ValueString": "connect:Guide"}}},
            {"PersistentChat": {"RehydrationType": "FROM_SEGMENT", "SourceContactId": "s"}},
            {"ParticipantConfiguration": {"ResponseMode": "COMPLETE"}},
            {"DisconnectOnCustomerExit": ["AGENT"]},
        ]
    ),
)
credentials_of = st.builds(
    Credentials,
    access_key=st.just(KEY),
    secret_key=st.just(SECRET),
    token=st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=400),
)


@settings(max_examples=80)
@given(endpoint=st.sampled_from(ENDPOINTS), data=st.data())
def test_drawn_chats_are_sent_as_boto3_sends_them(endpoint: str, data: st.DataObject) -> None:
    """The parameters that a drawn body says make boto3 send the same request, to the byte of body and signature."""
    credentials = data.draw(credentials_of)
    region = data.draw(st.sampled_from(["us-east-1", "eu-west-2", "us-gov-west-1"]))
    workload = Workload(tuple(data.draw(st.lists(kinds, min_size=1, max_size=4))), seed=data.draw(st.integers(0, 99)))
    drawer = Drawer(workload, data.draw(texts), data.draw(texts), "run-1", data.draw(st.integers(0, 9)))
    tap = Wiretap(endpoint)
    client = tap.client(credentials, region)
    sdk = sdk_of(endpoint, region).use(credentials.access_key, credentials.secret_key, credentials.token)
    for _ in range(20):
        chat = drawer.draw()
        client.start_chat(chat.body)
        assert_same(tap.sent.pop(), sdk, "start_chat_contact", json.loads(chat.body), endpoint)


@settings(max_examples=150)
@given(contact=texts, instance=texts.filter(lambda text: "/" not in text), credentials=credentials_of)
def test_other_calls_are_sent_as_boto3_sends_them(contact: str, instance: str, credentials: Credentials) -> None:
    """StopContact and DescribeContact equal boto3's too, whatever characters an id has."""
    endpoint = "http://127.0.0.1:4566"
    tap = Wiretap(endpoint)
    client = tap.client(credentials)
    sdk = sdk_of(endpoint, "us-east-1").use(credentials.access_key, credentials.secret_key, credentials.token)
    client.stop_contact(instance, contact)
    client.describe_contact(instance, contact)
    described, stopped = tap.sent.pop(), tap.sent.pop()
    parameters = {"ContactId": contact, "InstanceId": instance}
    assert_same(stopped, sdk, "stop_contact", parameters, endpoint)
    assert_same(described, sdk, "describe_contact", parameters, endpoint)


@settings(max_examples=300)
@given(
    moments=st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31)), min_size=1, max_size=4),
    secrets=st.lists(st.text("ab/+=", min_size=1, max_size=10), min_size=1, max_size=2),
    token=st.none() | st.just("token"),
    body=st.binary(max_size=300),
)
def test_one_signer_signs_at_any_time_with_any_secret(
    moments: list[datetime], secrets: list[str], token: str | None, body: bytes
) -> None:
    """What a signer keeps from one call to the next never shows: not over days, seconds, secrets or bodies."""
    signer = Signer("127.0.0.1:4566", "us-east-1")
    for moment in moments:
        for secret in secrets:
            at = moment.replace(microsecond=0, tzinfo=UTC)
            kept = signer.headers("PUT", "/contact/chat", body, Credentials(KEY, secret, token), at.timestamp())
            fresh = Signer("127.0.0.1:4566", "us-east-1")
            assert kept == fresh.headers("PUT", "/contact/chat", body, Credentials(KEY, secret, token), at.timestamp())


def test_signing_key_changes_with_the_day() -> None:
    """A second before and a second after midnight, each signature is the SDK's for its own day."""
    endpoint, midnight = "http://127.0.0.1:4566", datetime(2026, 11, 24, tzinfo=UTC)
    sdk, credentials = sdk_of(endpoint, "us-east-1").use(KEY, SECRET), Credentials(KEY, SECRET)
    signer = Signer("127.0.0.1:4566", "us-east-1")
    parameters = {"ContactId": "c", "InstanceId": "i"}
    seen = set()
    for at in (midnight - timedelta(seconds=1), midnight, midnight + timedelta(days=1), midnight):
        theirs = sdk.sends("stop_contact", parameters, at)
        ours = signer.headers("POST", "/contact/stop", json.dumps(parameters).encode(), credentials, at.timestamp())
        authorization = theirs.headers["Authorization"]
        assert f"Authorization: {authorization}\r\n".encode() in ours
        seen.add(authorization)
    assert len(seen) == 3


def test_two_draws_from_one_seed_are_equal_but_for_what_must_be_unique() -> None:
    """Seed and worker index fix every chat; runs and workers differ in token and run attribute only."""
    workload = Workload((Kind("k", attributes=Attributes((1, 5))),), seed=7)
    same = [Drawer(workload, "i", "f", "run", 1) for _ in range(2)]
    assert [same[0].draw() for _ in range(50)] == [same[1].draw() for _ in range(50)]
    tokens = {Drawer(workload, "i", "f", run, worker).draw().client_token for run in "ab" for worker in range(3)}
    assert len(tokens) == 6


def test_credentials_keep_their_secret_to_themselves() -> None:
    """No log line or traceback that shows credentials shows the secret or the token."""
    shown = repr(Credentials(KEY, SECRET, "session-token"))
    assert SECRET not in shown
    assert "session-token" not in shown
    assert KEY not in shown
