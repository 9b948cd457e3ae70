"""When chats ended that somebody else ended, read from the ledger."""

from pathlib import Path

import pytest

from harness.recording.ledger import ALREADY_ENDED, STOPPED, Ledger
from reports.run.rundir import read_run
from reports.run.told_ends import told_ends

SERVICE_AHEAD = 90.0
"""Seconds that the service's clock is ahead of ours."""


def run_with(directory: Path, lives: list[tuple[str, float, float, float, float]]) -> Path:
    """A run that was killed, with a ledger of (contact, start answered, noticed, service begun, service ended)."""
    (directory / "samples").mkdir()
    ledger = Ledger(directory, "local", {"run_id": "r"})
    for contact, started, noticed, begun, ended in lives:
        ledger.started(contact, started)
        ledger.ended(contact, noticed, ALREADY_ENDED)
        ledger.ended(contact, noticed, ALREADY_ENDED, "EXPIRED", (begun, ended))
    ledger.close()
    return directory


def test_an_end_is_placed_by_the_age_of_the_chat_whatever_the_services_clock_says(tmp_path: Path) -> None:
    """Two chats that lived 300.25 s on a clock that is 90 s ahead ended 300.25 s after their starts."""
    lives = [
        (name, at, 900.0, at + SERVICE_AHEAD, at + SERVICE_AHEAD + 300.25) for name, at in (("a", 10.0), ("b", 20.5))
    ]
    ends = told_ends(read_run(run_with(tmp_path, lives)))
    assert {name: end.at for name, end in ends.items()} == {"a": 310.25, "b": 320.75}
    assert {end.noticed for end in ends.values()} == {900.0}


def test_whole_seconds_are_taken_as_a_second_late(tmp_path: Path) -> None:
    """A service that tells whole seconds may be a second off: the end is put at the latest moment that it can have been."""
    ends = told_ends(read_run(run_with(tmp_path, [("a", 10.4, 900.0, 100.0, 400.0)])))
    assert ends["a"].at == pytest.approx(311.4)


def test_an_end_after_it_was_noticed_is_not_believed(tmp_path: Path) -> None:
    """A chat that was found ended at 50 s did not live for 300 s."""
    assert told_ends(read_run(run_with(tmp_path, [("a", 10.0, 50.0, 100.5, 400.5)]))) == {}


def test_a_clock_that_runs_faster_than_ours_tells_nothing(tmp_path: Path) -> None:
    """An emulator whose hours are minutes: ages by its clock are no ages by ours."""
    lives = [(name, at, 900.0, 60 * at, 60 * at + 300.0) for name, at in (("a", 10.0), ("b", 20.0))]
    assert told_ends(read_run(run_with(tmp_path, lives))) == {}


def test_a_chat_that_we_stopped_has_no_such_end(tmp_path: Path) -> None:
    """Only what was found ended is looked for, and what nobody told the end of is left out."""
    (tmp_path / "samples").mkdir()
    ledger = Ledger(tmp_path, "local", {"run_id": "r"})
    for contact, how in (("a", STOPPED), ("b", ALREADY_ENDED)):
        ledger.started(contact, 1.0)
        ledger.ended(contact, 5.0, how)
    ledger.close()
    assert told_ends(read_run(tmp_path)) == {}
