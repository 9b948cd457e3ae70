"""Answers as they go over the wire: successes, the documented errors, and the forms that a 429 may take."""

import msgspec
import orjson

from harness.emulator.service.members import Members
from harness.emulator.settings.settings import Settings

Headers = list[tuple[bytes, bytes]]

# Status of each error that an operation declares (service models of Amazon Connect and of its Participant Service)
# or that the front of AWS answers with.
STATUS = {
    "InvalidRequestException": 400,
    "InvalidParameterException": 400,
    "ValidationException": 400,
    "BadRequestException": 400,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "IncompleteSignatureException": 403,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "RequestTimeoutException": 408,
    "ServiceQuotaExceededException": 402,
    "ConflictException": 409,
    "ContactNotFoundException": 410,
    "RequestEntityTooLargeException": 413,
    "UnsupportedMediaTypeException": 415,
    "InternalServiceException": 500,
    "InternalServerException": 500,
    "OperationNotEmulatedException": 501,
    "ServiceUnavailableException": 503,
}
# Errors of the front come with `message`, modelled ones with the model's `Message`.
_FRONT = frozenset(
    {
        "MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException",
        "IncompleteSignatureException", "AccessDeniedException", "UnknownOperationException",
        "RequestEntityTooLargeException", "UnsupportedMediaTypeException", "RequestTimeoutException",
        "BadRequestException", "ServiceUnavailableException", "OperationNotEmulatedException",
    }
)  # fmt: skip


class Response(msgspec.Struct, frozen=True):
    """The response to one call, but for the request id: status, headers, body, and the name that the counts know it by."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    outcome: str = "ok"


class Refused(Exception):
    """A call is refused with the error `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def success(result: Members) -> Response:
    """Return a 200 with `result` as its JSON body."""
    return Response(200, orjson.dumps(result))


def error(code: str, message: str) -> Response:
    """Return the error `code`, with its status, its `x-amzn-ErrorType` header and its JSON body."""
    member = "message" if code in _FRONT else "Message"
    return Response(STATUS[code], orjson.dumps({member: message}), ((b"x-amzn-errortype", code.encode()),), code)


_TOO_MANY = "TooManyRequestsException"
_CORAL = "http://internal.amazon.com/coral/com.amazonaws.connect/"


def throttle_response(settings: Settings, declares_throttling: bool) -> Response:
    """Return the refusal of a call for its rate, in the form that the settings say."""
    form = settings.throttle_form
    if form == "auto":
        form = "throttling" if declares_throttling else "too_many_requests"
    if form == "gateway_quota":
        # What a usage plan of an API Gateway in front answers once its own quota is used up.
        body = {"message": settings.throttle_message or "Limit Exceeded"}
        return _refusal("LimitExceededException", orjson.dumps(body), "LimitExceededException")
    text = settings.throttle_message or ("Rate exceeded" if form == "throttling" else "Too Many Requests")
    code = "ThrottlingException" if form == "throttling" else _TOO_MANY
    header: str | None = None
    body = {"Message" if form == "throttling" else "message": text}
    if form in ("too_many_requests", "throttling"):
        header = code
    elif form == "too_many_requests_url":
        header = f"{code}:{_CORAL}"
    elif form == "too_many_requests_type":
        body = {"__type": code, **body}
    elif form == "too_many_requests_namespace":
        body = {"__type": f"com.amazonaws.connect#{code}", **body}
    elif form == "too_many_requests_code":
        body = {"code": code, **body}
    return _refusal(header, b"" if form == "empty" else orjson.dumps(body), code)


def quota_response(settings: Settings) -> Response:
    """Return the refusal of a chat for the active-chat quota, in the form that the settings say."""
    form = settings.quota_form
    code = "ServiceQuotaExceededException" if form == "service_quota" else "LimitExceededException"
    text = settings.quota_message or "The allowed limit for the resource has been exceeded."
    if form == "limit_exceeded_type":
        return _refusal(None, orjson.dumps({"__type": code, "Message": text}), code)
    header = f"{code}:{_CORAL}" if form == "limit_exceeded_url" else code
    return _refusal(header, orjson.dumps({"Message": text}), code)


def _refusal(error_type: str | None, body: bytes, outcome: str) -> Response:
    headers = ((b"x-amzn-errortype", error_type.encode()),) if error_type else ()
    return Response(429, body, headers, outcome)
