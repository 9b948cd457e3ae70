"""The formulas of a plan against known values and a simulation written apart from them."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from reports.plan.day import Day, parse_arrivals, read_day
from reports.plan.lengths import parse_length
from reports.plan.planning import Abandoned, Limits, abandoned_chats, frontier, plan
from reports.plan.queueing import (
    bucket_refusal,
    erlang_b,
    open_chats,
    rate_for,
    servers_for,
)
from reports.plan.text import sentences

DEFAULTS = Limits(5.0, 8.0, 500, "test")


@pytest.mark.parametrize(
    ("load", "servers", "blocked"),
    [(1.0, 1, 0.5), (2.0, 2, 0.4), (10.0, 10, 0.2146), (90.0, 100, 0.026957), (100.0, 117, 0.0098), (0.0, 5, 0.0)],
)
def test_erlang_b_has_its_tabulated_values(load: float, servers: int, blocked: float) -> None:
    """Values of the classic Erlang B tables."""
    assert erlang_b(load, servers) == pytest.approx(blocked, abs=1e-4)


@given(st.floats(0.1, 2000), st.floats(1e-4, 0.2))
def test_servers_for_is_the_fewest(load: float, refused: float) -> None:
    """The number of servers meets the target, and one fewer does not."""
    servers = servers_for(load, refused)
    assert erlang_b(load, servers) <= refused * (1 + 1e-9)
    assert servers == 0 or erlang_b(load, servers - 1) > refused * (1 - 1e-9)


def bucket_by_hand(arrivals: float, rate: float, burst: int, calls: int, seed: int) -> float:
    """The share of Poisson arrivals that a token bucket refuses, call by call."""
    draw, tokens, refused = random.Random(seed), float(burst), 0
    for _ in range(calls):
        tokens = min(burst, tokens + draw.expovariate(arrivals) * rate)
        if tokens < 1:
            refused += 1
        else:
            tokens -= 1
    return refused / calls


@pytest.mark.parametrize(("arrivals", "burst"), [(4.5, 8), (4.0, 3), (6.0, 8), (3.0, 1), (20.0, 8)])
def test_the_buckets_formula_agrees_with_a_bucket(arrivals: float, burst: int) -> None:
    """M/D/1/K gives the share that a simulated bucket refuses, within half a point."""
    assert bucket_refusal(arrivals, 5.0, burst) == pytest.approx(
        bucket_by_hand(arrivals, 5.0, burst, 60_000, 3), abs=0.005
    )


@given(st.floats(0.01, 40), st.integers(1, 300))
def test_a_bucket_refuses_a_share_and_more_of_more(arrivals: float, burst: int) -> None:
    """A refusal is a probability, is at least what the rate leaves over, and grows with arrivals, falls with burst."""
    refused = bucket_refusal(arrivals, 5.0, burst)
    assert max(0.0, 1 - 5.0 / arrivals) - 1e-9 <= refused <= 1
    assert bucket_refusal(arrivals * 1.1, 5.0, burst) >= refused - 1e-9
    assert bucket_refusal(arrivals, 5.0, burst + 1) <= refused + 1e-9


def test_the_rate_to_request_meets_its_target() -> None:
    """The rate found refuses what was allowed, and a little less of it refuses more."""
    rate = rate_for(4.0, 0.001, 1.6)
    assert bucket_refusal(4.0, rate, rate * 1.6) <= 0.001
    assert bucket_refusal(4.0, rate * 0.9, rate * 0.9 * 1.6) > 0.001


@pytest.mark.parametrize("text", ["5m", "exponential:5m", "uniform:2m,8m", "lognormal:4m,0.6"])
def test_lengths_draw_what_they_say(text: str) -> None:
    """Draws have the stated mean, and the stated share of them lasts longer than a time."""
    length = parse_length(text)
    drawn = length.draw(np.random.default_rng(1), 60_000)
    assert drawn.mean() == pytest.approx(length.mean, rel=0.02)
    assert (drawn > 200).mean() == pytest.approx(length.survival(np.array([200.0]))[0], abs=0.01)


def test_the_length_forms_are_those_of_hold() -> None:
    """The planner reads the distributions that --hold reads, with the same means."""
    from harness.durations import parse_hold

    for text in ("30s", "2h", "exponential:5m", "uniform:1m,3m", "lognormal:8m,0.6"):
        assert parse_length(text).mean == pytest.approx(parse_hold(text).mean)


def test_a_full_house_follows_littles_law() -> None:
    """With constant arrivals the open chats of M_t/G/infinity settle at rate x mean length."""
    step, length = 10.0, parse_length("exponential:5m")
    at = np.arange(1.0, 1001.0) * step
    held = open_chats(np.full(1000, 2.0), step, length.survival(at - step / 2))
    assert held[-1] == pytest.approx(600, rel=0.01)
    assert (np.diff(held) > -1e-9).all()


def house_by_hand(rate: float, mean: float, limits: Limits, seconds: float, seed: int) -> tuple[float, float]:
    """Shares refused by the bucket and by the quota, event by event with a list of ends and no other code of ours."""
    draw, now, tokens, filled = random.Random(seed), 0.0, limits.burst, 0.0
    ends: list[float] = []
    seen = throttled = full = 0
    while now < seconds:
        now += draw.expovariate(rate)
        ends = [end for end in ends if end > now]
        tokens, filled = min(limits.burst, tokens + (now - filled) * limits.tps), now
        seen += 1
        if tokens < 1:
            throttled += 1
            continue
        tokens -= 1
        if len(ends) >= limits.active_chats:
            full += 1
        else:
            ends.append(now + draw.expovariate(1 / mean))
    return throttled / seen, full / seen


@pytest.mark.parametrize(("rate", "mean"), [(4.0, 5.0), (3.0, 12.0), (2.0, 20.0)])
def test_a_plan_predicts_a_service(rate: float, mean: float) -> None:
    """The predicted refusals of both limits are those of a service simulated apart, within a point and a half."""
    limits = Limits(5.0, 8.0, 30, "test")
    found = plan(parse_arrivals(f"{rate}/s"), parse_length(f"exponential:{mean}s"), limits, refused=0.001, margin=0.2)
    throttled, full = house_by_hand(rate, mean, limits, 12_000, 5)
    assert found["refused"]["tps"] == pytest.approx(throttled, abs=0.015)
    assert found["refused"]["active_chats"] == pytest.approx(full, abs=0.015)
    assert found["simulated"]["tps"] == pytest.approx(throttled, abs=0.015)
    assert found["simulated"]["active_chats"] == pytest.approx(full, abs=0.015)


@pytest.mark.slow
def test_a_spike_shorter_than_a_chat_is_left_to_the_simulation() -> None:
    """A minute's spike of twenty-minute chats: the formulas see half of the refusals, and the plan says whom to trust."""
    day = Day(np.array([0.0, 3600.0, 3660.0]), np.array([0.5, 20.0, 0.5]), 7260.0, ("a", "b", "c"))
    found = plan(day, parse_length("20m"), Limits(50.0, 80.0, 1300, "test"), refused=0.001, margin=0.2)
    assert found["simulated"]["active_chats"] > 1.5 * found["refused"]["active_chats"]
    assert found["simulated"]["agrees"] is False
    words = " ".join(sentences(found))
    assert "trust the simulation" in words
    assert "refused with probability 10 %" in words


