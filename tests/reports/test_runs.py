"""`chatquota runs` tells what became of each run: also of those that were killed, are going on, or cannot be read."""

from pathlib import Path

import orjson
import pytest

from harness.command import main
from harness.recording.lock import RunLock


def make_run(path: Path, status: str, left: list[str], **changes: object) -> Path:
    """Make the directory of a run whose ledger has the chats `left` as open."""
    (path / "samples").mkdir(parents=True)
    lines: list[dict[str, object]] = [{"ledger": 1, "worker": "local", "run_id": path.name}]
    lines += [{"event": "started", "at": 1.0, "contact_id": contact} for contact in left]
    (path / "contacts.local.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    record = {"schema": 1, "run_id": path.name, "user_class": "StartChat", "status": status, "started_at": 1.8e9}
    (path / "run.json").write_bytes(orjson.dumps({**record, **changes}))
    return path


def listed(directory: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The line of each run below `directory` by the run's name; "" has the last line."""
    assert main(["runs", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0].rpartition("/")[2]: line for line in lines[1:]} | {"": lines[-1]}


def test_a_killed_run_is_told_from_one_that_is_going_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both records say "running"; one whose process has gone is told with the chats that it left, and what stops them."""
    make_run(tmp_path / "killed", "running", ["a", "b"])
    going_on = make_run(tmp_path / "going-on", "running", ["c"])
    lock = RunLock(going_on)
    rows = listed(tmp_path, capsys)
    lock.release()
    assert "killed, 2 chats open" in rows["killed"]
    assert " running " in rows["going-on"]
    assert rows[""] == "`chatquota cleanup RUN` stops what a run left open"


def test_chats_that_an_ended_run_left_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was interrupted twice has an exit code and open chats."""
    make_run(tmp_path / "hasty", "finished", ["a"], exit_code=5, chats={"started": 1, "left_open": 1})
    assert "exit code 5, 1 chat open" in listed(tmp_path, capsys)["hasty"]


def test_a_run_whose_record_is_gone_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read may have chats open: it is in the list, with the reason, and other directories are not."""
    (make_run(tmp_path / "torn", "running", []) / "run.json").write_text("{")
    (make_run(tmp_path / "bare", "running", []) / "run.json").unlink()
    (tmp_path / "notes").mkdir()
    rows = listed(tmp_path, capsys)
    assert "run.json cannot be read" in rows["torn"]
    assert "run.json is missing" in rows["bare"]
    assert "notes" not in rows


@pytest.mark.parametrize("width", ["40", "80"])
def test_on_a_narrow_terminal_a_run_is_one_line(
    width: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal goes on in its next line; cells are not folded to a few characters, nor left out."""
    make_run(tmp_path / "a-run", "finished", [], generator={"valid": True})
    monkeypatch.setenv("FORCE_COLOR", "1")  # what the list takes for a terminal
    monkeypatch.setenv("COLUMNS", width)
    assert main(["runs", str(tmp_path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "a-run" in line)
    assert "StartChat" in row
    assert "UTC" in row
    assert "no report yet" in row
