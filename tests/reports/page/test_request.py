"""`chatquota report --request`: the text that AWS asks for."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("arguments", [["--request", "--by", "soon"], ["--want-tps", "20"]])
def test_a_bad_request_is_refused(make_run: MakeRun, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A date that is none, and wanted values without --request, are usage errors."""
    assert main(["report", str(make_run()), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
