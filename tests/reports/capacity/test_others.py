"""Chats that others hold, as CloudWatch counted them minute by minute, become part of the quota that is reported."""

import json
import random
from typing import Any

import pytest

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, Scenario, simulate

OTHERS = 23
ROOM = Scenario(quota=57, hold=1000.0, seconds=150.0)


def _minutes(*totals: float) -> list[dict[str, Any]]:
    first = int(BEGAN // 60 * 60)
    return [{"at": first + 60 * n, "most_open": total, "least_open": total} for n, total in enumerate(totals)]


@pytest.mark.slow
def test_the_quota_is_what_this_run_held_and_what_others_held(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is refused at 57 while CloudWatch counts 80 reports 80, and says whose they were."""
    run = make_run(ROOM, declared={"minutes": _minutes(60, 80, 80)})
    alone = make_run(ROOM)
    for path in (run, alone):
        assert main(["report", str(path), "--no-figures"]) == 0
    said = capsys.readouterr().out
    answers = [json.loads((path / "capacity.json").read_text())["active_chats"] for path in (run, alone)]
    found, ours = answers
    assert found["ours"] == {name: ours[name] for name in ("estimate", "low", "high")}
    assert found["high"] == ours["high"] + OTHERS == 80
    assert found["low"] == ours["low"] + OTHERS
    assert (found["others"]["low"], found["others"]["high"]) == (OTHERS, OTHERS)
    assert "CloudWatch ConcurrentActiveChats" in found["others"]["source"]
    assert "(23 of them were others', as CloudWatch counted)" in " ".join(said.split())
    assert ours["others"] is None


@pytest.mark.slow
def test_others_who_come_and_go_leave_a_range(make_run: MakeRun) -> None:
    """Where the counts differ from minute to minute the quota has no estimate, and its bounds hold both."""
    run = make_run(ROOM, declared={"minutes": _minutes(60, 78, 82)})
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    found = json.loads((run / "capacity.json").read_text())["active_chats"]
    assert found["estimate"] is None
    assert (found["others"]["low"], found["others"]["high"]) == (21, 25)
    assert found["high"] == found["ours"]["high"] + 25
    plan = ["plan", "--run", str(run), "--arrivals", "1/s", "--length", "8m", "--tps", "5", "--out", str(run / "plan")]
    assert main(plan) == 0
    assert json.loads((run / "plan" / "plan.json").read_text())["limits"]["active_chats"] == found["low"]


@pytest.mark.parametrize("minutes", [None, "many", [None, 7, {"at": "now"}, {"at": BEGAN}, {"most_open": 80}], []])
def test_minutes_that_say_nothing_change_nothing(make_run: MakeRun, minutes: Any) -> None:
    """Without usable minutes the quota is that of the run, as before."""
    run = make_run(ROOM, declared={"minutes": minutes})
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    found = json.loads((run / "capacity.json").read_text())["active_chats"]
    assert (found["high"], found["ours"], found["others"]) == (57, None, None)


def _halved(rows: list[dict[str, Any]], seed: int = 3) -> list[dict[str, Any]]:
    """The rows of a run that others took half of the tokens from: every second start, at random, is throttled."""
    draw = random.Random(seed)
    for row in rows:
        if row["outcome"] == "started" and draw.random() < 0.5:
            row |= {
                "outcome": "tps_throttled",
                "status": 429,
                "error_code": "TooManyRequestsException",
                "contact_id": None,
            }
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(("others", "shared"), [(150.0, True), (0.0, False), (None, False)])
def test_a_throttle_that_others_share_is_named_where_cloudwatch_shows_them(
    make_run: MakeRun, others: float | None, shared: bool
) -> None:
    """Starts of others in the run's minutes make an unexplained throttle a shared one; none, or none known, do not."""
    rows = _halved(simulate(Scenario(quota=10_000, seconds=200.0)))
    first = int(BEGAN // 60 * 60)
    minutes = [{"at": first + 60 * n} for n in range(4)]
    for minute in minutes if others is not None else ():
        inside = [row for row in rows if minute["at"] <= row["received"] < minute["at"] + 60]
        minute["started"] = others + sum(row["outcome"] == "started" for row in inside)
    run = make_run(rows=rows, declared={"minutes": minutes})
    assert main(["report", str(run), "--no-figures", "--quiet"]) == 0
    tps = json.loads((run / "capacity.json").read_text())["tps"]
    assert tps["verdict"] != "explained"
    told = [finding for finding in tps["findings"] if "CloudWatch" in finding]
    assert (tps["class"] == "shared" and len(told) == 1) is shared
    if shared:
        assert "Others started 450 chats in 3 minutes" in told[0]
        assert told[0] in " ".join((run / "report.md").read_text().split())