@pytest.mark.slow
def test_the_first_limit_of_a_day_has_its_time(tmp_path: Path) -> None:
    """Rising arrivals meet the active-chat quota first with long chats and the TPS quota first with short ones."""
    path = tmp_path / "day.csv"
    path.write_text("time,arrivals\n08:00,1800\n09:00,9000\n10:00,14400\n11:00,20000\n12:00,1800\n")
    day = read_day(path)
    long = plan(day, parse_length("exponential:8m"), DEFAULTS, refused=0.001, margin=0.2)
    short = plan(day, parse_length("exponential:20s"), DEFAULTS, refused=0.001, margin=0.2)
    assert (long["binds_first"]["limit"], long["binds_first"]["at"]) == ("active_chats", "09:00")
    assert (short["binds_first"]["limit"], short["binds_first"]["at"]) == ("tps", "10:00")
    assert short["request"]["active_chats"] is None
    assert long["request"]["active_chats"] > long["request"]["needed"]["active_chats"]


@pytest.mark.slow
def test_what_is_requested_suffices() -> None:
    """Planned again with the requested quotas, the busiest moment refuses no more than was allowed."""
    day, length = parse_arrivals("12/s"), parse_length("exponential:8m")
    wanted = plan(day, length, DEFAULTS, refused=0.002, margin=0.1)["request"]
    enough = Limits(wanted["tps"], DEFAULTS.burst / DEFAULTS.tps * wanted["tps"], wanted["active_chats"], "requested")
    again = plan(day, length, enough, refused=0.002, margin=0.1)
    assert again["refused"]["worst_moment"] <= 0.002
    assert again["binds_first"]["limit"] is None


