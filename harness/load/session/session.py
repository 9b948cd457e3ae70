"""One process's part of a run: sends starts, records each attempt, stops the chats."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from harness import __version__
from harness.connect.client import Reply, now
from harness.connect.target import Target
from harness.load.arrivals.arrivals import offset_of
from harness.load.arrivals.gc_tuning import settle
from harness.load.arrivals.schedule import Schedule
from harness.load.options.options import Settings
from harness.load.session.budget import Budget
from harness.load.session.end_reasons import EndReasons
from harness.load.session.recorder import Mirror, Recorder, Ship
from harness.load.session.sdk_retries import RetryLab
from harness.load.session.service_watch import ServiceWatch
from harness.load.stopping.pace import DEFAULT_STOP_RATE, Pace
from harness.load.stopping.stopper import Stopper
from harness.load.workload.model import Chat, Drawer
from harness.quotas.stages import Stage
from harness.recording.format.journey_probe import JourneyProbe
from harness.recording.format.manifest import Chats
from harness.recording.format.schema import Sample
from harness.recording.ledger import ALREADY_ENDED, KEPT, STOPPED
from harness.recording.redact import redact_field, redact_text
from harness.recording.summary import Summary
from harness.vocabulary import (
    CREATE_CONNECTION,
    DESCRIBE_CONTACT,
    OK,
    START_CHAT,
    STARTED,
    STOP_CONTACT,
    TIMEOUT,
    WEBSOCKET_OPEN,
)

logger = logging.getLogger(__name__)

_MOST_TROUBLES = 10
_ABANDONED_PATIENCE = 2.0
"""Seconds for the calls on the wire when somebody wants the process to end now: what they answer is worth that much."""
_CUSTOMER_REFUSALS = 20
"""Refusals of a customer's connection that give the participant service up: one customer alone may try six times."""


@dataclass(frozen=True)
class Part:
    """Which part of a run this process is: its worker name, and its index among the run's workers."""

    run_id: str
    directory: Path
    worker: str = "local"
    index: int = 0
    workers: int = 1


_LONGEST_CHAT = 8 * 86_400.0
"""Seconds that no chat outlives (ChatDurationInMinutes is at most seven days): the due time of one that ends otherwise."""

Journey = Callable[[float], object]
"""What is done at an arrival, given the time at which it was due (unix seconds)."""

Report = Callable[[str, Reply], None]
"""Told of each attempt: operation and reply."""


