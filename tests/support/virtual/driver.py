"""Runs the quota probe, and what people do otherwise, against a hidden service in virtual time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

from harness.load.probe.actions import Reconnect
from harness.load.probe.plan import Known, Pause, ProbeOptions, ProbePlan, Send, StopChats, Think
from tests.support.virtual.services import Answer, Clockwork, Service


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found and what it cost: chats started, calls sent, virtual seconds."""

    known: Known
    started: int
    calls: int
    seconds: float
    why: str
    record: list[Answer]
    ends: list[float]
    left_open: int


def probe(
    service: Service, options: ProbeOptions, most_actions: int = 5_000_000, plan: ProbePlan | None = None
) -> Probed:
    """Let `plan` (by default a `ProbePlan` with `options`) find the limits of `service`, then stop its chats."""
    clock, plan = Clockwork(service), plan or ProbePlan(options)
    open_chats: list[int] = []
    gone: list[int] = []
    why = "most_actions"

    def answered(number: int, answer: Answer) -> None:
        if answer.outcome == "started":
            open_chats.append(answer.chat)
        plan.answered(number, answer.sent, answer.received, answer.outcome)

    def stopped(_chat: int) -> None:
        plan.found_gone(len(gone))
        plan.ended(clock.now)

    for _ in range(most_actions):
        action = plan.act(clock.now)
        if isinstance(action, Send):
            clock.send(partial(answered, action.number))
        elif isinstance(action, Pause):
            clock.run_until(action.until)
        elif isinstance(action, StopChats):
            for _ in range(min(action.count, len(open_chats))):
                clock.stop(open_chats.pop(0), stopped, gone.append)
        elif isinstance(action, Reconnect):
            service.reconnect()
        elif isinstance(action, Think):
            deque(action.steps, maxlen=0)
        else:
            why = action.why
            break
    seconds = clock.now
    clock.run_out()
    for chat in open_chats:
        clock.stop(chat, lambda _chat: None)
    clock.run_out()
    return Probed(
        plan.known, plan.known.started, clock.sends, seconds, why, clock.record, clock.ends, len(service.chats)
    )


def ramp(service: Service, most: int = 100_000) -> tuple[float, int]:
    """Today's habit: raise the load (1/s at first, 10 % more each second) until the first 429; that load is the answer.

    Returns the answer and the chats that it cost.
    """
    clock = Clockwork(service)
    refused: list[float] = []

    def answered(answer: Answer) -> None:
        if answer.outcome == "tps_throttled":
            refused.append(clock.now)

    load = 1.0
    while not refused and clock.sends < most:
        load = 1.1**clock.now
        clock.send(answered)
        due = clock.now + 1 / load
        while clock.run_until(due) and not refused:
            pass
    return load, service.counted


def saturate(service: Service, load: float, seconds: float = 30.0) -> tuple[float, int]:
    """The careful habit: offer `load` for some seconds and divide what was admitted by the time.

    Returns the answer and the chats that it cost.
    """
    clock = Clockwork(service)
    for number in range(int(load * seconds)):
        clock.at(number / load, lambda: clock.send(lambda _answer: None))
    clock.run_out()
    return service.counted / seconds, service.counted
