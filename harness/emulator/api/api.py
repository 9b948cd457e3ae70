"""One call, from its raw bytes to its answer: route, signature, throttle, validation, effect. No sockets in here."""

import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from harness.emulator.api.attachment_api import AttachmentApi
from harness.emulator.api.connect_api import Call, ConnectApi, Throttled
from harness.emulator.api.contact_api import ContactApi
from harness.emulator.api.participant_api import ParticipantApi, as_validation
from harness.emulator.api.responses import Refused, Response, error, throttle_response
from harness.emulator.api.sigv4 import Signatures
from harness.emulator.api.validation import Invalid, Request, load_model, read_request
from harness.emulator.service.members import Members
from harness.emulator.service.state import State

_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_JSON_TYPES = (b"application/json", b"application/x-amz-json-1.0", b"application/x-amz-json-1.1")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name and service, how its request is read, how its throttle looks, what it does."""

    name: str
    service: Literal["connect", "participant"]
    request: Request
    throttled: Response
    handler: Callable[..., Response]


class Api:
    """The emulator without its sockets. `unix_now` is real time, which signatures are dated in."""

    def __init__(self, state: State, unix_now: Callable[[], float] = time.time) -> None:
        self.state = state
        settings = state.settings
        self._unix_now = unix_now
        self._connect = ConnectApi(state)
        self._participant = ParticipantApi(state)
        self._signatures: Signatures | None = None
        if settings.sigv4:
            secrets = {settings.access_key_id: settings.secret_access_key}
            self._signatures = Signatures(secrets, settings.region, "connect", settings.clock_skew)
        self._throttle_first = settings.order == "throttle-validation-quota"
        self._throttle_last = settings.order == "validation-quota-throttle"
        self.counts: dict[str, dict[str, int]] = {}
        self._exact: dict[tuple[str, bytes], Operation] = {}
        self._templates: list[tuple[str, list[bytes], Operation]] = []
        self._route()

    def operations(self) -> list[Operation]:
        """Every operation that is served."""
        return [*self._exact.values(), *(operation for _, _, operation in self._templates)]

    def operation(self, method: str, path: bytes) -> tuple[Operation | None, dict[str, bytes]]:
        """Return the operation at `method` and raw `path`, and the labels in its path."""
        operation = self._exact.get((method, path))
        if operation is not None:
            return operation, _NO_LABELS
        parts = path.split(b"/")
        for verb, template, candidate in self._templates:
            if verb == method and len(parts) == len(template):
                labels = {}
                for part, wanted in zip(parts, template, strict=True):
                    if wanted.startswith(b"{"):
                        labels[wanted[1:-1].decode()] = part
                    elif part != wanted:
                        break
                else:
                    return candidate, labels
        return None, _NO_LABELS

    def answer(
        self,
        method: str,
        path: bytes,
        query: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        counted: bool = True,
    ) -> tuple[str, Response]:
        """Answer one call; `headers` in lower case. Returns the operation's name (`-` for none) and the answer."""
        operation, labels = self.operation(method, path)
        name = "-" if operation is None else operation.name
        try:
            if operation is None:
                response = self._unknown(method, path, headers)
            elif operation.service == "connect":
                response = self._call_connect(operation, method, path, query, headers, body, labels)
            else:
                response = self._call_participant(operation, headers, body)
        except Refused as refused:
            response = error(refused.code, refused.message)
        if counted:
            self.count(name, response.outcome)
        return name, response

    def count(self, operation: str, outcome: str) -> None:
        """Count one answer, by operation and by outcome (`ok` or the error's code)."""
        counts = self.counts.get(operation)
        if counts is None:
            counts = self.counts[operation] = {}
        counts[outcome] = counts.get(outcome, 0) + 1

    def _call_connect(
        self,
        operation: Operation,
        method: str,
        path: bytes,
        query: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        labels: dict[str, bytes],
    ) -> Response:
        if self._signatures is not None:
            denied = self._signatures.check(method.encode(), path, query, headers, body, self._unix_now())
            if denied is not None:
                return error(denied.code, denied.message)
        now = self.state.clock.now()
        self.state.advance(now)
        limiter = None
        if self._throttle_first:
            limiter = self.state.throttles.limiter(operation.name, "")
            if not limiter.admit(now):
                return operation.throttled
        try:
            parameters = self._read(operation, headers, body, labels)
        except (Invalid, Refused) as problem:
            if limiter is not None and not self.state.settings.invalid_costs_token:
                limiter.refund()
            raise (as_invalid(problem) if isinstance(problem, Invalid) else problem) from None
        if limiter is None:
            limiter = self.state.throttles.limiter(operation.name, "")
            paid = not (self._throttle_last and operation.name == "StartChatContact")
            if paid and not limiter.admit(now):
                return operation.throttled
        else:
            paid = True
        try:
            return operation.handler(Call(now, limiter, paid, body), parameters)
        except Throttled:
            return operation.throttled

    def _read(
        self, operation: Operation, headers: Mapping[bytes, bytes], body: bytes, labels: dict[str, bytes]
    ) -> Members:
        _check_content_type(headers, body)
        parameters = operation.request.read(body, _decode(labels) if labels else {})
        if operation.name == "StartChatContact":
            self._connect.check_start_chat(parameters)
        return parameters

    def _call_participant(self, operation: Operation, headers: Mapping[bytes, bytes], body: bytes) -> Response:
        now = self.state.clock.now()
        self.state.advance(now)
        token = headers.get(b"x-amz-bearer", b"").decode("latin-1")
        chat = self._participant.bearer(now, operation.name, token)
        if not self.state.throttles.limiter(operation.name, chat.instance).admit(now):
            return operation.throttled
        try:
            _check_content_type(headers, body)
            parameters = operation.request.read(body, {})
            return operation.handler(now, parameters, chat, chat.speakers.get(token) if chat.speakers else None)
        except Invalid as invalid:
            raise as_validation(invalid) from None

    def _unknown(self, method: str, path: bytes, headers: Mapping[bytes, bytes]) -> Response:
        if self.state.settings.unknown_route == "unknown_operation":
            return error("UnknownOperationException", "The operation is not known.")
        known = not_emulated(method, path)
        if known is not None:
            return error(
                "OperationNotEmulatedException", f"The chatquota emulator does not emulate the operation {known}."
            )
        return error("MissingAuthenticationTokenException", "Missing Authentication Token")

    def _route(self) -> None:
        connect, participant = self._connect, self._participant
        contacts, attachments = ContactApi(connect), AttachmentApi(self.state)
        handlers: dict[str, dict[str, Callable[..., Response]]] = {
            "connect": {
                "StartChatContact": connect.start_chat,
                "StopContact": connect.stop_contact,
                "DescribeContact": connect.describe_contact,
                "SearchContacts": connect.search_contacts,
                "GetCurrentMetricData": connect.get_current_metric_data,
                "GetContactAttributes": contacts.get_contact_attributes,
                "UpdateContactAttributes": contacts.update_contact_attributes,
                "CreateParticipant": contacts.create_participant,
                "StartContactStreaming": contacts.start_streaming,
                "StopContactStreaming": contacts.stop_streaming,
            },
            "connectparticipant": {
                "CreateParticipantConnection": participant.create_participant_connection,
                "SendMessage": participant.send_message,
                "SendEvent": participant.send_event,
                "GetTranscript": participant.get_transcript,
                "DisconnectParticipant": participant.disconnect_participant,
                "StartAttachmentUpload": attachments.start_upload,
                "CompleteAttachmentUpload": attachments.complete_upload,
                "GetAttachment": attachments.get_attachment,
            },
        }
        for service, operations in handlers.items():
            model = load_model(service)
            for name, handler in operations.items():
                shape = model.operation_model(name)
                declares = any(item.name == "ThrottlingException" for item in shape.error_shapes)
                operation = Operation(
                    name,
                    "connect" if service == "connect" else "participant",
                    read_request(service, name),
                    throttle_response(self.state.settings, declares),
                    handler,
                )
                method, path = shape.http["method"], shape.http["requestUri"].encode()
                if b"{" in path:
                    self._templates.append((method, path.split(b"/"), operation))
                else:
                    self._exact[method, path] = operation


