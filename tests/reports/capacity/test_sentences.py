"""The headline's sentences."""

from harness.quotas.any_limiter.estimates import LimiterClass
from reports.capacity.model import ActiveChats, BurstFromRest, Interval, Safe, SafeRate, Sustained, Tps
from reports.capacity.sentences import any_limiter, crossover_sentence, numbers_to_use
from tests.reports.answers import an_answer


def told(kind: LimiterClass, strong: tuple[float, float, float], mild: tuple[float, float, float]) -> str:
    """What is said of a limiter that no exact one explains, with these rates under strong and mild pressure."""
    unknown = Interval(None, None, None)
    under = Tps(unknown, unknown, "unknown", "not_explained", {}, kind, Sustained(*strong), Sustained(*mild))
    return str(any_limiter(under))


def test_a_limiter_that_starts_more_when_fewer_are_asked_of_it_is_said_to() -> None:
    """Both rates are told where they are far apart, the one under pressure alone where they are not."""
    far = told("depends_on_pressure", (0.1, 0, 0.3), (3.6, 2.5, 4.6))
    assert "under pressure (0.0 to 0.3) and 4 (2 to 5) a second when fewer are asked of it" in far
    assert "fewer" not in told("approximate", (5.0, 4.8, 5.2), (5.1, 4.8, 5.4))


def test_where_the_limits_meet_is_told_of_the_sustained_rate_where_no_exact_one_is_known() -> None:
    """It said "not known starts a second" of a limiter that no exact one explains."""
    unknown = Interval(None, None, None)
    tps = Tps(unknown, unknown, "unknown", "not_explained", {}, "approximate", Sustained(150.0, 149.0, 151.0))
    chats = ActiveChats(estimate=400.0, low=400.0, high=400.0, verdict="explained")
    told = crossover_sentence(an_answer(tps=tps, active_chats=chats, crossover_s=Interval(2.67, 2.65, 2.69)))
    assert told is not None
    assert "With chats of 2.67 s on average, 150 starts a second keep 400 chats open." in told
    assert told.endswith("at 150 starts a second.")


def test_the_numbers_to_use_are_those_that_hold_and_were_measured() -> None:
    """Nobody is sent to a burst that the run did not measure, nor to estimates of which bounds alone hold."""

    def use(kind: LimiterClass, safe: Safe | None = None, burst: BurstFromRest | None = None) -> str:
        none = Interval(None, None, None)
        found = Tps(
            none, none, "unknown", "not_explained", {}, kind, Sustained(5, 4, 6), safe=safe, burst_from_rest=burst
        )
        return numbers_to_use(found)

    safe, burst = Safe(SafeRate(0.01, 4.0, 3.0)), BurstFromRest(8, 8, 8)
    assert use("approximate") == "the sustained rate"
    assert use("approximate", None, burst) == "the sustained rate and the burst from rest"
    assert use("nearly_bucket", safe, burst) == "the sustained rate, the burst from rest and the safe rate"
    assert use("depends_on_pressure", safe, burst) == "the safe rate, and retry less"
    assert use("blocks", safe, burst) == "the lower bounds alone"
    assert use("not_stationary", safe, burst) == "the lower bounds alone, and measure again"