@pytest.mark.slow
@settings(max_examples=20)
@given(st.floats(0.001, 0.05))
def test_the_frontier_falls_with_length_and_stays_under_both_quotas(refused: float) -> None:
    """Longer chats allow no more arrivals; at no length does more pass than the quotas and the refusals allow."""
    lengths = np.geomspace(5, 5000, 12)
    allowed = frontier(DEFAULTS, refused, lengths)
    assert (np.diff(allowed) <= 1e-6).all()
    assert (allowed * (1 - refused) <= np.minimum(DEFAULTS.tps, DEFAULTS.active_chats / lengths) * 1.0001).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "too few rows"),
        ("time,arrivals\n", "too few rows"),
        ("08:00,5\n09:00,x\n", "row 2: '09:00,x'"),
        ("08:00,5\n09:00,-1\n", "row 2"),
        ("09:00,5\n08:00,5\n", "sort them"),
        ("08:00,0\n09:00,0\n", "no arrivals"),
        ("when,how many\n08:00,5,6\n09:00,5,6\n", "row 2"),
    ],
)
def test_a_bad_day_is_refused_by_its_row(tmp_path: Path, content: str, message: str) -> None:
    """A CSV that is no day is one line that names the row."""
    path = tmp_path / "day.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as error:
        read_day(path)
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=80))
def test_any_bytes_are_a_day_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Arbitrary bytes as CSV are read as a day with finite rates, or refused as a usage error."""
    path = tmp_path_factory.mktemp("day") / "day.csv"
    path.write_bytes(content)
    try:
        day = read_day(path)
    except UsageError:
        return
    assert np.isfinite(day.rates).all()
    assert day.length > 0


def test_rates_and_seconds_are_read(tmp_path: Path) -> None:
    """A column named "rate" holds rates that go from row to row; times may be seconds; times of day end at midnight."""
    path = tmp_path / "day.csv"
    path.write_text("t,rate\n0,2\n600,3\n1800,1\n")
    rates = read_day(path)
    assert rates.length == 3000
    assert rates.at(np.array([0.0, 300.0, 600.0, 1200.0, 2500.0])) == pytest.approx([2, 2.5, 3, 2, 1], abs=0.01)
    path.write_text("time,arrivals\n00:00,3600\n20:00,3600\n")
    day = read_day(path)
    assert day.length == 86_400
    assert day.rates.tolist() == [0.05, 0.25]


def test_chats_that_nobody_ends_hold_share_times_arrivals_times_duration() -> None:
    """By Little's law 5 % of 0.1/s for 25 h are 450 chats, and 18 for an hour; the plan then asks for more than 500."""
    day, length = parse_arrivals("0.1/s"), parse_length("8m")
    left = abandoned_chats(day, length, DEFAULTS, Abandoned(0.05, 25 * 3600.0))
    assert left["open_chats"] == pytest.approx(450)
    assert left["open_chats_at_60_minutes"] == pytest.approx(18)
    assert left["peak_open_chats"] - left["open_chats"] == pytest.approx(0.95 * 0.1 * 480)
    answer = plan(day, length, DEFAULTS, refused=0.001, margin=0.2, abandoned=Abandoned(0.05, 25 * 3600.0))
    assert answer["request"]["active_chats"] > 500
    assert answer["simulated"]["agrees"]
    (said,) = [sentence for sentence in sentences(answer) if "without ending" in sentence]
    assert said.startswith("The 5 % of the customers who leave without ending hold 450 of the 496 chats")
    assert "with ChatDurationInMinutes 60 they would hold 18, and the most open at once would be 64" in said


@pytest.mark.slow
def test_a_day_begins_with_what_the_day_before_left_open(tmp_path: Path) -> None:
    """Chats of 25 h that begin before noon are there at noon of the next day: the peak holds those of two days."""
    path = tmp_path / "day.csv"
    path.write_text("time,arrivals\n00:00,0\n11:00,3600\n12:00,0\n13:00,0\n")
    length = parse_length("1m")
    left = abandoned_chats(read_day(path), length, Limits(5.0, 8.0, 5000, "test"), Abandoned(0.1, 25 * 3600.0))
    assert left["open_chats"] == pytest.approx(2 * 360, rel=0.02)
    assert left["open_chats_at_60_minutes"] == pytest.approx(360, rel=0.02)
