"""The probe of the participant's operations against hidden limiters, in virtual time."""

import heapq
import math
import random
from dataclasses import dataclass, field

import pytest

from harness.load.probe.actions import Pause
from harness.load.probe.journey_findings import binds_first
from harness.load.probe.journey_moves import Call, Chats
from harness.load.probe.journey_plan import OPERATIONS, JourneyPlan
from harness.vocabulary import (
    ACCESS_DENIED,
    CREATE_CONNECTION,
    DISCONNECT,
    GET_TRANSCRIPT,
    OK,
    SEND_EVENT,
    SEND_MESSAGE,
    TPS_THROTTLED,
)

LIMITS = {
    SEND_MESSAGE: (10.0, 15),
    SEND_EVENT: (7.0, 9),
    GET_TRANSCRIPT: (8.0, 12),
    CREATE_CONNECTION: (6.0, 9),
    DISCONNECT: (3.0, 5),
}


@dataclass
class Service:
    """Token buckets by operation, or by operation and chat, or one for messages and events; answers take 4 to 8 ms.

    With `denied_first` a call for a chat that has ended is refused before it meets a bucket.
    """

    limits: dict[str, tuple[float, int]]
    shared: bool = False
    by_chat: bool = False
    denied_first: bool = False
    seed: int = 1
    ended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._buckets: dict[object, tuple[float, float]] = {}

    def answer(self, operation: str, chat: int, at: float) -> str:
        """The outcome of a call that is decided at `at`."""
        if self.denied_first and chat in self.ended:
            return ACCESS_DENIED
        name = SEND_MESSAGE if self.shared and operation == SEND_EVENT else operation
        rate, burst = self.limits[name]
        key = (name, chat) if self.by_chat else name
        tokens, since = self._buckets.get(key, (float(burst), at))
        tokens = min(burst, tokens + rate * (at - since))
        admitted = tokens >= 1
        self._buckets[key] = (tokens - admitted, at)
        if not admitted:
            return TPS_THROTTLED
        if chat in self.ended:
            return ACCESS_DENIED
        if operation == DISCONNECT:
            self.ended.add(chat)
        return OK

    def way(self) -> float:
        """Seconds of one way."""
        return self._rng.uniform(0.002, 0.004)


@dataclass
class Hiccup(Service):
    """The same, where some calls of SendEvent early on are decided the other way, as a stall of either machine does."""

    asked: int = 0

    def answer(self, operation: str, chat: int, at: float) -> str:
        """The outcome of a call that is decided at `at`."""
        outcome = super().answer(operation, chat, at)
        if operation == SEND_EVENT and chat not in self.ended:
            self.asked += 1
            if 40 <= self.asked <= 45:
                return OK if outcome == TPS_THROTTLED else TPS_THROTTLED
        return outcome


def probe(service: Service, plan: JourneyPlan, chats: int = 99) -> tuple[float, int, int]:
    """Let `plan` find the limits; returns seconds, calls, and how many chats it had."""
    now, calls, had = 1000.0, 0, 0
    # Of each call first its decision, then its answer: calls that overtake each other are decided as they arrive.
    events: list[tuple[float, int, str, int, float, str]] = []
    for _ in range(1_000_000):
        step = plan.act(now)
        if isinstance(step, Call):
            calls += 1
            heapq.heappush(events, (now + service.way(), calls, step.operation, step.chat, now, ""))
        elif isinstance(step, Pause):
            now = min(step.until, events[0][0]) if events else step.until
            while events and events[0][0] <= now:
                at, number, operation, chat, sent, outcome = heapq.heappop(events)
                if not outcome:
                    outcome = service.answer(operation, chat, at)
                    heapq.heappush(events, (at + service.way(), number, operation, chat, sent, outcome))
                    continue
                if operation == DISCONNECT and outcome == OK:
                    plan.gone.add(chat)
                plan.answered(operation, sent, at, outcome)
        elif isinstance(step, Chats):
            had = min(step.count, chats)
            now += 0.5 * had
            plan.ready(had)
        else:
            return now - 1000.0, calls, had
    raise AssertionError("the probe has no end")


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "by_chat"), [(False, False), (True, False), (False, True)])
def test_limits_and_what_shares_them_are_found(shared: bool, by_chat: bool) -> None:
    """Rate and burst of each operation, one bucket or two for messages and events, and whether a second chat brings more."""
    service = Service(LIMITS, shared=shared, by_chat=by_chat)
    plan = JourneyPlan()
    seconds, calls, chats = probe(service, plan)
    assert (seconds < 240, calls < 4_000, chats) == (True, True, 2)
    for operation in OPERATIONS:
        estimate = plan.found.estimates[operation]
        rate, burst = LIMITS[SEND_MESSAGE if shared and operation == SEND_EVENT else operation]
        assert estimate.verdict == "explained", operation
        assert estimate.rate.estimate == pytest.approx(rate, rel=0.02)
        assert (estimate.burst.low or 0) <= burst <= (estimate.burst.high or 0)
    assert plan.found.messages_and_events.one_bucket == ("yes" if shared else "no")
    told = {one.one_bucket for one in plan.found.second_chat_brings_more.values()}
    assert told == {"no" if by_chat else "yes"}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(12))
