"""`chatquota report --request`: the text that AWS asks for."""

import json
import re
from pathlib import Path

import pytest
import yaml

from harness.command import main
from tests.reports.conftest import MakeRun
from tests.reports.synthetic import INSTANCE

LIVE = {
    "endpoint": "https://connect.eu-central-1.amazonaws.com",
    "region": "eu-central-1",
    "instance_id": INSTANCE,
    "live": True,
    "emulator": None,
}


def request(path: Path, *arguments: str) -> str:
    """The request written for the run at `path`."""
    assert main(["report", str(path), "--quiet", "--no-figures", "--request", *arguments]) == 0
    return (path / "quota-request.md").read_text()


def test_a_request_names_what_aws_asks_for(make_run: MakeRun) -> None:
    """Region, instance, both codes, current and wanted values, the date and the evidence are in the text."""
    declared = {"tps": {"value": 5, "source": "service-quotas L-AA48CD49"}, "active_chats": {"error": "AccessDenied"}}
    path = make_run(target=LIVE, declared=declared)
    text = request(path, "--want-tps", "20", "--want-active-chats", "2000", "--by", "2027-01-15")
    for part in ("eu-central-1", INSTANCE, "L-AA48CD49", "L-D4BA6F6E", "2027-01-15", "20/s", "2,000", "30 started"):
        assert part in text
    assert "5/s declared (service-quotas L-AA48CD49)" in text
    assert "not declared" in text
    assert "Do not send" not in text


def test_what_is_not_known_is_left_to_fill_in(make_run: MakeRun) -> None:
    """Wanted values and dates that nobody gave are marked, and a run against the emulator is no evidence."""
    text = request(make_run())
    assert text.count("[fill in]") == 4
    assert "Do not send this yet" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--request", "--by", "soon"],
        ["--want-tps", "20"],
        ["--from-plan", "plan"],
        ["--request", "--from-plan", "no-plan"],
    ],
)
def test_a_bad_request_is_refused(make_run: MakeRun, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A date that is none, and wanted values without --request, are usage errors."""
    assert main(["report", str(make_run()), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_request_has_the_expected_chats_of_a_plan(make_run: MakeRun, tmp_path: Path) -> None:
    """Contact volume, busiest hour and mean length come from plan.json, in one line."""
    plan = tmp_path / "plan"
    assert main(["plan", "--arrivals", "2/s", "--length", "8m", "--out", str(plan)]) == 0
    text = request(make_run(target=LIVE), "--from-plan", str(plan))
    assert "172,800 chats a day are expected; the busiest hour has 7,200 (2 a second); a mean chat lasts 8 min" in text


def test_the_busiest_hour_is_counted_over_an_hour(make_run: MakeRun, tmp_path: Path) -> None:
    """A peak of five minutes is not taken for an hour of it: no hour has more chats than the day."""
    day, plan = tmp_path / "day.csv", tmp_path / "plan"
    day.write_text("time,arrivals\n08:00,200\n08:30,3000\n08:35,200\n12:00,500\n18:00,0\n")
    assert main(["plan", "--arrivals", str(day), "--length", "8m", "--out", str(plan)]) == 0
    text = request(make_run(target=LIVE), "--from-plan", str(plan))
    assert "3,900 chats a day are expected" in text
    assert "the busiest hour from 08:00 on has 3,224 (10 a second at the busiest moment, 08:30)" in text
    told = json.loads((plan / "plan.json").read_text())
    del told["arrivals"]["busiest_hour"], told["arrivals"]["busiest_hour_at"]
    (plan / "plan.json").write_text(json.dumps(told))
    assert "the busiest hour has 3,900 (" in request(make_run(target=LIVE), "--from-plan", str(plan))


def test_alarms_for_the_instance_are_valid_in_both_forms(make_run: MakeRun) -> None:
    """Each alarm watches the share of the instance's active chats, at 60 and 80 %."""
    text = request(make_run(target=LIVE))
    template = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert template
    resources = yaml.safe_load(template[1])["Resources"]
    assert [each["Properties"]["Threshold"] for each in resources.values()] == [60, 80]
    dimensions = resources["ActiveChats80"]["Properties"]["Dimensions"]
    assert {"Name": "InstanceId", "Value": INSTANCE} in dimensions
    assert text.count('resource "aws_cloudwatch_metric_alarm"') == 2
    assert text.count(f'InstanceId = "{INSTANCE}"') == 2


def test_hostile_instance_id_does_not_reach_the_alarms(make_run: MakeRun) -> None:
    """An id that is no id is left to fill in."""
    text = request(make_run(target={**LIVE, "instance_id": 'x" }\n evil'}))
    assert "evil" not in text[text.index("## Alarms") :]
    assert 'InstanceId = "INSTANCE_ID"' in text


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"arrivals": 1}', b"\xff", b"[" * 100_000])
def test_a_plan_of_no_use_is_one_line(
    make_run: MakeRun, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the file holds, exit code 2 and one line."""
    plan = tmp_path / "plan.json"
    plan.write_bytes(content)
    assert main(["report", str(make_run()), "--request", "--from-plan", str(plan)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
