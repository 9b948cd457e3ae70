"""Signatures: botocore signs, the emulator verifies, and each mistake gets AWS's own error."""

import datetime
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.emulator.api.sigv4 import Denied, Signatures

NOW = 1_700_000_000.0
SIGNATURES = Signatures({"KEY": "secret"}, "us-east-1", "connect", 300.0)


def signed(
    method: str = "PUT",
    path: str = "/contact/chat",
    query: str = "",
    body: bytes = b"{}",
    key: str = "KEY",
    secret: str = "secret",
    region: str = "us-east-1",
    service: str = "connect",
    at: float = NOW,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A call as `Signatures.check` takes it, signed by botocore at unix time `at`."""
    url = f"http://127.0.0.1:4000{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers=headers or {})
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        SigV4Auth(Credentials(key, secret), service, region).add_auth(request)
    lowered = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
    lowered.setdefault(b"host", b"127.0.0.1:4000")
    return {
        "method": method.encode(),
        "path": path.encode(),
        "query": query.encode(),
        "headers": lowered,
        "body": body,
        "unix_now": NOW,
    }


def check(call: dict[str, Any]) -> Denied | None:
    return SIGNATURES.check(**call)


@hypothesis_settings(deadline=None)
@given(
    body=st.binary(max_size=200),
    path=st.lists(st.text("abcXYZ019-_.~%20", max_size=8), max_size=5),
    query=st.dictionaries(st.text("abcXYZ", min_size=1), st.text("abc019-_.~"), max_size=3),
    header=st.text("abc  ,;=", max_size=10),
)
def test_what_botocore_signs_is_let_in(body: bytes, path: list[str], query: dict[str, str], header: str) -> None:
    """Any call that botocore has signed verifies, whatever its body, path, query and headers."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    headers = {"X-Amz-Note": header, "Content-Type": "application/json"}
    call = signed("POST", "/" + "/".join(path), text, body, headers=headers)
    assert check(call) is None


@hypothesis_settings(deadline=None)
@given(
    position=st.integers(0, 63),
    body=st.binary(max_size=50),
    where=st.sampled_from(["body", "signature", "path", "query"]),
)
def test_one_changed_byte_is_a_mismatch(position: int, body: bytes, where: str) -> None:
    """A call whose body, path, query or signature was changed after signing is refused."""
    call = signed(body=body)
    if where == "signature":
        value = bytearray(call["headers"][b"authorization"])
        index = len(value) - 64 + position
        value[index] = ord("0") if value[index] != ord("0") else ord("1")
        call["headers"][b"authorization"] = bytes(value)
    else:
        call[where] += b"x"
    denied = check(call)
    assert denied is not None
    assert denied.code == "InvalidSignatureException"
    assert denied.message.startswith("The request signature we calculated does not match")


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException", "does not match the signature you provided"),
        ({"key": "OTHER"}, "UnrecognizedClientException", "security token included in the request is invalid"),
        ({"region": "eu-west-1"}, "InvalidSignatureException", "scoped to a valid region"),
        ({"service": "execute-api"}, "InvalidSignatureException", "correct service: 'connect'"),
        ({"at": NOW - 301}, "InvalidSignatureException", "Signature expired: 20231114T220819Z is now earlier than"),
        ({"at": NOW + 301}, "InvalidSignatureException", "Signature not yet current: 20231114T221821Z"),
    ],
)
def test_each_mistake_has_its_error(changes: dict[str, Any], code: str, text: str) -> None:
    """Wrong secret, key, Region, service and clock are told apart, in the words of AWS."""
    denied = check(signed(**changes))
    assert denied is not None
    assert denied.code == code
    assert text in denied.message


@pytest.mark.parametrize("at", [NOW - 299, NOW + 299])
def test_a_clock_may_be_five_minutes_off(at: float) -> None:
    """A date within five minutes is let in."""
    assert check(signed(at=at)) is None


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (b"", "MissingAuthenticationTokenException"),
        (b"Bearer token", "IncompleteSignatureException"),
        (b"Basic dXNlcjpwYXNz=", "IncompleteSignatureException"),
        (b"AWS4-HMAC-SHA256", "IncompleteSignatureException"),
        (b"AWS4-HMAC-SHA256 Credential=KEY/20231114/us-east-1/connect/aws4_request", "IncompleteSignatureException"),
        (b"AWS4-HMAC-SHA256 Credential=KEY, SignedHeaders=host, Signature=00", "IncompleteSignatureException"),
        (b"AWS4-HMAC-SHA512 Credential=KEY, SignedHeaders=host, Signature=00", "IncompleteSignatureException"),
        (b"\xff\xfe\x00", "IncompleteSignatureException"),
    ],
)
def test_header_that_is_no_signature(authorization: bytes, code: str) -> None:
    """A missing or unreadable Authorization header is refused by the name that AWS gives it."""
    call = signed()
    call["headers"][b"authorization"] = authorization
    denied = check(call)
    assert denied is not None
    assert denied.code == code


@pytest.mark.parametrize("date", [None, b"", b"yesterday", b"20231114T221320", b"\xff"])
def test_date_that_is_none(date: bytes | None) -> None:
    """A call without a readable X-Amz-Date is refused."""
    call = signed()
    del call["headers"][b"x-amz-date"]
    if date is not None:
        call["headers"][b"x-amz-date"] = date
    denied = check(call)
    assert denied is not None
    assert denied.code == "IncompleteSignatureException"


def test_host_has_to_be_signed() -> None:
    """A signature that does not cover the host is refused."""
    call = signed()
    call["headers"][b"authorization"] = call["headers"][b"authorization"].replace(b"=host;", b"=")
    denied = check(call)
    assert denied is not None
    assert "'Host'" in denied.message
