"""Which runs show the short result table in the terminal."""

import argparse

import pytest

from harness.cli.result import ResultPrinter


@pytest.mark.parametrize(
    ("gates", "no_summary", "exit_code", "shown"),
    [
        ("", False, 0, True),
        ("", False, 5, True),
        ("", True, 0, False),
        ("gates.toml", False, 0, False),
        ("gates.toml", False, 1, False),
        ("gates.toml", False, 3, True),
        ("gates.toml", False, 5, True),
        ("gates.toml", True, 5, False),
    ],
)
def test_table_is_shown_unless_it_is_not_wanted_or_came_with_the_gates(
    gates: str, no_summary: bool, exit_code: int, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gates of a run that is not valid are not judged, so nothing has shown its table yet."""
    options = argparse.Namespace(gates=gates, no_summary=no_summary)
    ResultPrinter(lambda directory: f"table of {directory}\n").show(options, "runs/one", exit_code)
    assert ("table of runs/one" in capsys.readouterr().err) is shown


def test_each_run_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A web UI shows a run after Stop and again asks at its own end; a run that could not begin has no directory."""
    options = argparse.Namespace(gates="", no_summary=False)
    printer = ResultPrinter(lambda directory: f"table of {directory}\n")
    for directory in (None, "one", "one", "two", "two"):
        printer.show(options, directory, 0)
    assert capsys.readouterr().err.count("table of") == 2
