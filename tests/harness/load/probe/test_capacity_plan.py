"""The plan that measures a capacity for any limiter, against hidden services in virtual time."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from harness.load.probe.actions import ProbeOptions
from harness.load.probe.capacity_plan import CapacityPlan
from harness.load.probe.parts import known, known_for_a_while
from harness.quotas.any_limiter.decisions import Decisions
from harness.quotas.any_limiter.sustained import sustained_rate
from harness.quotas.cost import Goal, expected_cost
from tests.support.virtual.driver import Probed, probe
from tests.support.virtual.records import NO_QUOTA, arrivals, default_bucket
from tests.support.virtual.services import (
    Delaying,
    FixedWindow,
    Latency,
    Limiter,
    Service,
    Shards,
    Shared,
    SlidingLog,
    TokenBucket,
)
from tests.support.virtual.shared_limiters import (
    Adaptive,
    ByConnection,
    Contrary,
    FixedTier,
    Nodes,
    OnOff,
    Penalising,
    Tiers,
)


def measured(
    limiter: Limiter,
    *,
    chats: int = NO_QUOTA,
    goal: str = "tps",
    safe: bool = True,
    even: bool = False,
    **options: float,
) -> tuple[CapacityPlan, Probed]:
    """Run the whole plan against a limiter with round trips of 30 ms."""
    rng = random.Random(5)
    told = ProbeOptions(goal, max_rate=500.0, seed=1, **options)  # type: ignore[arg-type]
    plan = CapacityPlan(told, safe=safe, even=even)
    done = probe(Service(limiter, chats, Latency(0.03, 0.1, 0.5, rng)), told, plan=plan)
    return plan, done


def test_the_documented_bucket_is_proved_exact_within_three_minutes() -> None:
    """5/s with burst 8 gives every number and the class exact, in under three minutes."""
    plan, done = measured(default_bucket())
    found = plan.estimate
    assert found is not None
    assert found.kind == "exact"
    assert done.seconds < 180
    assert found.contrary is not None
    assert found.contrary.high < 0.003  # seen of that many decisions: fewer might hide one contrary in two hundred
    assert found.sustained is not None
    assert found.sustained.low <= 5 <= found.sustained.high
    assert found.sustained_mild is not None
    assert found.burst_from_rest is not None
    assert found.burst_from_rest.median == pytest.approx(8, abs=0.2)
    assert found.safe is not None
    assert found.safe.poisson is not None
    assert 3.6 <= found.safe.poisson.low <= 4.06  # M/D/1 with 8 places refuses 1 % at 4.05/s


def test_a_bucket_that_holds_one_call_is_exact_though_it_sustains_less_of_even_calls() -> None:
    """What falls behind its tokens is the even load's doing: 2.2/s with burst 1 admits 1.5 of 2.3 even calls a second."""
    plan, _ = measured(TokenBucket(2.217, 1.0))
    found = plan.estimate
    assert found is not None
    assert found.kind in ("exact", "exact_within_jitter")
    assert found.findings == ()
    assert found.sustained_mild is not None
    assert found.sustained_mild.high < 2.0


def test_a_mild_pressure_that_saw_one_turn_of_a_minutes_window_is_not_believed() -> None:
    """A window of a minute admits three times its rate until it is used up: neither interval leaves the rate out."""
    minute = Tiers([TokenBucket(9.0, 9.0), FixedTier(180)])
    plan, _ = measured(minute, safe=False, max_seconds=600.0)
    found = plan.estimate
    assert found is not None
    assert found.kind == "blocks"
    for rate in (found.sustained, found.sustained_mild):
        assert rate is not None
        assert rate.low <= 3.0 <= rate.high


def test_the_last_pressure_is_as_strong_as_the_first() -> None:
    """Both offer as much, however far off the first idea of the rate was, so that they differ only if the limiter moved."""
    plan, _ = measured(Adaptive(20.0, 8.0), safe=False)
    first = next(stage for stage in plan.stages if stage.kind == "pressure")
    assert [stage.offered for stage in plan.stages if stage.kind == "check"] == [first.offered]


