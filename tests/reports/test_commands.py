"""Command lines of `report`, `plan` and `compare` whose options contradict each other, or hold no such value."""

import pytest

from harness.command import main
from tests.reports.conftest import MakeRun

PLAN = ("plan", "--arrivals", "4/s", "--length", "8m")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "run", "--summary", "--gates", "g.toml"), "leave it or --gates out"),
        (("report", "run", "--summary", "--request"), "leave it or --request out"),
        (("report", "run", "--summary", "--baseline", "old"), "leave it or --baseline out"),
        (("report", "run", "--summary", "--quiet"), "leave it or --quiet out"),
        (("report", "run", "--junit", "j.xml"), "--junit belongs to --gates; add it"),
        (("report", "run", "--by", ""), "belong to --request; add it"),
        (("report", "run", "--request", "--want-tps", "0"), "'0' is not a number over zero"),
        (("report", "run", "--request", "--want-tps", "nan"), "'nan' is not a number over zero"),
        (("report", "run", "--request", "--want-active-chats", "-5"), "'-5' is not a whole number over zero"),
        ((*PLAN, "--seed", "-1"), "'-1' is not a whole number from 0"),
        ((*PLAN, "--seed", "1e3"), "'1e3' is not a whole number from 0"),
        ((*PLAN, "--margin", "101%"), "'101%' is not a share from 0 to 1"),
        (("compare", "a", "b", "--tolerance", "nan"), "'nan' is not a share from 0 to 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_is_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what is wrong and ends with exit code 2: no option is without effect in silence."""
    try:
        code = main(list(arguments))
    except SystemExit as leaving:
        code = int(str(leaving.code))
    told = capsys.readouterr().err
    assert code == 2
    assert said in told
    assert told.count("\n") == 1


def test_a_plan_may_go_without_a_margin(capsys: pytest.CaptureFixture[str]) -> None:
    """`--margin 0` asks for exactly what is needed."""
    assert main([*PLAN, "--margin", "0"]) == 0
    assert "safety margin 0%" in capsys.readouterr().out.replace("\n", " ")


def test_a_reason_is_told_once(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost sample is a reason of the run's own record and one that the report finds: one reason in both cases."""
    generator = {"valid": False, "samples_lost": 1, "reasons": ["1 sample was lost"]}
    assert main(["report", str(make_run(generator=generator)), "--summary"]) == 0
    assert capsys.readouterr().out.count("1 sample was lost") == 1


def test_no_number_is_cut_on_a_narrow_terminal(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of the terminal folds what it has no room for."""
    monkeypatch.setenv("COLUMNS", "32")
    assert main(["report", str(make_run()), "--summary"]) == 0
    assert "…" not in capsys.readouterr().out
