"""One process's part of a run: sends starts, records each attempt, stops the chats."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from harness import __version__
from harness.connect.client import ContactEnd, Reply
from harness.connect.target import Target
from harness.load.arrivals.arrivals import offset_of
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.arrivals.gc_tuning import settle
from harness.load.arrivals.schedule import Schedule
from harness.load.options.options import Settings
from harness.load.session.attempts import WATCHED, Attempts
from harness.load.session.budget import Budget
from harness.load.session.locust_statistics import Report
from harness.load.session.recorder import Mirror, Recorder, Ship
from harness.load.session.sdk_retries import SdkCall, sdk_of
from harness.load.session.started_chats import StartedChats
from harness.load.stopping.pace import DEFAULT_STOP_RATE, Pace
from harness.load.workload.model import Chat, Drawer
from harness.quotas.stages import Stage
from harness.recording.format.journey_probe import JourneyProbe
from harness.recording.format.manifest import Chats
from harness.recording.summary import Summary
from harness.vocabulary import DESCRIBE_CONTACT, START_CHAT, STARTED, STOP_CONTACT, TIMEOUT

_ABANDONED_PATIENCE = 2.0
"""Seconds for the calls on the wire when somebody wants the process to end now: what they answer is worth that much."""
_NO_SDK = SdkCall()
_LONGEST_CHAT = 8 * 86_400.0
"""Seconds that no chat outlives (ChatDurationInMinutes is at most seven days): the due time of one that ends otherwise."""


@dataclass(frozen=True)
class Part:
    """Which part of a run this process is: its worker name, and its index among the run's workers."""

    run_id: str
    directory: Path
    worker: str = "local"
    index: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Listeners:
    """Who is told what a session meets.

    `report(attempts)` of all; `hopeless(reply)` once when every call so far was refused for a reason that is not a quota;
    `budget_spent()` when `--max-chats` is reached; `trouble(sentence)` once when samples or ledger cannot be written, after
    which no further chat is started.
    """

    report: Report
    hopeless: Callable[[Reply], None]
    budget_spent: Callable[[], None]
    trouble: Callable[[str], None]


@dataclass(frozen=True)
class Copies:
    """Who gets a copy of what is recorded, where this disk is not the master's: `ship` of every batch of samples, `mirror`
    of every ledger line.
    """

    ship: Ship
    mirror: Mirror


@dataclass(slots=True)  # not frozen, which takes three times as long to make
class _Start:
    """A start on the wire: when it was due (unix s), of which chat, and how far the SDK has got where it calls."""

    due: float
    chat: Chat
    sdk: SdkCall


class Journey(Protocol):
    """What a session does at its arrivals."""

    def arrive(self, due: float) -> object:
        """Do what is to be done at an arrival that was due at `due` (unix seconds)."""

    def close(self) -> None:
        """Begin nothing more: the arrivals are over, the chats are about to be stopped."""


