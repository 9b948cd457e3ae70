"""`chatquota init`: the files that it writes are a load test."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.cli.init import FILES, main
from harness.errors import UsageError
from harness.gates import parse_gates
from harness.load.options.load_profile import parse_curve
from harness.load.workload.toml import load_workload

ROOT = Path(__file__).parents[3]


def test_what_it_writes_is_valid_and_commented(tmp_path: Path) -> None:
    """Workload, gates and day file pass the checks of a run, and each file but the table says what it is for."""
    assert main([str(tmp_path / "new")]) == 0
    directory = tmp_path / "new"
    assert {path.name for path in directory.iterdir()} == set(FILES)
    assert len(load_workload(str(directory / "workload.toml")).kinds) == 2
    assert len(load_workload(str(directory / "conversations.toml")).conversations) == 2
    assert len(parse_gates(tomllib.loads((directory / "gates.toml").read_text()))) == 3
    assert parse_curve(f"day:{directory / 'day.csv'},96").seconds == 900
    for name in ("locust.conf", "workload.toml", "conversations.toml", "gates.toml"):
        assert (directory / name).read_text().startswith("# ")


@pytest.mark.slow
def test_the_directory_runs(tmp_path: Path) -> None:
    """`chatquota run` in the directory takes its locustfile, its options and its gates."""
    main([str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", "run", "BusyHour", "--headless", "-t", "2s"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the generator kept up" in done.stderr


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    """Nothing is written where one of the files is there already, unless --force is given."""
    (tmp_path / "gates.toml").write_text("# mine\n")
    with pytest.raises(UsageError, match=r"already there: gates\.toml; name another directory, or give --force"):
        main([str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["gates.toml"]
    assert main([str(tmp_path), "--force"]) == 0
    assert (tmp_path / "gates.toml").read_text() != "# mine\n"
