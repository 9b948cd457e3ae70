"""A server that answers for Amazon Connect, STS, IAM and Service Quotas as a test scripts it, over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/loadtest/session"


@dataclass
class Refusal:
    """An error answer: HTTP status, AWS error code ("": none), and its message."""

    status: int
    code: str
    message: str = "no"


Answer = dict[str, Any] | Refusal


def _flow(actions: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2019-10-30", "StartAction": actions[0]["Identifier"], "Actions": actions})


def _bot_flow() -> str:
    def action(name: str, kind: str, following: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"Identifier": name, "Type": kind, "Parameters": parameters, "Transitions": {"NextAction": following}}

    lex, function = "ConnectParticipantWithLexBot", "InvokeLambdaFunction"
    alias = "arn:aws:lex:us-east-1:123456789012:bot-alias/BOT1234567"
    called = "arn:aws:lambda:us-east-1:123456789012:function:find-order"
    return _flow(
        [
            action("greet", lex, "again", {"Text": "Hi", "LexV2Bot": {"AliasArn": f"{alias}/PRODALIAS1"}}),
            action("again", lex, "test", {"LexV2Bot": {"AliasArn": f"{alias}/PRODALIAS1"}}),
            action("test", lex, "old", {"LexV2Bot": {"AliasArn": f"{alias}/TSTALIASID"}}),
            action("old", lex, "drawn", {"LexBot": {"Name": "Orders", "Region": "us-east-1", "Alias": "live"}}),
            action("drawn", lex, "find", {"LexV2Bot": {"AliasArn": "$.Attributes.bot"}}),
            action(
                "find", function, "found", {"LambdaFunctionARN": f"{called}:live", "InvocationTimeLimitSeconds": "8"}
            ),
            action("found", function, "end", {"LambdaFunctionARN": "$.Attributes.function"}),
            action("end", "DisconnectParticipant", "", {}),
        ]
    )


BOT_FLOW = _bot_flow()
"""Names two aliases of a Lex V2 bot (one twice), a Lex V1 bot and a function, and takes one of each from attributes."""

ENDING_FLOW = _flow([{"Identifier": "end", "Type": "DisconnectParticipant", "Transitions": {}}])
BUSY_FLOW = _flow(
    [
        {
            "Identifier": "say",
            "Type": "MessageParticipant",
            "Transitions": {"NextAction": "bot", "Errors": [{"NextAction": "end"}]},
        },
        {
            "Identifier": "bot",
            "Type": "ConnectParticipantWithLexBot",
            "Transitions": {"NextAction": "ask", "Conditions": [{"NextAction": "queue"}]},
        },
        {"Identifier": "ask", "Type": "InvokeLambdaFunction", "Transitions": {"NextAction": "queue"}},
        {"Identifier": "queue", "Type": "TransferContactToQueue", "Transitions": {"NextAction": "end"}},
        {"Identifier": "end", "Type": "DisconnectParticipant", "Transitions": {}},
        {"Identifier": "orphan", "Type": "MessageParticipant", "Transitions": {}},
    ]
)


@dataclass
class Script:
    """What each service answers. A value may be a Refusal; a delay makes every answer slow."""

    instance: Answer = field(
        default_factory=lambda: {"Instance": {"InstanceStatus": "ACTIVE", "InstanceAlias": "shop"}}
    )
    flow: Answer = field(
        default_factory=lambda: {
            "ContactFlow": {
                "Name": "bare",
                "Type": "CONTACT_FLOW",
                "State": "ACTIVE",
                "Status": "PUBLISHED",
                "Content": ENDING_FLOW,
            }
        }
    )
    identity: Answer = field(default_factory=lambda: {"Arn": ROLE})
    simulation: Callable[[str], str] | Refusal = lambda action: "allowed"
    quotas: dict[str, Answer] = field(default_factory=dict)
    pending: list[dict[str, Any]] = field(default_factory=list)
    quota_refusal: Refusal | None = None
    clock_ahead: float = 0.0
    delay: float = 0.0
    """Seconds that each answer takes."""
    cloudwatch: Refusal | None = None
    """What refuses CloudWatch, for who asks it here."""
    open_chats: dict[str, str] | Refusal = field(default_factory=dict)
    """Contact ids with the run that each carries ("": none)."""
    attributes: Refusal | None = None
    """What refuses GetContactAttributes."""


class ScriptedAws:
    """The server, for `with`; `url` is where it listens, `calls` the operations it was asked for."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(time.time() + outer.script.clock_ahead, usegmt=True)

            def do_GET(self) -> None:  # http.server's name
                outer._answer(self)

            do_POST = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScriptedAws:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        target = handler.headers.get("X-Amz-Target", "")
        time.sleep(self.script.delay)
        if target.startswith("ServiceQuotas"):
            self._send_json(handler, self._service_quotas(target.rpartition(".")[2], json.loads(body)))
        elif target.startswith("GraniteServiceVersion") and self.script.cloudwatch is not None:
            self._send_json(handler, self.script.cloudwatch)
        elif handler.path.startswith("/instance/"):
            self.calls.append("DescribeInstance")
            self._send_json(handler, self.script.instance)
        elif handler.path.startswith("/contact-flows/"):
            self.calls.append("DescribeContactFlow")
            self._send_json(handler, self.script.flow)
        elif handler.path == "/search-contacts":
            self._send_json(handler, self._search(json.loads(body)))
        elif handler.path.startswith("/contact/attributes/"):
            self._send_json(handler, self._attributes(handler.path.rpartition("/")[2]))
        elif body.startswith(b"Action="):
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            self._send_query(handler, form)
        else:
            self._send_json(handler, Refusal(403, "MissingAuthenticationTokenException"))

    def _search(self, request: dict[str, Any]) -> Answer:
        self.calls.append("SearchContacts")
        if isinstance(self.script.open_chats, Refusal):
            return self.script.open_chats
        span, criteria = request["TimeRange"], request["SearchCriteria"]
        condition = criteria["AdditionalTimeRange"]["Criteria"][0]["TimestampCondition"]
        asked_well = (
            span["EndTime"] - span["StartTime"] < 8 * 7 * 86_400
            and criteria["Channels"] == ["CHAT"]
            and condition == {"Type": "DISCONNECT_TIMESTAMP", "ConditionType": "NOT_EXISTS"}
        )
        if not asked_well:
            return Refusal(400, "InvalidParameterException")
        ids = list(self.script.open_chats)
        page = [
            {"Id": contact, "InitiationTimestamp": span["EndTime"] - 900} for contact in ids[: request["MaxResults"]]
        ]
        return {"Contacts": page, "TotalCount": len(ids)}

    def _attributes(self, contact: str) -> Answer:
        self.calls.append("GetContactAttributes")
        if self.script.attributes is not None or isinstance(self.script.open_chats, Refusal):
            return self.script.attributes or Refusal(404, "ResourceNotFoundException")
        run = self.script.open_chats[contact]
        return {"Attributes": {"loadtest-run": run} if run else {"customer": "somebody"}}

    def _service_quotas(self, operation: str, request: dict[str, Any]) -> Answer:
        self.calls.append(operation)
        script = self.script
        if script.quota_refusal is not None:
            return script.quota_refusal
        if operation == "ListRequestedServiceQuotaChangeHistory":
            return {"RequestedQuotas": script.pending if request.get("Status") == "PENDING" else []}
        if operation == "GetServiceQuota":
            return script.quotas.get(request["QuotaCode"], Refusal(400, "NoSuchResourceException"))
        return Refusal(400, "NoSuchResourceException")

    def _send_query(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        action = form["Action"]
        self.calls.append(action)
        answer: Answer | Callable[[str], str] = (
            self.script.identity if action == "GetCallerIdentity" else self.script.simulation
        )
        if isinstance(answer, Refusal):
            text = f"<ErrorResponse><Error><Code>{answer.code}</Code><Message>no</Message></Error></ErrorResponse>"
            self._send(handler, answer.status, text.encode(), "text/xml")
            return
        if callable(answer):
            names = [value for name, value in form.items() if name.startswith("ActionNames.member.")]
            inner = (
                "<EvaluationResults>"
                + "".join(
                    f"<member><EvalActionName>{name}</EvalActionName><EvalDecision>{answer(name)}</EvalDecision></member>"
                    for name in names
                )
                + "</EvaluationResults>"
            )
        else:
            inner = f"<Arn>{answer['Arn']}</Arn><Account>{ACCOUNT}</Account><UserId>u</UserId>"
        text = f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"
        self._send(handler, 200, text.encode(), "text/xml")

    def _send_json(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if isinstance(answer, Refusal):
            named = {"__type": answer.code} if answer.code else {}
            headers = {"x-amzn-errortype": answer.code} if answer.code else {}
            body = json.dumps({**named, "message": answer.message}).encode()
            self._send(handler, answer.status, body, "application/json", headers)
        else:
            self._send(handler, 200, json.dumps(answer).encode(), "application/json")

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
