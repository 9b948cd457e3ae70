"""`chatquota plan`: its formulas against known values and a simulation written apart from them, and its command."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.command import main
from harness.errors import UsageError
from reports.capacity.model import ActiveChats, Generator, Interval, Sustained, Tps, to_json
from reports.plan.command import run_limits
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
from reports.plan.text import sentences, share
from tests.reports.answers import an_answer

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


@pytest.mark.slow
def test_the_command_writes_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is printed and written: numbers, text and the frontier as PNG and SVG."""
    out = tmp_path / "plan"
    code = main(["plan", "--arrivals", "9000/h", "--length", "exponential:8m", "--out", str(out), "--refused", "1%"])
    assert code == 0
    written = json.loads((out / "plan.json").read_text())
    assert written["binds_first"]["limit"] == "active_chats"
    assert written["request"]["active_chats"] > 1200
    assert {file.name for file in out.iterdir()} == {"plan.json", "plan.md", "frontier.png", "frontier.svg"}
    printed = capsys.readouterr().out
    assert printed.startswith("The active-chat quota binds")
    assert "L-D4BA6F6E" in printed


def test_limits_come_from_a_run_or_its_declaration(tmp_path: Path) -> None:
    """A run's found limits and its declared quotas can be planned against; a bound on the chats is taken for no quota."""
    answer = an_answer(
        tps=Tps(Interval(7.0, 6.9, 7.1), Interval(9, 9, 9), "token_bucket", "explained"),
        active_chats=ActiveChats(None, 40.0, None, verdict="lower_bound"),
        declared={"tps": {"value": 6, "source": "service-quotas L-AA48CD49"}},
    )
    path = tmp_path / "capacity.json"
    path.write_text(to_json(answer))
    unmet = "the limit was not reached (at least 40): 500, AWS's documented default, is taken"
    for option, tps, chats, source in (("--run", 7.0, 500, unmet), ("--declared", 6.0, 500, "L-AA48CD49")):
        out = tmp_path / option.strip("-")
        arguments = ["--arrivals", "2/s", "--length", "5s", option, str(path), "--out", str(out)]
        assert main(["plan", *arguments]) == 0
        limits = json.loads((out / "plan.json").read_text())["limits"]
        assert (limits["tps"], limits["active_chats"]) == (tps, chats)
        assert source in limits["source"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--arrivals", "x", "--length", "5m"],
        ["--arrivals", "0/s", "--length", "5m"],
        ["--arrivals", "4/s", "--length", "gauss:5m"],
        ["--arrivals", "4/s", "--length", "lognormal:5m,-1"],
        ["--arrivals", "4/s", "--length", "5m", "--tps", "-1"],
        ["--arrivals", "4/s", "--length", "5m", "--active-chats", "2.5"],
        ["--arrivals", "4/s", "--length", "5m", "--margin", "200%"],
        ["--arrivals", "4/s", "--length", "5m", "--run", "nowhere"],
        ["--arrivals", "4/s"],
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake ends in one line and exit code 2."""
    try:
        code = main(["plan", *arguments])
    except SystemExit as leaving:
        code = int(str(leaving.code))
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("chatquota plan: ")
    assert error.count("\n") == 1


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--chat-duration", "2h"), "give --abandoned SHARE"),
        (("--abandoned", "5%", "--chat-duration", "5m"), "60 minutes (1h) to 7 days (168h)"),
        (("--abandoned", "5%", "--chat-duration", "long"), "'long' is not a length"),
    ],
)
def test_wrong_durations_of_abandoned_chats_are_named(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A duration that Amazon Connect would refuse is refused here."""
    assert main(["plan", "--arrivals", "1/s", "--length", "8m", *options]) == 2
    assert said in capsys.readouterr().err


EXACT = Tps(Interval(5.0, 4.99, 5.01), Interval(8.0, 8.0, None), "token_bucket", "explained", class_="exact")
"""A bucket that was never seen full."""
PRESSED = Tps(Interval(), Interval(), "unknown", "not_explained", sustained=Sustained(5.0, 4.0, 6.0))


def planned(tmp_path: Path, **members: Any) -> list[str]:
    """What a plan against a run says that found 49 to 60 chats at once, and `members`."""
    chats = ActiveChats(60.0, 49.0, 60.0, verdict="explained")
    told = {"active_chats": chats, "tps": EXACT, "generator": Generator(valid=True), **members}
    (tmp_path / "capacity.json").write_text(to_json(an_answer(**told)))
    limits = run_limits(tmp_path)
    return sentences(plan(parse_arrivals("1/s"), parse_length("10s"), limits, refused=0.01, margin=0.2))


def test_a_plan_against_an_invalid_run_says_so_first(tmp_path: Path) -> None:
    """What a run's report warns of is not left out of what is planned with its limits."""
    first, *_ = planned(tmp_path, generator=Generator(valid=False, reasons=["it was late"]))
    assert first.startswith("Not to be relied on, for the run is invalid (it was late): ")
    assert not planned(tmp_path)[0].startswith("Not to be relied on")


def test_a_plan_names_what_of_its_limits_the_run_does_not_know(tmp_path: Path) -> None:
    """Bounds, an assumed burst and classes of which bounds alone hold are said to be such."""
    known = " ".join(planned(tmp_path))
    assert "the burst is a lower bound; active chats lie between 49 and 60)" in known
    assumed = " ".join(planned(tmp_path, tps=msgspec.structs.replace(PRESSED, class_="approximate")))
    assert "(5/s, burst 8)" in assumed
    assert "the burst was not measured: 1.6 times the rate is taken" in assumed
    moved = " ".join(planned(tmp_path, tps=msgspec.structs.replace(PRESSED, class_="not_stationary")))
    assert "(4/s, burst 6)" in moved
    assert "a limit that moved during the run: planned with the lower bound of the sustained rate" in moved


def test_what_is_refused_at_any_rate_is_no_matter_of_the_quota() -> None:
    """Where the measured curve begins above what may be refused, the plan does not say that a quota brings it there."""
    curve = Limits(20.0, 20.0, 500, "test", ((0.0, 0.026), (10.0, 0.027), (20.0, 0.1)))
    told = plan(parse_arrivals("15/s"), parse_length("5s"), curve, refused=0.001, margin=0.2)
    assert sentences(told)[-1].endswith("The limiter refuses 2.6 % at any rate, as measured: no quota changes that.")
    fair = Limits(20.0, 20.0, 500, "test", ((0.0, 0.0), (10.0, 0.0), (20.0, 0.1)))
    told = plan(parse_arrivals("15/s"), parse_length("5s"), fair, refused=0.001, margin=0.2)
    assert told["request"]["refused_at_any_rate"] is None


@pytest.mark.parametrize(
    ("least", "declared", "taken"),
    [
        (40.0, {"value": 300}, "300, as AWS declares,"),
        (700.0, {"value": 300}, "700, what was admitted,"),
        (0.0, {}, "500, AWS's"),
    ],
)
def test_a_chat_limit_that_was_not_reached_is_not_said_to_bind(
    least: float, declared: dict[str, Any], taken: str, tmp_path: Path
) -> None:
    """What AWS declares is planned with, unless more was admitted: three chats at once are no quota of three."""
    chats = ActiveChats(least, least, None, verdict="lower_bound")
    told = " ".join(planned(tmp_path, active_chats=chats, declared={"active_chats": declared}))
    assert f"{taken} " in told
    assert told.startswith("Neither quota refuses more than 1 % of the customers at any moment. ")


def test_no_share_of_a_plan_has_an_exponent() -> None:
    """What is next to nothing is said to be under a number that can be read."""
    assert [share(value) for value in (0.0, 1e-12, 2.8e-9, 2e-6, 0.0088, 0.7, 0.999)] == [
        *("0 %", "0 %", "under 0.0001 %", "0.0002 %", "0.88 %", "70 %", "99.9 %"),
    ]


def test_a_burst_that_is_assumed_is_a_whole_number(tmp_path: Path) -> None:
    """A part of a call made formula and simulation differ, as if the bucket smoothed the arrivals."""
    few = msgspec.structs.replace(PRESSED, class_="approximate", sustained=Sustained(4.585, 4.3, 4.9))
    (tmp_path / "capacity.json").write_text(
        to_json(an_answer(tps=few, active_chats=ActiveChats(60, 60, 60, verdict="explained")))
    )
    limits = run_limits(tmp_path)
    assert limits.burst == 7.0
    told = plan(parse_arrivals("4.6/s"), parse_length("5s"), limits, refused=0.001, margin=0.2)
    assert told["simulated"]["agrees"]
