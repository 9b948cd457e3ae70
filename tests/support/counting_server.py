"""A chat service that keeps its own count, to hold a run's record against.

Knows nothing of chatquota: it shares no code with it and is driven as a process of its own,

    python tests/support/counting_server.py --rate 20 --burst 30 --active-chats 50 --throttle-form header

which prints one line of JSON with its endpoint once it listens. `GET /_count` answers the counts, `GET /_record` one entry
for each request that it took (in order), `GET /_secrets` every token that it gave away or was signed with.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import time
import uuid
from typing import Any
from urllib.parse import parse_qs

INSTANCE = "33333333-3333-4333-8333-333333333333"
FLOW = "44444444-4444-4444-8444-444444444444"
KEYS = {"access_key_id": "AKIDCOUNTINGSERVER", "secret_access_key": "counting-server-secret"}

# Seven ways in which a TPS throttle is known or feared to look on the wire, and three for the quota of active chats:
# (status, error header, JSON body).
_TOO_MANY, _LIMIT = "TooManyRequestsException", "LimitExceededException"
THROTTLES: dict[str, tuple[int, str | None, dict[str, str]]] = {
    "header": (429, _TOO_MANY, {"message": "Too Many Requests"}),
    "header_url": (429, f"{_TOO_MANY}:http://internal.amazon.com/coral/", {"message": "Too Many Requests"}),
    "type": (429, None, {"__type": _TOO_MANY, "Message": "Too Many Requests"}),
    "type_namespace": (429, None, {"__type": f"com.amazonaws.connect#{_TOO_MANY}", "message": "Rate exceeded"}),
    "code": (429, None, {"code": _TOO_MANY, "message": "Too Many Requests"}),
    "throttling_429": (429, "ThrottlingException", {"message": "Rate exceeded"}),
    "throttling_400": (400, None, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
}
QUOTAS: dict[str, tuple[int, str | None, dict[str, str]]] = {
    "header": (429, _LIMIT, {"Message": "The allowed limit for the resource has been exceeded."}),
    "type": (429, None, {"__type": _LIMIT, "Message": "Limit exceeded"}),
    "service_quota": (402, "ServiceQuotaExceededException", {"Message": "Quota of active chats exceeded"}),
}
FAULTS = ("500", "503", "close", "lost")


class Bucket:
    """A token bucket on the monotonic clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, time.monotonic()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Service:
    """The service's state and its count of everything that it did."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.starts = Bucket(options.rate, options.burst)
        self.stops = Bucket(options.stop_rate, options.stop_burst)
        self.counts = dict.fromkeys(
            ("started", "tps_throttled", "active_chat_limit", "faults", "stopped", "stop_throttled", "gone", "duplicates",
             "denied", "searches"), 0
        )  # fmt: skip
        self.open: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.secrets: set[str] = {KEYS["secret_access_key"]}
        self.record: list[dict[str, Any]] = []

    def count(self) -> dict[str, int]:
        """Every count, and the chats that are open now."""
        return {**self.counts, "open": len(self.open)}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> "Reply | None":
        """The answer to a request; None to close the connection without one."""
        if path.startswith("/_"):
            return self._inside(path)
        self._note_secrets(headers)
        entry: dict[str, Any] = {"request_id": str(uuid.uuid4()), "method": method, "path": path, "at": time.time()}
        self.record.append(entry)
        if (method, path) == ("PUT", "/contact/chat"):
            reply = self._denied(headers, body) or self._start(body, entry)
        elif (method, path) == ("POST", "/contact/stop"):
            reply = self._denied(headers, body) or self._stop(json.loads(body), entry)
        elif (method, path) == ("POST", "/search-contacts"):
            reply = self._search(json.loads(body))
        elif method == "GET" and path.startswith("/contact/attributes/"):
            chat = self.open.get(path.rsplit("/", 1)[-1]) or self.ended.get(path.rsplit("/", 1)[-1])
            reply = (
                Reply(200, {"Attributes": chat["attributes"]})
                if chat
                else Reply(404, {}, error="ResourceNotFoundException")
            )
        elif method == "GET" and path.startswith("/contacts/"):
            reply = self._describe(path.rsplit("/", 1)[-1], entry)
        elif (method, path) == ("POST", "/participant/connection"):
            reply = self._connection(headers)
        elif method == "POST" and path.startswith("/participant/"):
            reply = Reply(200, {"Id": str(uuid.uuid4()), "AbsoluteTime": "2026-01-01T00:00:00.000Z"})
        elif (method, path) == ("POST", "/") and parse_qs(body.decode()).get("Action") == ["GetCallerIdentity"]:
            return Reply(200, raw=_IDENTITY, headers={"Content-Type": "text/xml"})
        else:
            reply = Reply(404, {"message": "no such operation"})
        if reply is not None:
            entry["status"] = reply.status
            reply.headers["x-amzn-RequestId"] = entry["request_id"]
        return reply

    def _inside(self, path: str) -> "Reply":
        if path == "/_count":
            return Reply(200, self.count())
        if path == "/_record":
            return Reply(200, raw=json.dumps(self.record).encode())
        if path == "/_end_all":  # an agent ends them
            self.ended.update(self.open)
            self.open.clear()
            return Reply(200, {})
        if path == "/_open":
            return Reply(200, raw=json.dumps(sorted(self.open)).encode())
        return Reply(200, raw=json.dumps(sorted(self.secrets)).encode())

    def _note_secrets(self, headers: dict[str, str]) -> None:
        signature = re.search(r"Signature=([0-9a-f]{64})", headers.get("authorization", ""))
        if signature:
            self.secrets.add(signature[1])
        for name in ("x-amz-security-token", "x-amz-bearer"):
            if headers.get(name):
                self.secrets.add(headers[name])

    def _denied(self, headers: dict[str, str], body: bytes) -> "Reply | None":
        if not self.options.deny:
            return None
        self.counts["denied"] += 1
        # As AWS does: the canonical request, security token and all, comes back in the message.
        lines = [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-amz") or name == "host"]
        canonical = "\n".join(["PUT", "/contact/chat", "", *lines, "", headers.get("authorization", "")])
        text = (
            "The request signature we calculated does not match the signature you provided. "
            f"The Canonical String for this request should have been\n'{canonical}'\n"
        )
        return Reply(403, {"message": text}, error="SignatureDoesNotMatch")

    def _start(self, body: bytes, entry: dict[str, Any]) -> "Reply | None":
        request = json.loads(body)
        token = request.get("ClientToken")
        entry["client_token"] = token
        kind = self.rng.choice(self.options.fault_kinds) if self.rng.random() < self.options.faults else None
        if kind and kind != "lost":
            self.counts["faults"] += 1
            entry["did"] = "faults"
            return _fault(kind)
        if not self.starts.take():
            return self._refuse("tps_throttled", THROTTLES[self.options.throttle_form], entry)
        if token in self.tokens:
            self.counts["duplicates"] += 1
            entry["did"] = "duplicates"
            return self._started(self.tokens[token])
        if len(self.open) >= self.options.active_chats:
            return self._refuse("active_chat_limit", QUOTAS[self.options.quota_form], entry)
        contact = str(uuid.uuid4())
        self.tokens[token] = contact
        self.open[contact] = {"at": time.time(), "attributes": request.get("Attributes", {}), "token": token}
        entry.update(did="started" if kind is None else "lost", contact_id=contact)
        if kind:  # started, but nobody is told
            self.counts["faults"] += 1
            return None
        self.counts["started"] += 1
        return self._started(contact)

    def _started(self, contact: str) -> "Reply":
        secret = "participant-token-" + "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60))
        self.secrets.add(secret)
        return Reply(200, {"ContactId": contact, "ParticipantId": str(uuid.uuid4()), "ParticipantToken": secret})

    def _refuse(self, did: str, form: tuple[int, str | None, dict[str, str]], entry: dict[str, Any]) -> "Reply":
        self.counts[did] += 1
        entry["did"] = did
        status, header, body = form
        return Reply(status, body, error=header)

    def _stop(self, request: dict[str, Any], entry: dict[str, Any]) -> "Reply":
        contact = request["ContactId"]
        entry["contact_id"] = contact
        if not self.stops.take():
            return self._refuse("stop_throttled", THROTTLES[self.options.throttle_form], entry)
        if contact not in self.open:
            self.counts["gone"] += 1
            entry["did"] = "gone"
            return Reply(410, {"Message": "Contact not found"}, error="ContactNotFoundException")
        self.ended[contact] = self.open.pop(contact)
        self.counts["stopped"] += 1
        entry["did"] = "stopped"
        return Reply(200, {})

    def _describe(self, contact: str, entry: dict[str, Any]) -> "Reply":
        entry.update(did="described", contact_id=contact)
        return Reply(200, {"Contact": {"Id": contact, "Channel": "CHAT", "DisconnectReason": "AGENT_DISCONNECT"}})

    def _connection(self, headers: dict[str, str]) -> "Reply":
        secret = "connection-token-" + "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=60))
        self.secrets.add(secret)
        return Reply(200, {"ConnectionCredentials": {"ConnectionToken": secret, "Expiry": "2030-01-01T00:00:00.000Z"}})

    def _search(self, request: dict[str, Any]) -> "Reply":
        self.counts["searches"] += 1
        if self.options.no_search:
            return Reply(
                403, {"message": "not authorized to perform: connect:SearchContacts"}, error="AccessDeniedException"
            )
        asked = request.get("SearchCriteria", {})
        criteria = asked.get("SearchableContactAttributes", {}).get("Criteria", [])
        if criteria and self.options.not_searchable:
            return Reply(400, {"message": "attribute is not searchable"}, error="InvalidParameterException")
        conditions = [one.get("TimestampCondition") for one in asked.get("AdditionalTimeRange", {}).get("Criteria", [])]
        still_open = {"Type": "DISCONNECT_TIMESTAMP", "ConditionType": "NOT_EXISTS"} in conditions
        span = request["TimeRange"]
        found = [
            {"Id": contact, "Channel": "CHAT", "InitiationTimestamp": chat["at"]}
            | ({"DisconnectTimestamp": time.time()} if contact in self.ended else {})
            for contact, chat in [*({} if still_open else self.ended).items(), *self.open.items()]
            if span["StartTime"] <= chat["at"] <= span["EndTime"]
            and all(chat["attributes"].get(one["Key"]) in one["Values"] for one in criteria)
        ]
        first, size = int(request.get("NextToken") or 0), request.get("MaxResults") or 100
        answer: dict[str, Any] = {"Contacts": found[first : first + size], "TotalCount": len(found)}
        if first + size < len(found):
            answer["NextToken"] = str(first + size)
        return Reply(200, answer)


_IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::000000000000:user/tester</Arn><UserId>AIDATESTER</UserId><Account>000000000000</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""


def _fault(kind: str) -> "Reply | None":
    if kind == "close":
        return None
    if kind == "503":
        return Reply(503, raw=b"<html><h1>503 Service Unavailable</h1></html>", headers={"Content-Type": "text/html"})
    return Reply(500, {"Message": "Internal service error"}, error="InternalServiceException")


class Reply:
    """An HTTP answer."""

    def __init__(
        self,
        status: int,
        body: Any = None,
        error: str | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = raw if raw is not None else json.dumps(body).encode()
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        if error:
            self.headers["x-amzn-ErrorType"] = error

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""])
        return head.encode("ascii") + self.body


async def serve(service: Service, options: argparse.Namespace) -> None:
    """Listen, announce the endpoint on standard output, and serve until SIGTERM, SIGINT or (lifeline) the end of input."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ", 2)
                headers = {
                    name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
                }
                if headers.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length") or 0))
                reply = service.answer(method, path.partition("?")[0], headers, body)
                if options.latency and not path.startswith("/_"):
                    await asyncio.sleep(options.latency)
                if reply is None:
                    break
                writer.write(reply.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", options.port, limit=2**20, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    if options.lifeline:

        def watch() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                ended.set()

        loop.add_reader(sys.stdin.fileno(), watch)
    line = {"endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1", **KEYS}
    print(json.dumps({**line, "instance_id": INSTANCE, "contact_flow_id": FLOW}), flush=True)
    await ended.wait()
    server.close()


def read_options() -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e9, help="StartChatContact calls per second")
    parser.add_argument("--burst", type=float, default=1e9)
    parser.add_argument("--active-chats", type=int, default=10**9)
    parser.add_argument("--stop-rate", type=float, default=1e9, help="StopContact calls per second")
    parser.add_argument("--stop-burst", type=float, default=1e9)
    parser.add_argument("--throttle-form", choices=THROTTLES, default="header")
    parser.add_argument("--quota-form", choices=QUOTAS, default="header")
    parser.add_argument("--faults", type=float, default=0.0, help="the share of starts that fail")
    parser.add_argument(
        "--fault-kinds",
        type=lambda text: text.split(","),
        default=["500"],
        help=f"of {', '.join(FAULTS)}; lost is a chat that starts while its answer is lost",
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--deny", action="store_true", help="refuse every signature, echoing the request as AWS does")
    parser.add_argument("--no-search", action="store_true", help="refuse SearchContacts")
    parser.add_argument("--not-searchable", action="store_true", help="refuse SearchContacts by an attribute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lifeline", action="store_true", help="exit when standard input ends")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = read_options()
    asyncio.run(serve(Service(chosen), chosen))
