"""How the plan for any limiter goes about it: its parts, its bounds and what it costs, in virtual time."""

import random
from dataclasses import dataclass

import pytest

from harness.load.probe.actions import Action, ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.load.probe.parts import known, known_for_a_while
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.sustained import sustained_rate
from harness.quotas.cost import Goal, effort, expected_cost
from tests.support.virtual.capacity import claimed, measured
from tests.support.virtual.driver import probe
from tests.support.virtual.records import NO_QUOTA, arrivals, default_bucket
from tests.support.virtual.services import (
    Latency,
    Limiter,
    Service,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import (
    Adaptive,
    Contrary,
    FixedTier,
    Nodes,
    OnOff,
    Tiers,
)


def test_the_last_pressure_is_as_strong_as_the_first() -> None:
    """Both offer as much, however far off the first idea of the rate was, so that they differ only if the limiter moved."""
    plan, _ = measured(Adaptive(20.0, 8.0), safe=False)
    first = next(stage for stage in plan.stages if stage.kind == "pressure")
    assert [stage.offered for stage in plan.stages if stage.kind == "check"] == [first.offered]


def test_every_volley_sends_as_many_at_once_as_the_largest_was_admitted() -> None:
    """Of nodes a volley that met a sync admits fewer: the next one sends no fewer at once, or all would stay small."""
    plan, done = measured(Nodes(15.0, 17.0, 4, 0.01, random.Random(3)), safe=False)
    begins = [stage.begin for stage in plan.stages if stage.kind == "volley"]
    at_once = [sum(abs(answer.sent - begin) < 1e-6 for answer in done.record) for begin in begins]
    assert len(begins) >= 5
    assert at_once == sorted(at_once)
    assert at_once[0] > 17


@pytest.mark.slow
def test_a_quota_that_is_not_met_leaves_time_for_the_other_numbers() -> None:
    """Filling ends while there is time for the sustained rate, the burst from rest and the safe rates."""
    plan, done = measured(default_bucket(), goal="safe", even=True, max_seconds=420.0)
    assert done.why == "done"
    assert done.known.full_refusals == 0
    found = plan.estimate
    assert found is not None
    assert found.sustained is not None
    assert found.burst_from_rest is not None
    assert found.safe is not None
    assert found.safe.poisson is not None
    assert found.safe.even is not None


def test_the_time_bound_is_hard_and_the_answer_is_what_is_known_by_then() -> None:
    """After 30 s nothing more is sent, and the sustained rate is told all the same."""
    plan, done = measured(default_bucket(), max_seconds=30.0)
    assert done.why == "max_seconds"
    assert max(answer.sent for answer in done.record) < 31
    assert plan.estimate is not None
    assert plan.estimate.sustained is not None
    assert plan.estimate.safe is None


def test_at_the_brim_of_the_chat_quota_admissions_cost_no_chat() -> None:
    """With both limits wanted, the instance is filled first; what follows starts hardly any chat."""
    plan, done = measured(default_bucket(), chats=100, goal="both", safe=False)
    assert done.started <= 102
    assert plan.estimate is not None
    assert plan.estimate.sustained is not None
    assert done.known.active_chats is not None
    assert done.known.active_chats.chats.estimate == 100


@pytest.mark.parametrize("nodes", [3, 4])
def test_a_fill_that_hardly_presses_is_made_at_a_better_pace(nodes: int) -> None:
    """Nodes that agree late owe what they have just admitted, so the first look finds too low a rate: a fill at a little
    more than that was hardly refused anything, and was taken for what they sustain.
    """
    plan, _ = measured(Nodes(7.0, 10.0, nodes, 0.1, random.Random(3)), chats=300, goal="both", safe=False)
    assert plan.estimate is not None
    strong, mild = plan.estimate.sustained, plan.estimate.sustained_mild
    assert strong is not None
    assert mild is not None
    assert strong.pressure == pytest.approx(3.0, rel=0.15)
    assert 1.1 < mild.pressure < 1.5
    assert strong.low <= 7 <= strong.high
    assert mild.low <= 7 <= mild.high


def test_chats_end_while_the_safe_rate_is_looked_for() -> None:
    """A balancer that deals out each request in turn keeps starts alone in step with its nodes; stops among them, as a load
    run makes them, break that up.
    """

    class Dealt(Service):
        """Two limiters, of which each request, a stop too, meets the next."""

        turn = 0

        def start(self, now: float) -> tuple[str, int]:
            self.turn += 1
            self.limiter = nodes[self.turn % 2]
            return super().start(now)

        def stop(self, chat: int, now: float) -> bool:
            self.turn += 1
            return super().stop(chat, now)

    nodes = TokenBucket(4, 6), TokenBucket(4, 6)
    told = ProbeOptions("safe", max_rate=500.0, seed=1, max_seconds=700.0)
    plan = CapacityPlan(told, even=False)
    probe(Dealt(nodes[0], NO_QUOTA, Latency(0.03, 0.1, 0.5, random.Random(5))), told, plan=plan)
    # Of starts in turn 1 % is refused at 7.05/s, of starts that come to one or the other at random at 5.75/s.
    assert 4.0 < claimed(plan) < 5.8


@pytest.mark.slow
def test_pressure_on_a_fast_limiter_ends_as_soon_as_its_rate_is_known() -> None:
    """Where calls come closer than a hundredth of a second, answers are told to the calls that they belong to.

    They were taken for those of later calls, so that a first call seemed to wait for ever, and each pressure took a minute.
    """
    plan, done = measured(TokenBucket(150.0, 120.0), safe=False)
    pressed = [stage.end - stage.begin for stage in plan.stages if stage.kind == "pressure"]
    assert len(pressed) == 2
    assert max(pressed) < 22  # mild pressure lasts 18 s at the least
    assert done.known.tps is not None
    assert done.known.tps.burst.estimate == 120
    assert done.known.tps.burst.exact


@pytest.mark.slow
def test_more_volleys_settle_a_burst_whose_tokens_come_closer_than_the_jitter() -> None:
    """With a token in a jitter the usual five volleys leave two whole numbers; more of them are made."""
    options = ProbeOptions("both", max_rate=2000.0, seed=1)
    service = Service(TokenBucket(444.0, 1027.0), 250, Latency(0.052, 0.1, 0.5, random.Random(2)))
    plan = CapacityPlan(options)
    done = probe(service, options, plan=plan)
    assert sum(stage.kind == "volley" for stage in plan.stages) > 7
    assert done.known.tps is not None
    assert done.known.tps.burst.estimate == 1027
    assert done.known.tps.burst.exact


@dataclass
class OpenOnce:
    """A limiter that lets all calls pass for a while, as one seems to whose client is held up in the middle of a volley."""

    limiter: Limiter
    begin: float
    end: float

    def admit(self, now: float) -> bool:
        """Admit the call, or ask the limiter."""
        return self.begin <= now < self.end or self.limiter.admit(now)


def test_a_volley_that_tells_nothing_is_made_again() -> None:
    """One that met no refusal does not end the volleys: five still tell the burst."""
    undisturbed, _ = measured(default_bucket(), safe=False)
    second = [stage for stage in undisturbed.stages if stage.kind == "volley"][1]
    plan, _ = measured(OpenOnce(default_bucket(), second.begin - 0.1, second.begin + 4), safe=False)
    assert plan.estimate is not None
    assert plan.estimate.burst_from_rest is not None
    assert plan.estimate.burst_from_rest.volleys >= 5
    assert plan.estimate.burst_from_rest.median == pytest.approx(8, abs=0.5)


@pytest.mark.slow
def test_the_cost_is_told_beforehand_and_goes_down() -> None:
    """The expected cost of the documented limit is near what it takes, and nothing but the check is left at the end."""
    told = expected_cost(5.0, 8.0, exact=True)
    assert told.seconds < expected_cost(5.0, 8.0).seconds - 200  # of any other limiter
    plan, done = measured(default_bucket())
    assert done.seconds / told.seconds == pytest.approx(1.0, abs=0.5)
    assert plan.outlook().seconds < 0.2 * told.seconds
    assert "minutes" in told.sentence()


@pytest.mark.parametrize(("goal", "safe"), [("tps", False), ("both", False), ("safe", True)])
def test_what_an_exact_limiter_takes_is_told_for_the_same_goal(goal: Goal, safe: bool) -> None:
    """The shorter time beside the longer one is that of the same parts."""
    less, more = (expected_cost(safe=safe, even=safe, exact=exact).seconds / 60 for exact in (True, False))
    assert less < more
    assert f"about {more:.1f} minutes" in effort(goal)
    assert f"({less:.1f} minutes if it is exact)" in effort(goal)


@pytest.mark.slow
@pytest.mark.parametrize("quota_costs_token", [True, False])
def test_a_quota_below_what_the_bucket_brings_costs_few_chats(quota_costs_token: bool) -> None:
    """A quota that fills in the first seconds is found with the rate, whether or not its refusals cost a token."""
    options = ProbeOptions("both", max_rate=500.0, seed=1, max_seconds=900.0)
    latency = Latency(0.03, 0.1, 0.5, random.Random(5))
    service = Service(TokenBucket(20.0, 30.0), 40, latency, quota_costs_token=quota_costs_token)
    done = probe(service, options, plan=CapacityPlan(options))
    tps, chats = done.known.tps, done.known.active_chats
    assert tps is not None
    assert tps.rate.estimate == pytest.approx(20, rel=0.005)
    assert chats is not None
    assert chats.chats.estimate == 40
    assert chats.chats.exact
    assert done.started < (60 if quota_costs_token else 1200)


def test_an_exact_bucket_is_not_pressed_again() -> None:
    """Loads of a limiter that is one bucket so far do not differ, and cost nothing more."""
    plan, done = measured(default_bucket(), safe=False)
    assert {stage.kind for stage in plan.stages} == {"pressure", "volley", "check"}
    assert done.seconds < 90


@pytest.mark.slow
def test_what_the_short_loads_cost_is_told() -> None:
    """While volleys of a limiter that others use are to come, the outlook holds the pressure after each of them."""
    plan, _ = measured(OnOff(TokenBucket(13, 8), 6.0, 3.0, random.Random(1)), safe=False)
    plan.doing_part = "volleys"
    before = plan._cost_from("check", 10.0)
    pressed = [stage for stage in plan.stages if stage.kind == "again"]
    told = plan._cost_from("volleys", 10.0)
    assert told.seconds - before.seconds > 0.8 * sum(stage.end - stage.begin for stage in pressed)


@pytest.mark.slow
def test_pressing_for_whole_turns_is_told() -> None:
    """While a limit of 600 a minute is pressed for longer than a minute, the outlook holds what that takes at the most."""
    told = []

    class Watched(CapacityPlan):
        def act(self, now: float) -> Action:
            action = super().act(now)
            if "two whole turns" in self.known.doing:
                told.append((now, self.outlook().seconds))
            return action

    options = ProbeOptions("tps", max_rate=500.0, seed=1, max_seconds=900.0)
    limiter = Tiers([TokenBucket(30.0, 30.0), FixedTier(600)])
    probe(
        Service(limiter, NO_QUOTA, Latency(0.03, 0.1, 0.5, random.Random(5))),
        options,
        plan=Watched(options, safe=False),
    )
    (first, outlook), (last, _) = told[0], told[-1]
    assert last - first > 60.0
    assert outlook > 130.0


def test_a_pressure_does_not_end_at_a_moment_of_luck() -> None:
    """Where few contrary decisions were met yet, an interval is close by chance at times: it has to be close for a while."""
    close = []
    for seed in range(60):
        limiter = Contrary(TokenBucket(20, 8), 0.02, random.Random(seed))
        decisions = Decisions.of(arrivals(limiter, 60, 16, seed=seed, even=True))
        found = sustained_rate(decisions, emptied=True)
        assert found is not None
        if known(found):
            close.append(decisions)
    assert not all(known_for_a_while(decisions, 16) for decisions in close)
    assert known_for_a_while(Decisions.of(arrivals(TokenBucket(20, 8), 60, 16, even=True)), 16)


@pytest.mark.parametrize("goal", ["tps", "both", "safe"])
def test_a_probe_tells_what_is_to_come_before_it_knows_a_rate(goal: Goal) -> None:
    """Its first line of progress needs nothing measured."""
    plan = CapacityPlan(ProbeOptions(goal, max_rate=500.0, seed=1))
    plan.act(0.0)
    assert "to come: " in plan.line()
