"""What a report writes and deletes in a run directory, and what it leaves alone."""

import os
from pathlib import Path

import pytest

from harness.errors import UsageError
from reports.build import write
from reports.figures.picture import FIGURES, Picture
from reports.run.files import replace


def drawn(name: str) -> Picture:
    """A picture of the given name."""
    return Picture(name, "title", "sentence", "alternative", "<svg></svg>", b"png")


def test_only_figures_that_a_report_draws_are_deleted(tmp_path: Path) -> None:
    """An older report's figures go, and somebody's own pictures in the same folder stay."""
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("holiday.png", "mine.svg", f"{FIGURES[0]}.png", f"{FIGURES[0]}.svg"):
        (folder / name).write_text("old")
    write(tmp_path, {"report.md": "text"}, [drawn(FIGURES[1])])
    found = {file.name for file in folder.iterdir()}
    assert found == {"holiday.png", "mine.svg", f"{FIGURES[1]}.png", f"{FIGURES[1]}.svg"}


@pytest.mark.parametrize("kind", ["link", "file"])
def test_figures_that_lead_elsewhere_are_refused(tmp_path: Path, kind: str) -> None:
    """A link or a file in place of the folder is refused in one line, and nothing elsewhere is touched."""
    elsewhere, run = tmp_path / "pictures", tmp_path / "run"
    elsewhere.mkdir()
    run.mkdir()
    (elsewhere / f"{FIGURES[0]}.png").write_text("mine")
    if kind == "link":
        (run / "figures").symlink_to(elsewhere)
    else:
        (run / "figures").write_text("")
    with pytest.raises(UsageError, match=r"remove it, and make the report again$"):
        write(run, {}, [drawn(FIGURES[0])])
    assert [file.read_text() for file in elsewhere.iterdir()] == ["mine"]


def test_a_file_that_cannot_be_written_is_named_by_its_own_name(tmp_path: Path) -> None:
    """An error tells the file that was to be written, not the one beside it that takes its place."""
    with pytest.raises(OSError, match="No such file or directory") as error:
        replace(tmp_path / "nowhere" / "junit.xml", "text")
    assert error.value.filename == str(tmp_path / "nowhere" / "junit.xml")


def test_what_the_user_keeps_from_others_stays_so(tmp_path: Path) -> None:
    """A report names account and instance: with a umask of 077 nobody else may read it."""
    before = os.umask(0o077)
    try:
        replace(tmp_path / "report.md", "text")
    finally:
        os.umask(before)
    replace(tmp_path / "open.md", "text")
    assert (tmp_path / "report.md").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "open.md").stat().st_mode & 0o777 == 0o644 & ~before
