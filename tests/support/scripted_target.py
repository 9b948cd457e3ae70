"""A target whose answers a test decides, in virtual time and without a socket."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from harness.connect.client import ConnectClient, ContactEnd, Reply
from harness.connect.signing import Credentials
from harness.connect.target import Target
from harness.vocabulary import NOT_FOUND, OK, STARTED
from tests.support.virtual_time import VirtualTime

STATUS = {STARTED: 200, OK: 200, "tps_throttled": 429, "access_denied": 403, NOT_FOUND: 404, "service_error": 500}


EXPIRED = ContactEnd("EXPIRED")


@dataclass
class Service:
    """Answers after `latency` seconds with what `start(number)` and `stop(contact_id)` say, by default yes."""

    time: VirtualTime
    start: Callable[[int], str] = lambda number: STARTED
    stop: Callable[[str], str] = lambda contact_id: OK
    latency: float = 0.05
    starts: list[float] = field(default_factory=list)
    stops: list[tuple[float, str]] = field(default_factory=list)
    end: ContactEnd | None = EXPIRED
    gathers: int = 0
    closes: int = 0

    def start_chat(self, body: bytes) -> Reply:
        """Answer a StartChatContact."""
        sent = self.time.at
        self.starts.append(sent)
        number = len(self.starts)
        outcome = self.start(number)
        self.time.clock.sleep(self.latency)
        contact = f"00000000-0000-4000-8000-{number:012d}" if outcome == STARTED else None
        return Reply(
            outcome=outcome, sent=sent, received=self.time.at, status=STATUS.get(outcome, 0), contact_id=contact
        )

    def gather(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Count who asks for it; there are no connections that could be looked at together."""
        self.gathers += 1

    def close(self) -> None:
        """Count who asks for it."""
        self.closes += 1

    def stop_contact(self, instance_id: str, contact_id: str) -> Reply:
        """Answer a StopContact."""
        sent = self.time.at
        self.stops.append((sent, contact_id))
        outcome = self.stop(contact_id)
        self.time.clock.sleep(self.latency)
        return Reply(
            outcome=outcome, sent=sent, received=self.time.at, status=STATUS.get(outcome, 0), contact_id=contact_id
        )

    def describe_contact(self, instance_id: str, contact_id: str) -> tuple[Reply, ContactEnd | None]:
        """Answer a DescribeContact."""
        self.time.clock.sleep(self.latency)
        at = self.time.at
        return Reply(outcome=OK, sent=at, received=at, status=200, contact_id=contact_id), self.end


@dataclass(frozen=True)
class ScriptedTarget(Target):
    """A target that hands out `service` as its client."""

    service: Service | None = None

    def client(self, user_agent: str, timeout: float, bare_429: str = "") -> ConnectClient:
        """Return the service itself."""
        return cast(ConnectClient, self.service)


def scripted_target(service: Service) -> Target:
    """Return a target in the lab whose calls `service` answers."""
    return ScriptedTarget(
        endpoint="http://127.0.0.1:1",
        participant_endpoint="http://127.0.0.1:1",
        region="us-east-1",
        instance_id="11111111-1111-4111-8111-111111111111",
        contact_flow_id="22222222-2222-4222-8222-222222222222",
        credentials=lambda: Credentials("a", "b"),
        service=service,
    )
