"""What a report says of a limiter that no exact model describes: two buckets behind a balancer that chooses at random."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.command import main
from harness.quotas.stages import Stage, StageKind
from reports.capacity.load import load_capacity
from reports.capacity.model import Interval, Safe, SafeRate, Sustained, Tps
from reports.capacity.sentences import headline
from reports.page.terminal import print_summary
from tests.reports.answers import an_answer
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import BEGAN, Scenario, attempt, write_run
from tests.support.virtual.records import NO_QUOTA
from tests.support.virtual.services import Answer, Clockwork, Latency, Limiter, Service, Shards, TokenBucket


def rows_of(record: list[Answer]) -> list[dict[str, Any]]:
    """The calls of a simulation as samples."""
    return [
        attempt(
            "StartChatContact",
            BEGAN + one.sent,
            BEGAN + one.sent,
            BEGAN + one.received,
            one.outcome,
            200 if one.outcome == "started" else 429,
            None,
            f"chat-{one.chat}" if one.outcome == "started" else None,
        )
        for one in record
    ]


Offer = tuple[StageKind, float, int]
"""What a stage offers: its kind, calls a second, calls. Volleys come after a rest of four seconds."""


def write_probe(path: Path, limiter: Limiter, offers: list[Offer]) -> None:
    """Write the run of a probe that offered these to a limiter, its stages in run.json."""
    rng = random.Random(5)
    clock = Clockwork(Service(limiter, NO_QUOTA, Latency(0.03, 0.1, 0.5, rng)))
    stages: list[Stage] = []
    for kind, rate, calls in offers:
        rest = 4.0 if kind == "volley" else 0.0
        begin = at = clock.now + rest
        for _ in range(calls):
            clock.at(at, lambda: clock.send(lambda _answer: None))
            at += rng.expovariate(rate) if kind == "poisson" else 1 / rate
        at += 0.2  # the answers are awaited
        while clock.run_until(at):
            pass
        stages.append(Stage(kind, begin, at, offered=rate, rest=rest))
    clock.run_out()
    told = [stage.to_json() | {"begin": BEGAN + stage.begin, "end": BEGAN + stage.end} for stage in stages]
    write_run(path, rows_of(clock.record), user_class="QuotaProbe", probe={"stages": told})


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reported run of a probe that met two buckets of 2.5/s and burst 8, chosen at random."""
    limiter = Shards([TokenBucket(2.5, 8.0), TokenBucket(2.5, 8.0)], random.Random(4))
    offers: list[Offer] = [("pressure", 15.0, 300), ("pressure", 6.25, 150)]
    offers.extend(("volley", 2000.0, 24) for _ in range(6))
    offers.append(("pressure", 15.0, 45))
    offers.extend(("poisson", rate, 50) for rate in (4.25, 4.0, 3.6, 3.4, 3.0, 3.0, 3.0))
    path = tmp_path_factory.mktemp("probed") / "run"
    write_probe(path, limiter, offers)
    assert main(["report", str(path), "--quiet", "--request"]) == 0
    return path


@pytest.mark.slow
def test_a_long_probe_is_read_to_its_end(tmp_path: Path) -> None:
    """Of more attempts than are read of a load, the last parts still tell: the safe rate comes after 22,000 calls."""
    limiter = Shards([TokenBucket(75.0, 75.0), TokenBucket(75.0, 75.0)], random.Random(4))
    offers: list[Offer] = [("pressure", 450.0, 18_000), ("pressure", 190.0, 4_000)]
    offers.extend(("volley", 2000.0, 200) for _ in range(5))
    offers.extend(("poisson", 110.0, 440) for _ in range(6))
    write_probe(tmp_path / "run", limiter, offers)
    assert main(["report", str(tmp_path / "run"), "--quiet", "--no-figures"]) == 0
    tps = json.loads((tmp_path / "run" / "capacity.json").read_text())["tps"]
    assert tps["sustained"]["low"] <= 150.0 <= tps["sustained"]["high"]
    assert tps["burst_from_rest"]["volleys"] == 5
    assert 75 < tps["safe"]["poisson"]["low"] < 150
    assert tps["safe"]["poisson"]["calls"] == 6 * 440


