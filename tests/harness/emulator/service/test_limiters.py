"""Limiters in virtual time, each against what its name promises."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.emulator.service.limiters import Contended, FixedWindow, Limiter, SlidingWindow, TokenBucket
from harness.emulator.service.throttles import Throttles
from harness.emulator.settings.parse import parse_settings

GAPS = st.lists(st.floats(0, 3, allow_nan=False), max_size=200)


def arrivals(gaps: list[float]) -> list[float]:
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    return times


@hypothesis_settings(deadline=None)
@given(gaps=GAPS, rate=st.floats(0.5, 50), burst=st.integers(1, 20))
def test_bucket_admits_never_more_than_burst_and_refill(gaps: list[float], rate: float, burst: int) -> None:
    """In every interval the bucket admits at most burst + rate x length calls."""
    bucket = TokenBucket(rate, burst)
    admitted = [at for at in arrivals(gaps) if bucket.admit(at)]
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - admitted[first]) + 1e-4


@hypothesis_settings(deadline=None)
@given(gaps=GAPS, rate=st.floats(0.5, 50), burst=st.integers(1, 20))
def test_bucket_refuses_only_when_it_is_empty(gaps: list[float], rate: float, burst: int) -> None:
    """A refused call finds less than one token, by an account kept apart."""
    bucket = TokenBucket(rate, burst)
    tokens, last = float(burst), 0.0
    for at in arrivals(gaps):
        tokens, last = min(burst, tokens + rate * (at - last)), at
        if bucket.admit(at):
            tokens -= 1
        else:
            assert tokens < 1
        assert tokens > -1e-3


@pytest.mark.parametrize(("rate", "burst"), [(5, 8), (5, 1), (7, 1), (0.3, 1), (1000, 1)])
def test_bucket_admits_every_call_at_its_rate(rate: float, burst: float) -> None:
    """Calls spaced exactly 1/rate are all admitted, for a day, in spite of rounding."""
    bucket = TokenBucket(rate, burst)
    assert all(bucket.admit(86_400 + k / rate) for k in range(5000))


def test_bucket_with_ticks_refills_in_steps() -> None:
    """With tick=0.5 the tokens of half a second come together."""
    bucket = TokenBucket(4, 4, tick=0.5)
    assert [bucket.admit(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert not bucket.admit(0.49)
    assert [bucket.admit(0.5) for _ in range(3)] == [True, True, False]


@hypothesis_settings(deadline=None)
@given(gaps=GAPS, limit=st.integers(1, 10), window=st.sampled_from([0.5, 1.0, 2.5]))
def test_sliding_window_is_a_log_of_admissions(gaps: list[float], limit: int, window: float) -> None:
    """A call is admitted exactly if fewer than `limit` were admitted in the window before it."""
    limiter, admitted = SlidingWindow(limit, window), list[float]()
    for at in arrivals(gaps):
        expected = sum(1 for one in admitted if one > at - window + 1e-6) < limit
        assert limiter.admit(at) == expected
        if expected:
            admitted.append(at)


@hypothesis_settings(deadline=None)
@given(gaps=GAPS, limit=st.integers(1, 10), window=st.sampled_from([0.5, 1.0, 2.5]))
def test_fixed_window_starts_afresh_at_each_boundary(gaps: list[float], limit: int, window: float) -> None:
    """A window admits its first `limit` calls and no more."""
    limiter = FixedWindow(limit, window)
    used: dict[int, int] = {}
    for at in arrivals(gaps):
        index = int(at / window + 1e-6)
        used[index] = used.get(index, 0) + 1
        assert limiter.admit(at) == (used[index] <= limit)


@pytest.mark.parametrize("limiter", [TokenBucket(1, 3), FixedWindow(3, 10), SlidingWindow(3, 10)])
def test_refund_makes_a_call_free(limiter: TokenBucket | FixedWindow | SlidingWindow) -> None:
    """A refunded call leaves as many calls as there were before."""
    before = limiter.level(1.0)
    assert limiter.admit(1.0)
    limiter.refund()
    assert limiter.level(1.0) == before


def admitted(spec: str, times: list[float]) -> int:
    throttles = Throttles(parse_settings(spec))
    limiter = throttles.limiter("StartChatContact", "")
    return sum(limiter.admit(at) for at in times)


def irregular(count: int) -> list[float]:
    """`count` moments of one minute, always the same."""
    rng = random.Random(1)
    return sorted(rng.uniform(0, 60) for _ in range(count))


EVERY_10_MS = [k / 100 for k in range(6000)]


@pytest.mark.parametrize("limiter", ["token_bucket", "fixed_window", "sliding_window"])
def test_each_limiter_holds_its_rate_under_pressure(limiter: str) -> None:
    """Under steady pressure for a minute each kind admits rate x time, but for its burst."""
    assert 300 <= admitted(f"limiter={limiter},rate=5,burst=8", EVERY_10_MS) <= 308


def test_shards_share_rate_and_burst() -> None:
    """Two shards hold the whole rate under pressure, and waste some of it when there is none to spare."""
    assert 298 <= admitted("rate=5,burst=8,shards=2", EVERY_10_MS) <= 308
    on_the_rate = [k / 5 for k in range(300)]
    assert admitted("rate=5,burst=8", on_the_rate) == 300
    assert admitted("rate=5,burst=2,shards=2", on_the_rate) < 300


def test_background_traffic_takes_its_share() -> None:
    """Other clients at twice our pressure leave about a third of the tokens, and the same ones with the same seed."""
    # Not evenly spaced: calls in step with the tokens would always be first.
    times = irregular(600)
    ours = admitted("rate=5,burst=8,background=20", times)
    assert 60 < ours < 160
    assert admitted("rate=5,burst=8,background=20", times) == ours


def test_limit_moves_at_its_time() -> None:
    """After change_at, counted from the first call, the new rate holds."""
    shifted = [100 + at for at in EVERY_10_MS]
    assert admitted("rate=5,burst=8,change_at=30s,change_rate=10,change_burst=8", shifted) == pytest.approx(
        8 + 30 * 5 + 30 * 10, abs=3
    )


def test_window_too_short_for_its_rate_is_refused() -> None:
    """A window that would admit nothing is a mistake that is told, with what to do."""
    with pytest.raises(ValueError, match="raise window"):
        parse_settings("limiter=fixed_window,rate=0.2")


def admissions(limiter: Limiter, rate: float, seconds: float) -> int:
    """How many of evenly spaced calls are admitted."""
    return sum(limiter.admit(n / rate) for n in range(int(rate * seconds)))


@pytest.mark.parametrize(("nodes", "at_once"), [(4, 80), (8, 100)])
def test_nodes_admit_a_burst_each_and_the_rate_together(nodes: int, at_once: int) -> None:
    """A hundred calls at once find a whole bucket on each node; under pressure the nodes keep the one rate."""
    limiter = Throttles(parse_settings(f"rate=20,burst=20,nodes={nodes},node_choice=call")).limiter(
        "StartChatContact", ""
    )
    assert sum(limiter.admit(0.0) for _ in range(100)) == at_once
    for n in range(4000):  # 20 s at ten times the rate
        limiter.admit(n / 200)
    assert abs(admissions_after(limiter, 20.0) / 30 - 20) < 1


def admissions_after(limiter: Limiter, start: float) -> int:
    """Admissions in the 30 seconds after `start` at 200 calls a second."""
    return sum(limiter.admit(start + n / 200) for n in range(6000))


def test_contrary_decisions_are_their_share() -> None:
    """Of calls far below the limit, the contrary share is refused."""
    limiter = Throttles(parse_settings("rate=1000,burst=1000,contrary=5%")).limiter("StartChatContact", "")
    assert abs(1 - admissions(limiter, 10, 400) / 4000 - 0.05) < 0.015


def test_throttled_calls_may_cost_a_token() -> None:
    """With throttle_costs_token a client that does not slow down is never served again."""
    limiter = Throttles(parse_settings("rate=5,burst=8,throttle_costs_token=yes")).limiter("StartChatContact", "")
    assert admissions(limiter, 50, 20) == 8


def test_shared_operations_meet_one_bucket() -> None:
    """Operations named in `shared` take their tokens from the bucket of the first."""
    throttles = Throttles(parse_settings("shared=SendMessage+SendEvent,SendMessage.burst=3,SendMessage.rate=0.001"))
    spent = [
        throttles.limiter(name, "i").admit(0.0) for name in ("SendMessage", "SendEvent", "SendEvent", "SendMessage")
    ]
    assert spent == [True, True, True, False]


def test_seed_decides_the_shard() -> None:
    """The seed, and nothing else, decides which shard a call meets."""
    times = irregular(400)
    runs = {admitted(f"rate=5,burst=4,shards=2,seed={seed}", times) for seed in range(6)}
    assert len(runs) > 1
    assert admitted("rate=5,burst=4,shards=2,seed=3", times) == admitted("rate=5,burst=4,shards=2,seed=3", times)


@pytest.mark.parametrize("limiter", ["token_bucket", "fixed_window", "sliding_window", "token_bucket,shards=2"])
def test_limit_may_come_to_a_service_without_one(limiter: str) -> None:
    """A rate of inf admits everything until change_at, and then the new limit holds."""
    times = [n / 1000 for n in range(2000)]
    ours = admitted(f"rate=inf,limiter={limiter},change_at=1s,change_rate=4,change_burst=8,background=3", times)
    assert 1000 < ours <= 1012


def test_service_without_a_limit_may_refuse_by_mistake() -> None:
    """Without a limit every refusal is a contrary one."""
    limiter = Throttles(parse_settings("rate=inf,contrary=5%")).limiter("StartChatContact", "")
    assert abs(1 - admissions(limiter, 10, 400) / 4000 - 0.05) < 0.015


@pytest.mark.parametrize("shared", ["SendMessage+StopContact", "StopContact+SendMessage"])
def test_operations_of_both_services_may_share_a_bucket(shared: str) -> None:
    """A bucket that an operation of Amazon Connect takes part in is one of the account, for all of them."""
    limits = ",".join(f"{name}.burst=3,{name}.rate=0.001" for name in shared.split("+"))
    throttles = Throttles(parse_settings(f"shared={shared},{limits}"))
    calls = [("SendMessage", "i"), ("StopContact", ""), ("SendMessage", "j"), ("StopContact", ""), ("SendMessage", "i")]
    assert [throttles.limiter(*call).admit(0.0) for call in calls] == [True, True, True, False, False]


@dataclass
class Counted:
    """Admits everything, and counts it."""

    calls: int = 0

    def admit(self, now: float) -> bool:
        self.calls += 1
        return True

    def refund(self) -> None:
        self.calls -= 1

    def level(self, now: float) -> float:
        return 1.0


@pytest.mark.parametrize("seconds", [30.0, 25 * 3600.0])
def test_silence_is_caught_up_with_at_once(seconds: float) -> None:
    """After a day without a call (a clock may be advanced), the calls of others are not gone through one by one."""
    behind = Counted()
    Contended(behind, 10_000, random.Random(0), memory=80_000).admit(seconds)
    assert behind.calls < 60_000


def test_neighbours_use_a_limit_that_came_later_too() -> None:
    """Background calls count before and after a change of the limit."""
    times = [1 + n / 1000 for n in range(20_000)]
    spec = "rate=inf,change_at=0,change_rate=10,change_burst=8"
    alone, crowded = admitted(spec, times), admitted(f"{spec},background=30", irregular(600))
    assert alone == pytest.approx(8 + 20 * 10, abs=2)
    assert crowded < 200