def test_limits_drawn_at_random_are_found_each_time(seed: int) -> None:
    """Rates of 2 to 40 a second, bursts of 0.6 to 2.5 s, one bucket for messages and events or two, and what binds first."""
    draw = random.Random(f"journey {seed}")
    limits = {}
    for operation in OPERATIONS:
        rate = math.exp(draw.uniform(math.log(2), math.log(40)))
        rate = float(round(rate)) if draw.random() < 0.5 else rate
        limits[operation] = rate, max(1, round(rate * draw.uniform(0.6, 2.5)))
    shared = draw.random() < 0.5
    plan = JourneyPlan()
    _, _, chats = probe(Service(limits, shared=shared, seed=seed), plan)
    assert chats == 2
    for operation in OPERATIONS:
        estimate = plan.found.estimates[operation]
        rate, burst = limits[SEND_MESSAGE if shared and operation == SEND_EVENT else operation]
        assert estimate.verdict == "explained", operation
        assert estimate.rate.estimate == pytest.approx(rate, rel=0.02), operation
        assert (estimate.burst.low or 0) <= burst <= (estimate.burst.high or math.inf), operation
    assert plan.found.messages_and_events.one_bucket == ("yes" if shared else "no")
    assert {one.one_bucket for one in plan.found.second_chat_brings_more.values()} == {"yes"}
    cost = {name: float(draw.randint(1, 5)) for name in OPERATIONS}
    _binds_first_as_it_should(plan, limits, cost, shared)


def _binds_first_as_it_should(
    plan: JourneyPlan, limits: dict[str, tuple[float, int]], cost: dict[str, float], shared: bool
) -> None:
    """The operation that allows the fewest chats a second is named, unless another is within the measurement's error."""
    allowed = {name: limits[name][0] / calls for name, calls in cost.items()}
    if shared:
        both = limits[SEND_MESSAGE][0] / (cost[SEND_MESSAGE] + cost[SEND_EVENT])
        allowed |= {SEND_MESSAGE: both, SEND_EVENT: both}
    first = binds_first(plan.found, cost)
    assert first is not None
    assert allowed[first[0]] <= 1.02 * min(allowed.values())
    assert first[1] == pytest.approx(min(allowed.values()), rel=0.03)


@pytest.mark.slow
def test_a_hiccup_does_not_leave_an_operation_unknown() -> None:
    """What was decided the other way early on spoils its record; the limit is found from what came afterwards."""
    plan = JourneyPlan()
    probe(Hiccup(LIMITS), plan)
    estimate = plan.found.estimates[SEND_EVENT]
    assert estimate.verdict == "explained"
    assert estimate.rate.estimate == pytest.approx(LIMITS[SEND_EVENT][0], rel=0.02)


@pytest.mark.slow
def test_chats_are_left_where_calls_for_ended_ones_are_not_counted() -> None:
    """DisconnectParticipant then takes about its burst and a dozen chats, and is found all the same."""
    plan = JourneyPlan()
    _, _, chats = probe(Service(LIMITS, denied_first=True), plan)
    assert chats <= 20
    assert plan.found.disconnects_by_chats
    estimate = plan.found.estimates[DISCONNECT]
    assert (estimate.rate.low or 0) <= 3.0 <= (estimate.rate.high or 0)
    assert estimate.rate.estimate == pytest.approx(3.0, rel=0.1)


def test_a_limit_that_is_not_met_is_no_number() -> None:
    """Without a throttle there is no rate, nothing is said of sharing, and the ceiling of calls a second is kept."""
    plan = JourneyPlan(max_rate=40.0)
    probe(Service(dict.fromkeys(OPERATIONS, (1000000.0, 10**6))), plan)
    assert all(estimate.verdict == "lower_bound" for estimate in plan.found.estimates.values())
    assert plan.found.messages_and_events.one_bucket == "not asked"
    for record in plan.records.values():
        sent = sorted(record.sent)
        assert all(later - earlier > 0.99 for earlier, later in zip(sent, sent[40:], strict=False))


@pytest.mark.slow
def test_the_probe_ends_in_its_time() -> None:
    """After its time it says what it knows, and calls nothing more."""
    plan = JourneyPlan(max_seconds=20.0)
    seconds, _, _ = probe(Service(LIMITS), plan)
    assert seconds < 30
    assert SEND_MESSAGE in plan.found.estimates


def test_without_a_chat_nothing_is_called() -> None:
    """Where no chat can be had, the probe ends."""
    plan = JourneyPlan()
    _, calls, _ = probe(Service(LIMITS), plan, chats=0)
    assert calls == 0