def test_a_bucket_that_falls_silent_under_volleys_is_no_limiter_of_blocks() -> None:
    """Where refused calls cost tokens, the silences of a faster pace leave the rate under pressure as it was counted."""
    plan, done = measured(Penalising(TokenBucket(5.0, 8.0), 0.2), safe=False)
    found = plan.estimate
    assert found is not None
    assert found.kind == "depends_on_pressure"
    assert found.sustained is not None
    begin, end = found.sustained.begin, found.sustained.end
    started = sum(a.outcome == "started" and begin <= a.sent <= end for a in done.record)
    assert found.sustained.estimate == pytest.approx(started / (end - begin), rel=0.05)


def test_a_limiter_that_others_call_leaves_room_for_what_they_take_unseen() -> None:
    """Beside neighbours at random the rate is known within a few per cent, and down to four admissions fewer."""
    plan, _ = measured(Shared(TokenBucket(14.0, 16.0), 4.0, random.Random(2)), safe=False)
    found = plan.estimate
    assert found is not None
    assert found.kind == "shared"
    for rate in (found.sustained, found.sustained_mild):
        assert rate is not None
        assert rate.low <= rate.estimate * (1 - 3.99 / rate.admitted)
        assert rate.half_width < 0.07


def test_shards_have_numbers_but_are_not_exact() -> None:
    """Two shards behind a random balancer: sustained rate and burst hold, nothing is called exact."""
    plan, _ = measured(Shards([TokenBucket(2.5, 4), TokenBucket(2.5, 4)], random.Random(2)), safe=False)
    found = plan.estimate
    assert found is not None
    assert not found.exact_numbers_hold
    assert found.findings
    assert found.sustained is not None
    assert found.sustained.low <= 5 <= found.sustained.high


def test_the_last_pressure_meets_shards_that_no_connection_had_met() -> None:
    """Ten connections are all pinned to one of two shards; the new ones of the last pressure meet both: it is not exact."""
    shards = [TokenBucket(10.0, 16.0) for _ in range(2)]
    plan, _ = measured(ByConnection(shards, 10, random.Random(3), [0] * 10))
    assert plan.estimate is not None
    assert plan.estimate.kind == "not_stationary"


def test_every_volley_sends_as_many_at_once_as_the_largest_was_admitted() -> None:
    """Of nodes a volley that met a sync admits fewer: the next one sends no fewer at once, or all would stay small."""
    plan, done = measured(Nodes(15.0, 17.0, 4, 0.01, random.Random(3)), safe=False)
    begins = [stage.begin for stage in plan.stages if stage.kind == "volley"]
    at_once = [sum(abs(answer.sent - begin) < 1e-6 for answer in done.record) for begin in begins]
    assert len(begins) >= 5
    assert at_once == sorted(at_once)
    assert at_once[0] > 17


@pytest.mark.slow
def test_a_window_of_ten_seconds_ends() -> None:
    """A window of 50 calls in 10 s is measured within the time bound, and its rate is held."""
    plan, done = measured(FixedWindow(50, 10.0, 3.0), safe=False, max_seconds=900.0)
    assert done.why == "done"
    assert plan.estimate is not None
    assert plan.estimate.kind in ("blocks", "window")
    assert plan.estimate.sustained is not None
    assert plan.estimate.sustained.low <= 5 <= plan.estimate.sustained.high


@pytest.mark.slow
def test_what_is_claimed_of_a_window_follows_from_it() -> None:
    """100 calls in 10 seconds refuse 1 % at 9.1 random ones a second, in turns of ten seconds that a search hardly tells."""
    plan, _ = measured(FixedWindow(100, 10.0, 3.0))
    assert plan.estimate is not None
    assert plan.estimate.kind == "window"
    assert plan.estimate.safe is not None
    assert plan.estimate.safe.poisson is not None
    assert 8.7 < plan.estimate.safe.poisson.low < 9.1