def test_the_numbers_that_hold_are_in_capacity_json(probed: Path) -> None:
    """Class, sustained rate, burst from rest, safe rate and contrary share stand beside the exact limiter's nulls."""
    tps = json.loads((probed / "capacity.json").read_text())["tps"]
    assert tps["verdict"] == "not_explained"
    assert tps["class"] not in ("exact", "exact_within_jitter")
    assert tps["sustained"]["low"] <= 5.0 <= tps["sustained"]["high"]
    assert tps["sustained"]["high"] - tps["sustained"]["low"] < 1
    assert tps["sustained_mild"]["low"] <= 5.2
    assert 8 <= tps["burst_from_rest"]["median"] <= 16
    assert tps["burst_from_rest"]["volleys"] >= 5
    assert 0 < tps["safe"]["poisson"]["low"] < 5
    assert set(tps["safe"]["refused_at"]) == {"0.5", "0.7", "0.85"}
    assert 0 < tps["contrary_share"] < 0.2
    assert tps["contrary"]["low"] <= tps["contrary_share"] <= tps["contrary"]["high"]


def test_the_headline_says_which_numbers_hold(probed: Path) -> None:
    """It names the sustained rate with its interval, the burst from rest, the safe rate, and that no limiter is exact."""
    text = headline(load_capacity(probed))
    assert " a second under pressure (" in text
    assert "at once from rest" in text
    assert "refuses at most 1 % of" in text
    assert "no single exact limiter explains it: " in text
    assert "of the decisions contrary" in text


def test_the_page_has_the_section_and_its_figures(probed: Path) -> None:
    """Page and Markdown have the table; refused share, batches, volleys and contrary decisions are drawn."""
    for name in ("report.html", "report.md"):
        text = (probed / name).read_text()
        assert "Burst from rest" in text
        assert "Safe rate, random arrivals" in text
    assert {"refused-share", "batches", "volleys", "contrary"} <= {file.stem for file in (probed / "figures").iterdir()}


def test_the_request_and_the_terminal_give_the_sustained_rate(probed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither says "not found" where a rate was measured, and the request says what the probe offered."""
    request = (probed / "quota-request.md").read_text()
    assert "sustains " in request
    assert "0 chat starts offered" not in request
    assert "each decided by the probe" in request
    print_summary(load_capacity(probed), None, Console())
    printed = capsys.readouterr().out
    assert "sustains " in printed
    assert "safe rate" in printed


def test_a_plan_uses_the_measured_curve(probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refusals come from the curve, more than the bucket of the same rate refuses, and the plan says so."""
    arguments = ["plan", "--arrivals", "4/s", "--length", "10s", "--active-chats", "300", "--run", str(probed)]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert "measured curve" in capsys.readouterr().out
    plan = json.loads((tmp_path / "plan.json").read_text())
    curve = plan["limits"]["measured_curve"]
    assert [share for _, share in curve] == sorted(share for _, share in curve)
    assert plan["refused"]["tps"] > 0.0


def test_a_change_of_class_is_a_difference(probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare names both classes; a sustained rate that did not change is no regression."""
    other = json.loads((probed / "capacity.json").read_text())
    other["tps"]["class"] = "shared"
    (tmp_path / "capacity.json").write_text(json.dumps(other))
    assert main(["compare", str(probed), str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "different" in printed
    assert "shared in the new run" in printed
    assert "tps.sustained" in printed


def test_errors_from_before_the_limiter_are_no_admissions(make_run: MakeRun) -> None:
    """A gateway that fails one call in eight takes no tokens: the bucket behind it is found with its own rate."""
    run = make_run(Scenario(faults=0.12, offered=16, seconds=30.0, quota=10_000))
    assert main(["report", str(run), "--quiet", "--no-figures"]) == 0
    tps = load_capacity(run).tps
    assert tps.evidence["costs_no_token"] == ["service_error"]
    assert tps.class_ == "exact_within_jitter"
    assert tps.rate.estimate == pytest.approx(5.0, abs=0.05)
    assert tps.sustained is not None
    assert tps.sustained.low <= 5.0 <= tps.sustained.high


def test_the_safe_rate_has_the_same_digits_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """It is rounded down in the headline, and so it is in the terminal table: 18.33 is not more than the promised 18.3."""
    none, safe = Interval(), Safe(SafeRate(0.01, 18.9, 18.3376))
    tps = Tps(
        none, none, "unknown", "not_explained", class_="nearly_bucket", sustained=Sustained(20, 19, 21), safe=safe
    )
    answer = an_answer(tps=tps, outcomes={"started": 9, "tps_throttled": 9})
    print_summary(answer, None, Console(width=100))
    printed = capsys.readouterr().out
    assert "at least 18.3/s" in printed
    assert "at most 1 % of 18.3 a second" in printed
