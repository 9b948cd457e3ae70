"""What is taken from an answer: values of the type, length and characters that they may have, and no secret of the request.

Whatever a service, a proxy or a gateway in between sends, a value that is taken here can be written to disk, printed, and
sent on in a header. What does not fit is treated as missing, never as an error of the harness.
"""

import re
from typing import Any

import orjson

HIDDEN = "[hidden]"

MAX_ID_CHARACTERS = 256
"""ContactId, ParticipantId, message Ids: the maximum of the API's model."""
MAX_TOKEN_CHARACTERS = 8_192
"""Tokens and websocket addresses. The model says 1,000 and 2,000; AWS may lengthen them, and a header must hold one."""
MAX_MESSAGE_CHARACTERS = 2_000
MAX_ERROR_BODY_BYTES = 1_048_576
"""An error body over this is not parsed: its beginning is the message."""

_is_uuid = re.compile("-".join(f"[0-9a-f]{{{size}}}" for size in (8, 4, 4, 4, 12))).fullmatch
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9=_-]{1,36}")
_RUN = re.compile(r"[A-Za-z0-9+/=_.~%-]{8,}")
_WINDOW = 8
# The headers of a request that hold secrets, and where in them the secret is.
_SECRETS = re.compile(rb"(?i)(?:\bSignature=|\bx-amz-security-token: *|\bx-amz-bearer: *)([^\r\n,]+)")


def json_object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; an empty body is an empty object. None for anything else, however broken."""
    if not body:
        return {}
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def identifier(value: object) -> str | None:
    """Return `value` if it is an id: 1 to 256 visible ASCII characters."""
    return value if isinstance(value, str) and len(value) <= MAX_ID_CHARACTERS and _is_visible(value) else None


def token(value: object) -> str | None:
    """Return `value` if it may stand in a header or be opened as an address: visible ASCII, at most 8,192 characters."""
    return value if isinstance(value, str) and len(value) <= MAX_TOKEN_CHARACTERS and _is_visible(value) else None


def unix_time(value: object) -> float | None:
    """Return `value` if it is a moment in unix seconds, as the API's JSON writes timestamps: finite, from 1970 to 2286."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e10:
        return float(value)
    return None


def name(value: object) -> str | None:
    """Return `value` if it is a name, as error codes are: a letter, then up to 63 letters, digits, `_` and `.`."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def request_id(value: str | None) -> str | None:
    """Return `value` if it is shaped like a request id of AWS: a UUID, or as short."""
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None


def message(value: object) -> str:
    """Return the text of an error, whatever its type, cut to 2,000 characters."""
    return value[:MAX_MESSAGE_CHARACTERS] if isinstance(value, str) else str(value)[:MAX_MESSAGE_CHARACTERS]


def secrets_in(request: bytes) -> str:
    """Return the secrets that stand in the head of a request: signature, session token, bearer token; a line for each."""
    head = request.partition(b"\r\n\r\n")[0]
    return "\n".join(secret.decode("latin-1") for secret in _SECRETS.findall(head))


def hide(text: str, secrets: str) -> str:
    """Return `text` without the runs that repeat any eight characters of `secrets` (as `secrets_in` gives them)."""

    def replace(run: re.Match[str]) -> str:
        return HIDDEN if repeats(run[0], secrets) else run[0]

    return _RUN.sub(replace, text) if secrets else text


def repeats(text: str, secrets: str) -> bool:
    """Whether `text` and `secrets` have any eight characters in a row in common."""
    return any(text[at : at + _WINDOW] in secrets for at in range(len(text) - _WINDOW + 1))


def contact_id(value: object, secret: str | None) -> str | None:
    """Return `value` if it is an id that does not repeat a secret: a UUID, which nearly all are, as a whole; any other in
    eight characters.
    """
    if isinstance(value, str) and _is_uuid(value):
        return None if secret is not None and value in secret else value
    found = identifier(value)
    return None if found is None or (secret is not None and repeats(found, secret)) else found


def _is_visible(text: str) -> bool:
    """Whether `text` is visible ASCII, and any at all."""
    return text.isascii() and text.isprintable() and " " not in text and text != ""