@pytest.mark.slow
def test_a_safe_rate_is_claimed_of_two_tiers() -> None:
    """The batches meet whole minutes, not the end of one that the pressure before has spent."""
    plan, done = measured(Tiers([TokenBucket(30.0, 30.0), FixedTier(600)]), max_seconds=900.0)
    assert done.why == "done"
    assert plan.estimate is not None
    assert plan.estimate.kind == "blocks"
    assert plan.estimate.safe is not None
    assert plan.estimate.safe.poisson is not None
    assert 7.5 < plan.estimate.safe.poisson.low < 9.6


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
    assert plan.estimate is not None
    assert plan.estimate.safe is not None
    assert plan.estimate.safe.poisson is not None
    # Of starts in turn 1 % is refused at 7.05/s, of starts that come to one or the other at random at 5.75/s.
    assert 4.0 < plan.estimate.safe.poisson.low < 5.8


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
@pytest.mark.parametrize(
    ("rate", "burst", "trip", "up", "seed"), [(212.0, 329, 0.058, 0.5, 2), (482.0, 554, 0.054, 1.0, 153)]
)
def test_a_bucket_whose_tokens_come_closer_than_the_jitter_is_found(
    rate: float, burst: int, trip: float, up: float, seed: int
) -> None:
    """Of tens of thousands of calls, and a token or two within a jitter, the burst is exact; these were not explained."""
    options = ProbeOptions("both", max_rate=2000.0, seed=seed)
    service = Service(TokenBucket(rate, float(burst)), 250, Latency(trip, 0.1, up, random.Random(seed + 1)))
    tps = probe(service, options, plan=CapacityPlan(options)).known.tps
    assert tps is not None
    assert tps.verdict == "explained"
    assert tps.rate.estimate == pytest.approx(rate, rel=0.0005)
    assert (tps.burst.estimate, tps.burst.exact) == (burst, True)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_parts_that_explain_a_record_as_well_are_not_ruled_out(parts: int) -> None:
    """Where the network hides no order, two parts in turn look like one bucket whose jitter is larger: each part alone
    explains its calls, so they are not called exact, and the burst is held though the volleys seem to be one call smaller.
    """
    limiters: list[Limiter] = [TokenBucket(84.19834337457424 / parts, 54 / parts) for _ in range(parts)]
    options = ProbeOptions("tps", max_rate=2000.0, seed=2, max_seconds=900.0)
    rng = random.Random(4)
    trip, up = rng.uniform(0.005, 0.06), rng.choice([0.0, 0.5, 1.0])
    assert up == 0.0
    service = Service(Shards(limiters, random.Random(3), in_turn=True), NO_QUOTA, Latency(trip, 0.1, up, rng))
    plan = CapacityPlan(options, safe=True)
    tps = probe(service, options, plan=plan).known.tps
    assert plan.estimate is not None
    assert (plan.estimate.kind == "exact") == (parts == 1)
    assert tps is not None
    assert tps.burst.high is not None
    assert (tps.burst.low or 0) <= 54 <= tps.burst.high


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


def test_a_service_that_never_throttles_is_not_met() -> None:
    """Without a throttle the plan ends by itself and says so."""
    plan, done = measured(TokenBucket(1e6, 1e6), max_chats=3000)
    assert plan.estimate is not None
    assert plan.estimate.kind == "not_met"
    assert done.started <= 3000


