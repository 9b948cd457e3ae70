"""Every attempt of a process on its way into samples and statistics, and what many of them say of the service."""

import logging
from collections.abc import Callable

from harness.connect.client import Reply
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.arrivals.greenlets import Crew
from harness.load.session.locust_statistics import Report
from harness.load.session.recorder import Recorder
from harness.load.session.service_watch import ServiceWatch
from harness.load.workload.model import Chat
from harness.recording.format.schema import Sample
from harness.recording.redact import redact_field, redact_text
from harness.vocabulary import CREATE_CONNECTION, END_REASON, NOT_ASKED, NOT_AWAITED, OK, START_CHAT, WEBSOCKET_OPEN

logger = logging.getLogger(__name__)

_MOST_TROUBLES = 10
_NO_REASON = "why the chat was ended was not looked up, or not told"
_TOGETHER = 0.25
"""Seconds that an attempt may wait until it is reported together with others: Locust's statistics are read once a second.
Each by itself would find cold caches, and be added to them at ten times the cost."""
_MOST_TOGETHER = 256
"""Attempts that do not wait any longer: more at once would hold up the sends."""
WATCHED = (START_CHAT, CREATE_CONNECTION, WEBSOCKET_OPEN)
"""The operations that come first at their services: what becomes of them says whether a service is of any use."""
_CUSTOMER_REFUSALS = 20
"""Refusals of a customer's connection that give the participant service up: one customer alone may try six times."""


class Attempts:
    """Records the attempts of `worker`.

    `report(attempts)` tells Locust of many, a moment later, in a greenlet of its own that may wait: Locust's listeners are
    anybody's. `settle` reports at once what is left. `on_hopeless(reply)` is called once for each service of
    which every call was refused or failed for a reason that is not a quota. `troubles` are sentences on what this machine
    could not do.
    """

    def __init__(
        self,
        recorder: Recorder,
        worker: str,
        report: Report,
        on_hopeless: Callable[[Reply], None],
        clock: Clock = CLOCK,
    ) -> None:
        self._recorder = recorder
        self._unreported: list[tuple[str, Reply]] = []
        self._alarm = clock.alarm(self._ring)
        self._crew = Crew(report)
        self._worker = worker
        self._report = report
        self._on_hopeless = on_hopeless
        self._watches = {
            START_CHAT: ServiceWatch(),
            CREATE_CONNECTION: ServiceWatch(_CUSTOMER_REFUSALS),
            WEBSOCKET_OPEN: ServiceWatch(_CUSTOMER_REFUSALS),
        }
        self.troubles: list[str] = []

    def start(self, due: float, reply: Reply, chat: Chat) -> None:
        """Record an attempt to start `chat` that was due at `due` (unix seconds)."""
        due += reply.waited  # what an SDK waits on purpose is not lateness of ours
        self._recorder.late(reply.sent - due)
        sample = Sample(
            START_CHAT,
            due,
            reply.sent,
            reply.received,
            reply.outcome,
            reply.status,
            reply.error_code,
            self._worker,
            reply.contact_id,
            content_types=chat.content_types,
            attribute_bytes=chat.attribute_bytes,
            attribute_count=chat.attribute_count,
            message_bytes=chat.message_bytes,
            duration_minutes=chat.duration_minutes,
            request_id=reply.request_id,
            kind=chat.kind,
        )
        self._take(sample, reply)

    def other(
        self,
        operation: str,
        due: float,
        reply: Reply,
        contact_id: str | None = None,
        kind: str | None = None,
        content_type: str | None = None,
        message_bytes: int = 0,
    ) -> None:
        """Record an attempt at another operation: at which chat, of which kind, and the message that was sent.

        Without `contact_id` it is the reply's.
        """
        sample = Sample(
            operation,
            due,
            reply.sent,
            reply.received,
            reply.outcome,
            reply.status,
            reply.error_code,
            self._worker,
            contact_id or reply.contact_id,
            content_types=content_type,
            message_bytes=message_bytes,
            request_id=reply.request_id,
            kind=kind,
        )
        self._take(sample, reply)

    def end_reason(self, contact_id: str, noticed: float, told: float, reason: str) -> None:
        """Record why somebody else has ended a chat: its end was `noticed`, and its reason then `told` (unix s)."""
        outcome = NOT_AWAITED if reason == NOT_ASKED else OK
        reply = Reply(outcome=outcome, sent=noticed, received=told, message="" if outcome == OK else _NO_REASON)
        self._recorder.begun()
        sample = Sample(
            END_REASON, noticed, noticed, told, outcome, worker=self._worker, contact_id=contact_id, end_reason=reason
        )
        self._take(sample, reply)

    def watch(self, operation: str, reply: Reply) -> None:
        """Take an answer into account that says whether its service is of any use."""
        watch = self._watches.get(operation)
        if watch is not None and not reply.generator_fault and watch.saw(reply.outcome, reply.received):
            code = None if reply.error_code is None else redact_field(reply.error_code)
            self._on_hopeless(reply.but(message=redact_text(reply.message), error_code=code))

    def settle(self) -> None:
        """Report what has not been reported yet."""
        self._recorder.settle()
        unreported, self._unreported = self._unreported, []
        if unreported:
            self._report(unreported)

    def close(self) -> None:
        """Report what is left, and nothing more later."""
        self._alarm.close()
        self._crew.dismiss()
        self.settle()

    def _take(self, sample: Sample, reply: Reply) -> None:
        self._recorder.attempt(sample, reply.message)
        unreported = self._unreported
        unreported.append((sample.operation, reply))
        if len(unreported) == 1:
            self._alarm.set(_TOGETHER)
        elif len(unreported) == _MOST_TOGETHER:
            self._alarm.set(0.0)
        if reply.generator_fault:
            self._note_generator_fault(reply.message)

    def _ring(self) -> None:
        self._recorder.settle()
        unreported, self._unreported = self._unreported, []
        if unreported:
            self._crew.hand(unreported)

    def _note_generator_fault(self, message: str) -> None:
        sentence = f"the generator ran out of resources of its own machine ({message}): raise its limits (ulimit -n)"
        if sentence not in self.troubles and len(self.troubles) < _MOST_TROUBLES:
            self.troubles.append(sentence)
            logger.error("%s", sentence)
