"""The prober on the wire: sends what the plan decides, says how it goes, and ends the run."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import gevent
from gevent.event import Event
from rich.console import Console

from harness.connect.client import now
from harness.load.options.options import JOURNEY
from harness.load.probe.actions import Done, Pause, ProbeOptions, Reconnect, Send, StopChats, Think
from harness.load.probe.capacity_plan import CapacityPlan
from harness.load.probe.journey_prober import JourneyProber
from harness.load.session.session import Session
from harness.quotas.cost import Goal, effort
from harness.vocabulary import PROBE_FAILED, STARTED

logger = logging.getLogger(__name__)

_LINE_EVERY = 3.0
_LOOK_EVERY = 0.02
_CONNECTIONS = 32
"""Connections over which a probe's calls are spread. Of two nodes that they are pinned to, the one with fewer then has less
than a third of the calls in 5 % of cases; of ten connections it is in 34 %."""


def begin(session: Session, done: Callable[[str], None]) -> "Prober | JourneyProber":
    """Begin the probe that the session's settings ask for; `done(why)` is called at its own end."""
    if session.settings.probe == JOURNEY:
        return JourneyProber(session, done, partial(_progress, session))
    return Prober(session, done)


class Prober:
    """Does what a `CapacityPlan` says, with the calls of a `Session`. `done(why)` is called once, at its own end."""

    def __init__(self, session: Session, done: Callable[[str], None]) -> None:
        settings = session.settings
        options = ProbeOptions(
            cast(Goal, settings.probe),
            settings.max_probe_rate,
            settings.max_chats,
            settings.probe_time,
            settings.workload.seed,
        )
        self.plan = CapacityPlan(options)
        session.stages = self.plan.stages
        session.client.spread_over(_CONNECTIONS)
        logger.info("probe: %s; --probe-time ends it after %g min", effort(options.goal), settings.probe_time / 60)
        self._session = session
        self._done = done
        self._news = Event()
        self._open: list[str] = []
        self._calls: set[gevent.Greenlet] = set()
        self._over = False
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link_exception(lambda _: gevent.spawn(done, PROBE_FAILED))  # else the run would never end

    def end(self) -> None:
        """Send nothing more and wait for the calls on the wire."""
        self._over = True
        self._news.set()
        if gevent.getcurrent() is not self._greenlet:
            self._greenlet.join(2.0)
            self._greenlet.kill()
        gevent.joinall(list(self._calls), timeout=self._session.settings.call_timeout * 2 + 1)

    def _run(self) -> None:
        why = ""
        with _progress(self._session) as say:
            while not self._over:
                action = self.plan.act(now())
                if isinstance(action, Send):
                    call = gevent.spawn(self._call, action.number, now())
                    self._calls.add(call)
                    call.link(self._calls.discard)
                    gevent.sleep(0)  # it goes out now
                elif isinstance(action, Pause):
                    say(self.plan.line())
                    self._news.clear()
                    self._news.wait(max(0.0, action.until - now()))
                elif isinstance(action, StopChats):
                    gevent.spawn(self._stop, action.count)
                elif isinstance(action, Reconnect):
                    self._session.client.reconnect()
                elif isinstance(action, Think):
                    self._think(action.steps, say)
                else:
                    why = action.why if isinstance(action, Done) else "done"
                    break
        if self._over:
            return
        for sentence in self.plan.findings():
            logger.info("%s", sentence)
        gevent.spawn(self._done, why)

    def _call(self, number: int, due: float) -> None:
        reply = self._session.start_chat(due, hold=False)
        if reply is None:
            self.plan.withheld(number)
        else:
            if reply.outcome == STARTED and reply.contact_id:
                self._open.append(reply.contact_id)
            self.plan.answered(number, reply.sent, reply.received, reply.outcome)
        self._news.set()

    def _stop(self, count: int) -> None:
        waiting, self._open = self._open[:count], self._open[count:]
        for contact_id in waiting:
            self._session.stop_soon(contact_id)
        while waiting and not self._over:
            gevent.sleep(_LOOK_EVERY)
            for contact_id in [c for c in waiting if not self._session.is_open(c)]:
                waiting.remove(contact_id)
                self.plan.found_gone(self._session.chats.already_ended)
                self.plan.ended(now())
                self._news.set()

    def _think(self, steps: Iterator[object], say: Callable[[str], None]) -> None:
        for _ in steps:
            gevent.sleep(0)
            if self._over:
                return
        say(self.plan.line())


@contextmanager
def _progress(session: Session) -> Iterator[Callable[[str], None]]:
    """Yield `say(line)`, to be called any number of times: a live line on a terminal, one every few seconds elsewhere.

    The session keeps the last line, for the web UI.
    """
    if sys.stderr.isatty():
        with Console(stderr=True).status("probing") as status:

            def show(line: str) -> None:
                session.progress = line
                status.update(line)

            yield show
        return
    last = [0.0]

    def say(line: str) -> None:
        session.progress = line
        if now() - last[0] >= _LINE_EVERY:
            last[0] = now()
            logger.info("probe: %s", line)

    yield say
