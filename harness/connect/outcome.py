"""What became of a call: exactly one outcome for each attempt on the wire.

Classified from the error code and the HTTP status, never from an SDK's exception classes: the service model does not
declare the TPS throttle of StartChatContact, so whether a class exists for it depends on the SDK's version
(https://docs.aws.amazon.com/connect/latest/APIReference/API_StartChatContact.html: "API TPS throttling returns a
TooManyRequests exception", a quota gives LimitExceededException).
"""

from collections.abc import Mapping
from typing import Any

from harness.connect import fields
from harness.vocabulary import (
    ACCESS_DENIED,
    ACTIVE_CHAT_LIMIT,
    INVALID_REQUEST,
    NOT_FOUND,
    OK,
    SERVICE_ERROR,
    START_CHAT,
    STARTED,
    TPS_THROTTLED,
    UNCLASSIFIED_429,
    USAGE_PLAN_MESSAGE,
)

# Connect's documentation says TooManyRequests; its siblings and the Participant Service send ThrottlingException, with 429
# or, as AWS's older services do, 400. The rest are AWS's other names for the same refusal (botocore's list of throttling
# codes, without those that mean a quota or a conflict).
_TPS_CODES = frozenset(
    {
        "TooManyRequestsException",
        "TooManyRequests",
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "RequestLimitExceeded",
    }
)
_QUOTA_CODES = frozenset({"LimitExceededException", "LimitExceeded", "ServiceQuotaExceededException"})
_NOT_FOUND_CODES = frozenset({"ResourceNotFoundException", "ContactNotFoundException", "NotFoundException"})
_DENIED_CODES = frozenset(
    {
        "AccessDeniedException",
        "AccessDenied",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "InvalidClientTokenId",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "ExpiredTokenException",
        "ExpiredToken",
        "RequestExpired",
        "OptInRequired",
        "NotAuthorized",
    }
)


UNREADABLE_CODE = "[unreadable]"
"""Stands for an error code that is not a name."""


def classify(operation: str, status: int, code: str | None, message: str = "", bare_429: str = UNCLASSIFIED_429) -> str:
    """Return the outcome of an answer of `operation` with HTTP `status` and wire error `code` (None when it has none).

    A 429 whose code is of neither kind is `unclassified_429`: it is never guessed into either limit. So is API Gateway's
    usage-plan answer, whose code is the chat quota's and whose `message` is its own. `bare_429` is the outcome of a 429
    without any code, for whoever knows what stands in front of the service.
    """
    if 200 <= status < 300 and code is None:
        return STARTED if operation == START_CHAT else OK
    if status < 500 or status == 503:
        # AWS's gateways also throttle with 503; any other 5xx is the service's fault whatever it calls itself.
        if code in _TPS_CODES:
            return TPS_THROTTLED
        if code in _QUOTA_CODES and status < 500:
            is_quota = operation == START_CHAT and message.strip() != USAGE_PLAN_MESSAGE
            return ACTIVE_CHAT_LIMIT if is_quota else UNCLASSIFIED_429
    if status == 429:
        return bare_429 if code is None and message.strip() != USAGE_PLAN_MESSAGE else UNCLASSIFIED_429
    if status in (401, 403) or (status < 500 and code in _DENIED_CODES):
        return ACCESS_DENIED
    if status in (404, 410) or (status < 500 and code in _NOT_FOUND_CODES):
        return NOT_FOUND
    if 400 <= status < 500:
        return INVALID_REQUEST
    return SERVICE_ERROR


def read_error(headers: Mapping[str, str], body: bytes) -> tuple[str | None, str]:
    """Return the (error code, message) of an error answer, found where botocore's rest-json parser finds them.

    `headers` has lower-case names. The code is in the header `x-amzn-errortype` (up to a colon, after a hash), else in
    the body's `code`, `Code` or `__type`. None when there is none, UNREADABLE_CODE when it is not a name. A body that is
    not a JSON object is the message; no message is longer than 2,000 characters.
    """
    members = fields.json_object(body) if len(body) <= fields.MAX_ERROR_BODY_BYTES else None
    code: Any = headers.get("x-amzn-errortype")
    if code is None and members is not None:
        code = members.get("code", members.get("Code", members.get("__type")))
    code = code.split(":", 1)[0].rsplit("#", 1)[-1].strip() or None if isinstance(code, str) else None
    if code is not None:
        code = fields.name(code) or UNREADABLE_CODE
    if members is None:
        start = body[: 4 * fields.MAX_MESSAGE_CHARACTERS]  # a character has four bytes at most
        return code, fields.message(start.decode("utf-8", "replace"))
    return code, fields.message(members.get("message", members.get("Message", "")))