_NO_LABELS: dict[str, bytes] = {}


def not_emulated(method: str, path: bytes) -> str | None:
    """Return the name of the operation of either service that stands at `method` and `path`; None: there is none."""
    for verb, pattern, name in _all_routes():
        if verb == method and pattern.fullmatch(path.decode("latin-1")):
            return name
    return None


@functools.cache
def _all_routes() -> list[tuple[str, re.Pattern[str], str]]:
    routes = []
    for service in ("connectparticipant", "connect"):
        model = load_model(service)
        for name in model.operation_names:
            http = model.operation_model(name).http
            path = http["requestUri"].partition("?")[0]
            pattern = re.sub(r"\\{[A-Za-z]+(\\\+)?\\}", "[^/]+", re.escape(path))
            routes.append((http["method"], re.compile(pattern), name))
    # A path without labels is meant before one with a label in the same place.
    return sorted(routes, key=lambda route: route[1].pattern.count("[^/]+"))


def as_invalid(invalid: Invalid) -> Refused:
    """Return what Amazon Connect calls a request that breaks its shape or its rules."""
    return Refused("InvalidRequestException" if invalid.malformed else "InvalidParameterException", invalid.message)


def _check_content_type(headers: Mapping[bytes, bytes], body: bytes) -> None:
    kind = headers.get(b"content-type")
    if kind is None or not body or kind in _JSON_TYPES:
        return
    if kind.partition(b";")[0].strip().lower() not in _JSON_TYPES:
        raise Refused("UnsupportedMediaTypeException", "Unsupported Media Type")


def _decode(labels: dict[str, bytes]) -> Members:
    decoded = {}
    for name, raw in labels.items():
        try:
            if _PERCENT.search(raw):
                raise ValueError
            decoded[name] = unquote_to_bytes(raw).decode()
        except ValueError:
            raise Invalid(f"The path's {name} is not valid percent-encoded UTF-8.", malformed=True) from None
    return decoded