class Session:
    """Everything that one process does during one run.

    `journey(session)` makes what is done at each arrival; by default a chat is started. Raises OSError when the run
    directory cannot be written.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        part: Part,
        budget: Budget,
        listeners: Listeners,
        journey: "Callable[[Session], Journey] | None" = None,
        *,
        copies: Copies | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.settings = settings
        self.target = target
        self.part = part
        self.budget = budget
        self._listeners = listeners
        self._clock = clock
        self.client = target.client(f"chatquota/{__version__}", settings.call_timeout, settings.treat_bare_429_as)
        self.drawer = Drawer(settings.workload, target.instance_id, target.contact_flow_id, part.run_id, part.index)
        # Seeded apart from the drawer's, so that a change of the workload leaves the arrivals as they were.
        self._hold_rng = random.Random(f"hold/{settings.workload.seed}/{part.index}")
        self._recorder = _recorder(target, part, self._on_disk_trouble, copies, clock)
        self._attempts = Attempts(self._recorder, part.worker, listeners.report, listeners.hopeless, clock)
        rate = settings.stop_rate or DEFAULT_STOP_RATE
        pace = Pace(rate / part.workers, may_grow=not settings.stop_rate and not target.live)
        self._chats = StartedChats(
            self._recorder, self._stop_chat, self._describe, self._attempts.end_reason, pace, clock
        )
        self._sdk = sdk_of(settings, target)
        # Who does more at an arrival than to start a chat goes on as soon as it is answered.
        starts_alone = journey is None and self._sdk is None
        turns = self.client.gather(self._recorder.gather, self._recorder.commit) if starts_alone else None
        self._schedule = Schedule(
            lambda due: self.journey.arrive(due),
            settings.arrivals,
            random.Random(f"arrivals/{settings.workload.seed}/{part.index}"),
            settings.max_in_flight,
            offset_of(part.index, part.workers),
            max_late=settings.max_late,
            clock=clock,
            turns=turns,
        )
        self.stages: list[Stage] = []  # those of the probe, if one runs here
        self.progress = ""  # what a probe is about to do and knows so far, in a line
        self.journey_probe: JourneyProbe | None = None
        self._users = 0
        self._withheld = 0
        self._sent = 0
        self._told_of_budget = -1
        self._abandoned = self._over = False
        self._on_wire: dict[int, _Start] = {}
        self.journey: Journey = _Starts(self) if journey is None else journey(self)
        settle()

    def add_users(self, change: int) -> None:
        """`change` Locust users more (or fewer, when negative) offer load in this process."""
        self._users += change
        if self._over:  # Locust takes its users away after the end; that must not start the schedule again
            return
        rate = 0.0 if self._recorder.troubles else self._users * self.settings.starts_per_user
        self.budget.expect(rate)
        self._schedule.set_rate(rate)

    def start_chat(self, due: float, chat: Chat | None = None, *, hold: bool = True) -> Reply | None:
        """Make one StartChatContact attempt that was due at `due` and record it.

        Returns None, without a call, when the budget has no place left or the run cannot be recorded any more, and where
        the answer came after `close`. A started chat is in the ledger when this returns and is stopped after its hold, or
        without `hold` at the end of the run unless the caller ends it first (`stop_soon`, `chat_ended`).
        """
        if self._recorder.troubles or not self.budget.reserve():
            self._withheld += 1
            self.tell_if_spent()
            return None
        chat = chat or self.drawer.draw()
        self._sent += 1
        self._recorder.places(self.budget.taken)
        self._recorder.begun()
        number = self._sent
        sdk = _NO_SDK if self._sdk is None else SdkCall(lambda reply: self._followed(number, reply))
        start = self._on_wire[number] = _Start(due, chat, sdk)
        replies: list[Reply] = []
        try:
            replies = self._call_start(start)
        finally:
            closed = self._on_wire.pop(number, None) is None  # what was known of it then is written
            if not replies and not closed:  # killed while the call was on the wire
                self._cut_off_start(start)
        if closed:
            return None
        reply = self._last_of(replies)
        doubtful = False
        if reply.outcome == STARTED and reply.contact_id:
            open_for = self.settings.hold.draw(self._hold_rng) if hold else _LONGEST_CHAT
            self._chats.started(reply.contact_id, reply.received, reply.received + open_for)
        elif doubtful := self._is_doubtful(reply):
            self._chats.unanswered(chat.client_token)
        self._settle(reply.outcome == STARTED or doubtful)
        self._attempts.start(due, reply, chat)
        self.tell_if_spent()
        if not chat.invalid:
            self._attempts.watch(START_CHAT, reply)
        return reply

    def is_open(self, contact_id: str) -> bool:
        """Whether a chat that was started has not been stopped yet."""
        return self._chats.is_open(contact_id)

    def stop_soon(self, contact_id: str) -> None:
        """Stop an open chat as soon as the pace of StopContact allows."""
        self._chats.stop_soon(contact_id)

    def chat_ended(self, contact_id: str, how: str) -> None:
        """Note that a chat has ended without StopContact: `how` is STOPPED when its customer left, or ALREADY_ENDED."""
        self._chats.ended_elsewhere(contact_id, how)

    def record(
        self,
        operation: str,
        due: float,
        reply: Reply,
        contact_id: str | None = None,
        kind: str | None = None,
        content_type: str | None = None,
        message_bytes: int = 0,
    ) -> None:
        """Record an attempt at any operation but StartChatContact that was due at `due`.

        `contact_id` is the chat that it is about and `kind` its kind; `content_type` and `message_bytes` are those of the
        message that was sent.
        """
        self._recorder.begun()
        self._attempts.other(operation, due, reply, contact_id, kind, content_type, message_bytes)
        if operation in WATCHED:
            self._attempts.watch(operation, reply)

    def stop_arrivals(self) -> None:
        """Offer nothing more and wait until the calls on the wire have ended."""
        self._over = True
        self._recorder.load_is_over()
        self.budget.close()
        self._schedule.stop()
        self.journey.close()
        give_up = self._clock.now() + self.settings.call_timeout * 2 + 1
        while not self._abandoned and self._clock.now() < give_up and not self._schedule.wait_idle(0.2):
            pass
        if self._abandoned:
            self._schedule.wait_idle(_ABANDONED_PATIENCE)

    def drain(self, progress: Callable[[int, int], None]) -> None:
        """Stop every open chat (or, with --keep-chats, note each as kept). `progress(done, of)` is told as it goes on."""
        self._chats.drain(progress, lambda: self._abandoned, keep=self.settings.keep_chats)

    def abandon(self) -> None:
        """Leave the chats that are open as they are: somebody wants the process to end now."""
        self._abandoned = True

    @property
    def chats(self) -> Chats:
        """What became of the chats that this process started."""
        return self._chats.counts()

    def summary(self) -> Summary:
        """Return what this process did so far."""
        self._attempts.settle()
        recorded = self._recorder.summary()
        schedule = self._schedule
        return msgspec.structs.replace(
            recorded,
            offered=schedule.offered,
            sent=self._sent,
            dropped=schedule.dropped,
            dropped_late=schedule.dropped_late,
            dropped_by_second=dict(schedule.dropped_by_second),
            withheld=self._withheld,
            offering_seconds=schedule.offering_seconds,
            troubles=(*recorded.troubles, *self._attempts.troubles),
            chat_ends=self._chats.end_reasons,
            sdk_retries=(self._sdk.tally(),) if self._sdk else (),
            stages=tuple(self.stages),
            journey_probe=self.journey_probe,
            progress=self.progress,
            chats=self.chats,
        )

    def close(self) -> None:
        """Write what is left, each start on the wire as one without an answer, and close the files; safe to call again."""
        while self._on_wire:
            self._cut_off_start(self._on_wire.pop(next(iter(self._on_wire))))
        self._chats.close(_ABANDONED_PATIENCE if self._abandoned else self.settings.call_timeout * 2)
        self._attempts.close()
        self._recorder.close()
        self.client.close()

    def tell_if_spent(self) -> None:
        """Tell the listener when every place of the budget is spent: after a start, or an answer of the master's."""
        if self.budget.spent and self._told_of_budget != self.budget.kept:
            self._told_of_budget = self.budget.kept
            self._listeners.budget_spent()

    def _on_disk_trouble(self, sentence: str) -> None:
        self._schedule.set_rate(0.0)
        self._listeners.trouble(sentence)

    def _settle(self, may_have_started: bool) -> None:
        self.budget.settle(may_have_started)
        self._recorder.places(self.budget.taken)

    def _stop_chat(self, contact_id: str) -> Reply:
        due = self._clock.now()
        self._recorder.begun()
        reply: Reply | None = None
        try:
            reply = self.client.stop_contact(self.target.instance_id, contact_id)
        finally:
            if reply is None:  # killed while the call was on the wire
                self._attempts.other(STOP_CONTACT, due, self._cut_off(due).but(contact_id=contact_id))
        self._attempts.other(STOP_CONTACT, due, reply)
        return reply

    def _describe(self, contact_id: str) -> tuple[Reply, ContactEnd | None]:
        due = self._clock.now()
        reply, end = self.client.describe_contact(self.target.instance_id, contact_id)
        self.record(DESCRIBE_CONTACT, due, reply)
        return reply, end

    def _is_doubtful(self, reply: Reply) -> bool:
        """Whether a chat may have been started that we have no id of. Only a real service's faults are doubted: in the lab
        a server error means what it says, and the budget need not pay for it.
        """
        return reply.may_have_started or (self.target.live and reply.status >= 500)

    def _call_start(self, start: _Start) -> list[Reply]:
        if self._sdk is None:
            return [self.client.start_chat(start.chat.body)]
        return self._sdk.call(start.chat.body, start.sdk)

    def _followed(self, number: int, reply: Reply) -> None:
        """Record an attempt of the SDK's that is not the last of its call: at once, as the process may be killed."""
        if (start := self._on_wire.get(number)) is not None:
            self._attempts.start(start.due, reply, start.chat)
            self._recorder.begun()

    def _last_of(self, replies: list[Reply]) -> Reply:
        """Return the last attempt of a call, which decides what became of it."""
        *earlier, last = replies
        # All attempts of a call share its ClientToken: an unanswered one may have started a chat unknown to the last.
        return last.but(doubtful=any(map(self._is_doubtful, earlier))) if earlier else last

    def _cut_off_start(self, start: _Start) -> None:
        """Record what a start that gets no answer any more has come to: the SDK may be waiting between two attempts."""
        replies, sent = list(start.sdk.attempts), start.sdk.unanswered_since
        if not replies or sent is not None:
            waited = 0.0 if sent is None else sent - start.sdk.begun
            replies.append(self._cut_off(start.due if sent is None else sent).but(waited=waited))
        last = self._last_of(replies)
        if doubtful := self._is_doubtful(last):
            self._chats.unanswered(start.chat.client_token)
        self._settle(doubtful)
        self._attempts.start(start.due, last, start.chat)

    def _cut_off(self, sent: float) -> Reply:
        """Return the reply of a call that the end of the run cut off."""
        said = "the run ended before the answer came"
        return Reply(outcome=TIMEOUT, sent=sent, received=self._clock.now(), message=said)


class _Starts:
    """Starts a chat at each arrival."""

    def __init__(self, session: Session) -> None:
        self.arrive: Callable[[float], object] = session.start_chat

    def close(self) -> None:
        """Nothing goes on but the calls on the wire."""


def _recorder(
    target: Target, part: Part, on_trouble: Callable[[str], None], copies: Copies | None, clock: Clock
) -> Recorder:
    header = {
        "run_id": part.run_id,
        "endpoint": target.endpoint,
        "region": target.region,
        "instance_id": target.instance_id,
    }
    return Recorder(
        part.directory,
        part.worker,
        header,
        on_trouble,
        ship=copies.ship if copies else None,
        mirror=copies.mirror if copies else None,
        clock=clock,
    )
