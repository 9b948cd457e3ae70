"""Secrets are taken out of what a service says; what explains an error stays."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.recording.redact import HIDDEN, redact

_TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDx" * 3

SECRETS = [
    (f"x-amz-security-token:{_TOKEN}", _TOKEN),
    (f"X-Amz-Bearer: {_TOKEN}\r\nHost: h", _TOKEN),
    (
        "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/r/connect/aws4_request, Signature=" + "ab" * 32,
        "ab" * 32,
    ),
    ("Signature=" + "0f" * 32, "0f" * 32),
    ("AKIAIOSFODNN7EXAMPLE is not authorized", "IOSFODNN7EXAMPLE"),
    ('{"ParticipantToken":"short-one","ContactId":"c"}', "short-one"),
    ('{"ConnectionToken": "short-two"}', "short-two"),
    (f"the token {_TOKEN} is expired", _TOKEN),
    ("aws_secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
]

PLAIN = [
    "Too Many Requests",
    "Contact flow arn:aws:connect:us-east-1:000000000000:instance/11111111-aaaa-4aaa-8aaa-111111111111/contact-flow/"
    "22222222-bbbb-4bbb-8bbb-222222222222 was not found",
    "2 validation errors detected: Value at 'participantDetails.displayName' failed to satisfy constraint",
    "User: arn:aws:sts::000000000000:assumed-role/load-test/session is not authorized to perform: connect:StartChatContact",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_goes(text: str, secret: str) -> None:
    """Named fields, signature parts, key ids and token-shaped runs are hidden."""
    hidden = redact(text)
    assert secret not in hidden
    assert HIDDEN in hidden


@pytest.mark.parametrize("text", PLAIN)
def test_what_explains_an_error_stays(text: str) -> None:
    """ARNs, ids and sentences are what the reader needs."""
    assert redact(text) == text


@given(
    st.binary(min_size=60, max_size=90).filter(lambda raw: len(set(raw)) > 30),
    st.integers(4, 12),
    st.sampled_from([" ", "\n", ", ", '","', "; "]),
)
def test_a_token_in_pieces_goes(raw: bytes, length: int, between: str) -> None:
    """A token that was cut into short pieces is hidden but for a few that look like words: no stretch of it is left."""
    token = base64.b64encode(raw).decode()
    pieces = [token[at : at + length] for at in range(0, len(token), length)]
    kept = redact(f"denied for {between.join(pieces)} here")
    assert HIDDEN in kept
    assert sum(len(piece) for piece in pieces if piece in kept) < 0.8 * len(token)


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    """Whatever a service says, redaction returns a text, and doing it again changes nothing."""
    once = redact(text)
    assert isinstance(redact(once), str)


@given(st.binary(min_size=48, max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_base64_of_any_token_goes(raw: bytes, before: str, after: str) -> None:
    """A token of AWS's usual shape is hidden wherever it stands in a sentence."""
    token = base64.b64encode(raw).decode()
    if len(set(raw)) > 30:  # a real token is no run of one byte
        assert token not in redact(f"{before} {token} {after}")
