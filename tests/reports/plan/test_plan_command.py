"""`chatquota plan` as a user runs it: where its limits come from, and what it says of them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.command import main
from reports.capacity.model import ActiveChats, Generator, Interval, Sustained, Tps, to_json
from reports.plan.command import run_limits
from reports.plan.day import parse_arrivals
from reports.plan.lengths import parse_length
from reports.plan.planning import Limits, plan
from reports.plan.text import sentences, share
from tests.reports.answers import an_answer

DEFAULTS = Limits(5.0, 8.0, 500, "test")


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