@pytest.mark.slow
def test_the_cost_is_told_beforehand_and_goes_down() -> None:
    """The expected cost of the documented limit is near what it takes, and nothing but the check is left at the end."""
    told = expected_cost(5.0, 8.0, exact=True)
    assert told.seconds < expected_cost(5.0, 8.0).seconds - 200  # of any other limiter
    plan, done = measured(default_bucket())
    assert done.seconds / told.seconds == pytest.approx(1.0, abs=0.5)
    assert plan.outlook().seconds < 0.2 * told.seconds
    assert "minutes" in told.sentence()


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "width"), [(5, 1.0), (50, 10.0), (20, 1.0)])
def test_a_limiter_that_counts_refused_calls_is_found_by_offering_less(limit: int, width: float) -> None:
    """Under pressure it admits nothing; what it admits of fewer calls, and a safe rate, are told all the same."""
    limiter = SlidingLog(limit, width, counts_refused=True)
    plan, done = measured(limiter, chats=300, goal="safe", max_seconds=900.0)
    found = plan.estimate
    assert found is not None
    assert found.kind == "depends_on_pressure"
    assert found.sustained_mild is not None
    assert 0.6 * limit / width <= found.sustained_mild.estimate <= limit / width
    assert found.safe is not None
    assert found.safe.poisson is not None
    rng, now, calls = random.Random(3), 1e6, 20_000
    refused = 0
    for _ in range(calls):
        now += rng.expovariate(found.safe.poisson.low)
        refused += not limiter.admit(now)
    assert refused <= 0.01 * calls
    assert done.known.active_chats is not None
    assert done.known.active_chats.chats.estimate == 300


@pytest.mark.slow
def test_a_limiter_that_lets_ninety_calls_wait_is_found() -> None:
    """Calls that wait nine seconds for their turn come with the rate, the burst and a safe rate, and nothing has moved."""
    plan, done = measured(Delaying(10.0, 90.0), goal="safe", chats=300, max_seconds=900.0)
    found, exact = plan.estimate, done.known.tps
    assert exact is not None
    assert exact.verdict == "explained"
    assert exact.rate.estimate == pytest.approx(10, rel=0.005)
    assert (exact.burst.low or 0) <= 91 <= (exact.burst.high or 91)
    assert found is not None
    assert found.kind == "exact_within_jitter"
    assert found.safe is not None
    assert found.safe.poisson is not None
    assert 8 <= found.safe.poisson.low <= 9.5


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("burst", "quota", "trip", "up"), [(3, 50, 0.0062, 0.0), (4, 100, 0.0323, 1.0), (3, 500, 0.0212, 1.0)]
)
def test_a_small_slow_bucket_is_explained_where_there_is_hardly_any_jitter(
    burst: int, quota: int, trip: float, up: float
) -> None:
    """Of a minute's record the rate is so sharp that a search in steps passes over it."""
    options = ProbeOptions("both", max_rate=2000.0, seed=149)
    service = Service(TokenBucket(3.0, float(burst)), quota, Latency(trip, 0.1, up, random.Random(150)))
    done = probe(service, options, plan=CapacityPlan(options))
    tps = done.known.tps
    assert tps is not None
    assert tps.verdict == "explained"
    assert tps.rate.estimate == pytest.approx(3.0, rel=0.002)
    assert tps.burst.estimate == burst


def admitted_in_loads(make: Callable[[], Limiter], offered: float) -> float:
    """Return what is admitted a second of `offered`, in the middle of 40 loads that each begin at rest."""
    rng, rates = random.Random(3), []
    for _ in range(40):
        limiter, now, begin, admitted = make(), rng.uniform(0, 10), 0.0, 0
        for call in range(round(40 * offered)):
            now += rng.uniform(0.5, 1.5) / offered
            if call == round(10 * offered):
                begin, admitted = now, 0
            admitted += limiter.admit(now)
        rates.append(admitted / (now - begin))
    return sum(rates) / len(rates)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "burst"), [(20.0, 30.0), (10.0, 8.0), (19.0, 39.0)])
def test_what_even_neighbours_leave_is_told_of_several_loads(rate: float, burst: float) -> None:
    """Others' even calls keep their place between the tokens for a whole load: the intervals hold the mean of many loads,
    and are no wider than a sixth.
    """

    def make() -> Limiter:
        return Shared(TokenBucket(1.4 * rate, burst), 0.4 * rate, random.Random(1), even=True)

    plan, _ = measured(make(), safe=False)
    assert sum(stage.kind == "again" for stage in plan.stages) >= 8
    assert plan.estimate is not None
    for found in (plan.estimate.sustained, plan.estimate.sustained_mild):
        assert found is not None
        assert found.low <= admitted_in_loads(make, found.pressure * found.estimate) <= found.high
        assert found.half_width < 1 / 6


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