class Session:
    """Everything that one process does during one run.

    `report` feeds Locust's statistics; `on_hopeless(reply)` is called once when every call so far was refused for a
    reason that is no quota; `on_budget_spent()` when `--max-chats` is reached; `on_trouble(sentence)` once when samples or
    ledger cannot be written, after which no further chat is started. A worker whose disk is not the master's gives `ship`:
    it gets a copy of every batch of samples and, from `mirror`, of every ledger line. `budget` replaces the budget that
    `max_chats` makes. Raises OSError when the run directory cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        part: Part,
        max_chats: int | None,
        report: Report,
        on_hopeless: Callable[[Reply], None],
        on_budget_spent: Callable[[], None],
        ship: Ship | None = None,
        mirror: Mirror | None = None,
        budget: Budget | None = None,
        on_trouble: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.settings = settings
        self.target = target
        self.part = part
        self._report = report
        self._on_hopeless = on_hopeless
        self._on_budget_spent = on_budget_spent
        self._on_trouble = on_trouble
        self.client = target.client(f"chatquota/{__version__}", settings.call_timeout, settings.treat_bare_429_as)
        self.drawer = Drawer(settings.workload, target.instance_id, target.contact_flow_id, part.run_id, part.index)
        # Seeded apart from the drawer's, so that a change of the workload leaves the arrivals as they were.
        self._hold_rng = random.Random(f"hold/{settings.workload.seed}/{part.index}")
        where = {"endpoint": target.endpoint, "region": target.region, "instance_id": target.instance_id}
        self.recorder = Recorder(
            part.directory, part.worker, {"run_id": part.run_id, **where}, self._on_disk_trouble, ship, mirror
        )
        self.collector = self.recorder.collector
        self._ledger, self._tally, self._keep = self.recorder.ledger, self.recorder.tally, self.recorder.keep
        self.budget = budget or Budget(max_chats)
        rate = settings.stop_rate or DEFAULT_STOP_RATE
        pace = Pace(rate / part.workers, may_grow=not settings.stop_rate and not target.live)
        self.stopper = Stopper(self.stop_chat, self._stopped, pace)
        self.schedule = Schedule(
            self._arrival,
            settings.arrivals,
            random.Random(f"arrivals/{settings.workload.seed}/{part.index}"),
            settings.max_in_flight,
            offset_of(part.index, part.workers),
            max_late=settings.max_late,
        )
        self.end_reasons = EndReasons(self._describe, pace.rate)
        self.journey: Journey = self.start_chat
        self.retry_lab: RetryLab | None = None
        if settings.sdk_retries != "off":
            self.retry_lab = RetryLab(
                target,
                settings.sdk_retries,
                settings.call_timeout,
                settings.max_in_flight,
                settings.treat_bare_429_as,
            )
        self.before_drain: list[Callable[[], None]] = []
        self.stages: list[Stage] = []
        """Those of the probe, if one runs here."""
        self.journey_probe: JourneyProbe | None = None
        self.users = 0
        self.withheld = 0
        self.sent = 0
        self.started = 0
        self.unanswered = 0
        self.ended: dict[str, int] = {STOPPED: 0, ALREADY_ENDED: 0, KEPT: 0}
        self._told_of_budget = -1
        self._watches = {
            START_CHAT: ServiceWatch(),
            CREATE_CONNECTION: ServiceWatch(_CUSTOMER_REFUSALS),
            WEBSOCKET_OPEN: ServiceWatch(_CUSTOMER_REFUSALS),
        }
        self._generator_troubles: list[str] = []
        self._found_any = False  # whether StopContact or DescribeContact has found any chat of this process
        self._gone: set[str] = set()  # StopContact did not find them, and nothing has shown yet that it finds any chat
        self._abandoned = False
        self._over = False
        settle()

    def add_users(self, change: int) -> None:
        """`change` Locust users more (or fewer, when negative) offer load in this process."""
        self.users += change
        if self._over:  # Locust takes its users away after the end; that must not start the schedule again
            return
        rate = 0.0 if self.recorder.troubles else self.users * self.settings.starts_per_user
        self.budget.expect(rate)
        self.schedule.set_rate(rate)

    def start_chat(self, due: float, chat: Chat | None = None, *, hold: bool = True) -> Reply | None:
        """Make one StartChatContact attempt that was due at `due` and record it.

        Returns None, without a call, when the budget has no place left or the run cannot be recorded any more. A started
        chat is in the ledger when this returns and is stopped after its hold, or without `hold` at the end of the run
        unless the caller ends it first (`stop_soon`, `chat_ended`).
        """
        if self.recorder.troubles or not self.budget.reserve():
            self.withheld += 1
            self.tell_if_spent()
            return None
        chat = chat or self.drawer.draw()
        self.sent += 1
        self._tally.places(self.budget.taken)
        self._tally.begun()
        reply: Reply | None = None
        try:
            reply = self._call_start(due, chat)
        finally:
            if reply is None:  # killed while the call was on the wire
                self._note_unanswered(chat)
                self._settle(may_have_started=True)
                self._record_start(due, _ended_on_the_wire(due), chat)
        doubtful = False
        if reply.outcome == STARTED and reply.contact_id:
            self.started += 1
            open_for = self.settings.hold.draw(self._hold_rng) if hold else _LONGEST_CHAT
            self.stopper.add(reply.contact_id, reply.received + open_for)
            self._keep(lambda: self._ledger.started(str(reply.contact_id), reply.received))
        elif doubtful := self._is_doubtful(reply):
            self._note_unanswered(chat)
        self._settle(reply.outcome == STARTED or doubtful)
        self._record_start(due, reply, chat)
        self.tell_if_spent()
        if not chat.invalid:
            self._watch(START_CHAT, reply)
        return reply

    def stop_chat(self, contact_id: str) -> Reply:
        """Make one StopContact attempt and record it."""
        due = now()
        self._tally.begun()
        reply = _ended_on_the_wire(due)
        try:
            reply = self.client.stop_contact(self.target.instance_id, contact_id)
        finally:
            self._record_stop(due, reply.but(contact_id=contact_id))
        return reply

    def _record_stop(self, due: float, reply: Reply) -> None:
        self._add(STOP_CONTACT, due, reply, (None, 0, 0, 0, 0, reply.request_id, None))

    def stop_soon(self, contact_id: str) -> None:
        """Stop an open chat as soon as the pace of StopContact allows."""
        self.stopper.add(contact_id, now())

    def chat_ended(self, contact_id: str, how: str) -> None:
        """An open chat has ended without StopContact: `how` is STOPPED when its customer left, or ALREADY_ENDED."""
        if contact_id in self.stopper.open:
            self.stopper.forget(contact_id)
            self._ended(contact_id, how)

    def record(
        self,
        operation: str,
        due: float,
        reply: Reply,
        kind: str | None = None,
        content_type: str | None = None,
        message_bytes: int = 0,
    ) -> None:
        """Record an attempt at any operation but StartChatContact that was due at `due`.

        `kind` is the chat's kind; `content_type` and `message_bytes` are those of the message that was sent.
        """
        self._tally.begun()
        about = (content_type, 0, 0, message_bytes, 0, reply.request_id, kind)
        self._add(operation, due, reply, about)
        self._watch(operation, reply)

    def stop_arrivals(self) -> None:
        """Offer nothing more and wait until the calls on the wire have ended."""
        self._over = True
        self.recorder.cpu.stop()
        self.budget.close()
        self.schedule.stop()
        for end in self.before_drain:
            end()
        give_up = time.monotonic() + self.settings.call_timeout * 2 + 1
        while not self._abandoned and time.monotonic() < give_up and not self.schedule.wait_idle(0.2):
            pass
        if self._abandoned:
            self.schedule.wait_idle(_ABANDONED_PATIENCE)

    def drain(self, progress: Callable[[int, int], None]) -> None:
        """Stop every open chat (or, with --keep-chats, note each as kept). `progress(done, of)` is told as it goes on."""
        if self.settings.keep_chats:
            for contact_id in sorted(self.stopper.open):
                self._ended(contact_id, KEPT)
            return
        total = self.stopper.remaining()
        self.stopper.expedite()
        while (remaining := self.stopper.remaining()) and not self._abandoned:
            progress(total - remaining, total)
            gevent.sleep(0.1)
        progress(total - self.stopper.remaining(), total)
        if not self._abandoned:
            self.end_reasons.finish()
        if self._gone:
            logger.error(
                "StopContact and DescribeContact found none of the chats of this run: check --instance-id, and stop them"
            )

    def abandon(self) -> None:
        """Leave the chats that are open as they are: somebody wants the process to end now."""
        self._abandoned = True

    @property
    def left_open(self) -> int:
        """Chats that this process started and that are still open, the kept ones included."""
        return len(self.stopper.open) + len(self._gone)

    def summary(self) -> Summary:
        """Return what this process did so far."""
        return Summary(
            worker=self.part.worker,
            offered=self.schedule.offered,
            sent=self.sent,
            dropped=self.schedule.dropped,
            dropped_late=self.schedule.dropped_late,
            dropped_by_second=dict(self.schedule.dropped_by_second),
            withheld=self.withheld,
            offering_seconds=self.schedule.offering_seconds,
            outcomes=self.collector.outcome_counts(),
            answers=self.collector.answers(),
            lateness=self.collector.lateness.counts(),
            cpu=self.recorder.cpu.summary(),
            samples=self.collector.recorded,
            samples_lost=self.recorder.samples_lost + (self._tally.missing if self.recorder.closed else 0),
            troubles=(*self.recorder.troubles, *self._generator_troubles),
            chat_ends=dict(self.end_reasons.counts),
            sdk_retries=(self.retry_lab.tally(),) if self.retry_lab else (),
            stages=tuple(self.stages),
            journey_probe=self.journey_probe,
            chats=Chats(
                started=self.started,
                stopped=self.ended[STOPPED],
                already_ended=self.ended[ALREADY_ENDED],
                kept=self.ended[KEPT],
                left_open=self.left_open,
                unanswered=self.unanswered,
            ),
        )

    def close(self) -> None:
        """Write what is left and close the files; safe to call again."""
        self.stopper.close()
        self.end_reasons.close()
        patience = _ABANDONED_PATIENCE if self._abandoned else self.settings.call_timeout * 2
        self.stopper.wait_idle(patience)
        self.recorder.close()

    def tell_if_spent(self) -> None:
        """Tell `on_budget_spent` when every place of the budget is spent: after a start, or an answer of the master's."""
        if self.budget.spent and self._told_of_budget != self.budget.kept:
            self._told_of_budget = self.budget.kept
            self._on_budget_spent()

    def _on_disk_trouble(self, sentence: str) -> None:
        self.schedule.set_rate(0.0)
        self._on_trouble(sentence)

    def _settle(self, may_have_started: bool) -> None:
        self.budget.settle(may_have_started)
        self._tally.places(self.budget.taken)

    def _arrival(self, due: float) -> None:
        self.journey(due)

    def _stopped(self, contact_id: str, how: str) -> None:
        """StopContact has ended the chat, or did not find it.

        A service that finds no chat at all may be the wrong one, or the wrong instance: what is not found counts as ended
        only once a call has found any chat of this run.
        """
        if how == STOPPED:
            self._confirm_gone()
        elif not self._found_any:
            self._gone.add(contact_id)
            self.end_reasons.ask(contact_id)
            return
        self._ended(contact_id, how)

    def _confirm_gone(self) -> None:
        self._found_any = True
        gone, self._gone = self._gone, set()
        for contact_id in gone:
            self._note_end(contact_id, ALREADY_ENDED)

    def _note_end(self, contact_id: str, how: str) -> None:
        self.ended[how] += 1
        self._keep(lambda: self._ledger.ended(contact_id, now(), how))

    def _ended(self, contact_id: str, how: str) -> None:
        self._note_end(contact_id, how)
        if how == ALREADY_ENDED:
            self.end_reasons.ask(contact_id)

    def _describe(self, contact_id: str) -> Reply:
        due = now()
        reply, reason = self.client.describe_contact(self.target.instance_id, contact_id)
        self.record(DESCRIBE_CONTACT, due, reply)
        if reply.outcome == OK:
            self._confirm_gone()
        if reason is not None:
            self.end_reasons.found(reason)
            self._keep(lambda: self._ledger.ended(contact_id, now(), ALREADY_ENDED, reason))
        return reply

    def _note_unanswered(self, chat: Chat) -> None:
        self.unanswered += 1
        self._keep(lambda: self._ledger.unanswered(chat.client_token, now()))

    def _is_doubtful(self, reply: Reply) -> bool:
        """Whether a chat may have been started that we have no id of. Only a real service's faults are doubted: in the lab
        a server error means what it says, and the budget need not pay for it."""
        return reply.may_have_started or (self.target.live and reply.status >= 500)

    def _call_start(self, due: float, chat: Chat) -> Reply:
        if self.retry_lab is None:
            return self.client.start_chat(chat.body)
        *earlier, last = self.retry_lab.call(chat.body)
        for reply in earlier:
            self._tally.begun()
            self._record_start(due, reply, chat)
        # All attempts of a call share its ClientToken: an unanswered one may have started a chat unknown to the last.
        return last.but(doubtful=any(self._is_doubtful(reply) for reply in earlier))

    def _record_start(self, due: float, reply: Reply, chat: Chat) -> None:
        due += reply.waited  # what an SDK waits on purpose is no lateness of ours
        self.collector.lateness.add(reply.sent - due)
        about = (
            chat.content_types,
            chat.attribute_bytes,
            chat.attribute_count,
            chat.message_bytes,
            chat.duration_minutes,
            reply.request_id,
            chat.kind,
        )
        self._add(START_CHAT, due, reply, about)

    def _add(self, operation: str, due: float, reply: Reply, about: tuple[Any, ...]) -> None:
        sample = Sample(
            operation,
            due,
            reply.sent,
            reply.received,
            reply.outcome,
            reply.status,
            reply.error_code,
            self.part.worker,
            reply.contact_id,
            *about,
        )
        self.collector.add(sample, reply.message)
        self._report(operation, reply)
        if reply.generator_fault:
            self._note_generator_fault(reply.message)

    def _watch(self, operation: str, reply: Reply) -> None:
        watch = self._watches.get(operation)
        if watch is not None and not reply.generator_fault and watch.saw(reply.outcome, reply.received):
            code = None if reply.error_code is None else redact_field(reply.error_code)
            self._on_hopeless(reply.but(message=redact_text(reply.message), error_code=code))

    def _note_generator_fault(self, message: str) -> None:
        sentence = f"the generator ran out of resources of its own machine ({message}): raise its limits (ulimit -n)"
        if sentence not in self._generator_troubles and len(self._generator_troubles) < _MOST_TROUBLES:
            self._generator_troubles.append(sentence)
            logger.error("%s", sentence)


def _ended_on_the_wire(due: float) -> Reply:
    """Return the reply of a call that the end of the run cut off."""
    return Reply(outcome=TIMEOUT, sent=due, received=now(), message="the run ended before the answer came")
