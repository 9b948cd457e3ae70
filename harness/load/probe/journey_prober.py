"""The probe of the journey on the wire: a handful of chats, and the calls that its plan decides."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gevent
from gevent.event import Event

from harness.connect.client import Reply, now
from harness.connect.participant import CHAT_ENDED, TYPING
from harness.load.conversation.line import Line
from harness.load.conversation.shared import Shared
from harness.load.probe.actions import Pause
from harness.load.probe.journey_findings import calls_per_chat, sentences, table_of
from harness.load.probe.journey_moves import Call, Chats
from harness.load.probe.journey_plan import JourneyPlan
from harness.load.session.session import Session
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import (
    CREATE_CONNECTION,
    DISCONNECT,
    GET_TRANSCRIPT,
    OK,
    PROBE_FAILED,
    SEND_EVENT,
    SEND_MESSAGE,
    STARTED,
)

logger = logging.getLogger(__name__)

_START_EVERY = 0.5
_START_TRIES = 60
_TEXT = "A message of a load test."
Progress = Callable[[], AbstractContextManager[Callable[[str], None]]]


class _Member:
    """One chat of the probe: its customer stays connected, says what the plan wants, and hears nothing but the end."""

    def __init__(self, shared: Shared, reply: Reply, kind: str | None) -> None:
        self._shared = shared
        self._kind = kind
        self.contact_id = str(reply.contact_id)
        self._participant_token = str(reply.participant_token)
        self._over = Event()
        self.line = Line(shared, self, reply, random.Random(self.contact_id), lambda at: None)

    def hear(self, item: dict[str, Any], at: float) -> None:
        """Note the end of the chat."""
        if item.get("ContentType") == CHAT_ENDED:
            self._over.set()

    def is_over(self) -> bool:
        """Tell whether the chat or the run has ended."""
        return self._over.is_set() or self._shared.closing

    def pause(self, seconds: float) -> bool:
        """Wait; False when the chat or the run ended in the meantime."""
        self._over.wait(seconds)
        return not self.is_over()

    def record(self, operation: str, due: float, reply: Reply) -> None:
        """Record an attempt that was due at `due`."""
        self._shared.session.record(operation, due, reply, self.contact_id, self._kind)

    def call(self, operation: str, number: int) -> Reply:
        """Make the call of `operation` that is `number` in the run, and record it."""
        client, token, due = self._shared.client, self.line.token, now()
        client_token = f"{self.contact_id}.{number}"
        if operation == SEND_MESSAGE:
            reply = client.send_message(token, "text/plain", _TEXT, client_token)[0]
        elif operation == SEND_EVENT:
            reply = client.send_event(token, TYPING, client_token)
        elif operation == GET_TRANSCRIPT:
            reply = client.get_transcript(token, 1)[0]
        elif operation == CREATE_CONNECTION:
            reply = client.create_connection(self._participant_token)[0]
        else:
            reply = client.disconnect(token, client_token)
        self.record(operation, due, reply)
        return reply


class JourneyProber:
    """Does what a `JourneyPlan` says, with the calls of a `Session`. `done(why)` is called once, at its own end."""

    def __init__(self, session: Session, done: Callable[[str], None], progress: Progress) -> None:
        settings = session.settings
        self.plan = JourneyPlan(settings.max_probe_rate, settings.probe_time, settings.workload.seed)
        self._session = session
        self._shared = Shared(session)
        self._done = done
        self._progress = progress
        self._members: list[_Member] = []
        self._news = Event()
        self._calls: set[gevent.Greenlet] = set()
        self._number = 0
        self._over = False
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link_exception(lambda _: gevent.spawn(done, PROBE_FAILED))  # else the run would never end

    def end(self) -> None:
        """Send nothing more, wait for the calls on the wire, and close the websockets; the chats are left to the session."""
        self._over = True
        self._shared.closing = True
        self._news.set()
        if gevent.getcurrent() is not self._greenlet:
            self._greenlet.join(2.0)
            self._greenlet.kill()
        gevent.joinall(list(self._calls), timeout=self._session.settings.call_timeout * 2 + 1)
        for member in self._members:
            member.line.close()
        self._shared.pulse.close()
        self._shared.deadlines.close()

    def _run(self) -> None:
        why = "done"
        with self._progress() as say:
            while not self._over:
                step = self.plan.act(now())
                if isinstance(step, Call):
                    self._number += 1
                    self._spawn(self._call, step, self._number)
                    gevent.sleep(0)  # it goes out now
                elif isinstance(step, Pause):
                    say(self.plan.line())
                    self._news.clear()
                    self._news.wait(max(0.0, step.until - now()))
                elif isinstance(step, Chats):
                    self._spawn(self._have, step.count)
                else:
                    why = step.why
                    break
        cost = calls_per_chat(self._session.settings)
        self._session.journey_probe = table_of(self.plan.found, cost)
        if self._over:
            return
        for sentence in sentences(self.plan.found, cost):
            logger.info("%s", sentence)
        gevent.spawn(self._done, "max_chats" if self._session.budget.spent else why)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        greenlet = gevent.spawn(work, *arguments)
        self._calls.add(greenlet)
        greenlet.link(self._calls.discard)

    def _call(self, step: Call, number: int) -> None:
        member = self._members[step.chat]
        reply = member.call(step.operation, number)
        if step.operation == DISCONNECT and reply.outcome == OK:
            self.plan.gone.add(step.chat)
            member.line.close()
            self._session.chat_ended(member.contact_id, STOPPED)
        self.plan.answered(step.operation, reply.sent, reply.received, reply.outcome)
        self._news.set()

    def _have(self, count: int) -> None:
        """Start and connect chats until there are `count`, slowly: their own limits are not what is looked for."""
        tries = 0
        while len(self._members) < count and tries < _START_TRIES and not self._over:
            tries += 1
            chat = self._session.drawer.draw()
            reply = self._session.start_chat(now(), chat, hold=False)
            if reply is None:
                break  # the budget is spent
            if reply.outcome == STARTED and reply.contact_id:
                member = _Member(self._shared, reply, chat.kind)
                if member.line.connect():
                    self._members.append(member)
                elif member.is_over():
                    self._session.chat_ended(member.contact_id, ALREADY_ENDED)
            gevent.sleep(_START_EVERY)
        self.plan.ready(len(self._members))
        self._news.set()
