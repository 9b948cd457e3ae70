"""`chatquota run` from directories that are no checkout, in processes of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.run import packaged_locustfile, run_help
from harness.load.options.reading import OPTIONS

ROOT = Path(__file__).parents[3]


def run(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`chatquota run` with arguments, in a directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "CHATQUOTA_"))}
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from harness.command import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, "run", *arguments],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def run_directories(cwd: Path) -> list[Path]:
    """The run directories below the one that a command ran in."""
    return list((cwd / "runs").iterdir())


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A user's directory with packages that have the names of ours, and fail when they are imported."""
    for name in ("harness", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the user has a {name} package')\n")
    return tmp_path


def test_help_names_every_option_with_its_default() -> None:
    """The help of the command has each option of the harness, its default, and where Locust's are."""
    text = " ".join(run_help().split())
    for each in OPTIONS:
        assert each.flag in text
        assert f"(default: {' '.join(each.shown_default.split())})" in text
    assert "locust --help" in text


@pytest.mark.slow
def test_packages_of_the_user_with_our_names_do_no_harm(crowded: Path) -> None:
    """A run beside ./harness and ./reports packages is done, recorded, and told in the short table."""
    (crowded / "mine.py").write_text(
        "from chatquota import StartChat\n\n\nclass Mine(StartChat):\n    '''One of the user's own.'''\n"
    )
    done = run(crowded, "-f", "mine.py", "Mine", "--headless", "-u", "5", "-r", "5", "-t", "2s")
    assert done.returncode == 0, done.stderr
    (directory,) = run_directories(crowded)
    assert directory.name.endswith("-mine")
    assert re.search(r"started +\d", done.stderr), done.stderr
    assert done.stderr.rstrip().endswith("makes the report.")


def test_plain_locust_finds_our_packages_too(crowded: Path) -> None:
    """Where plain Locust loads a locustfile that imports chatquota, ours are found before the user's."""
    (crowded / "locustfile.py").write_text("from chatquota import StartChat, QuotaProbe\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "locust", "--list"],
        cwd=crowded,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["Available", "Users:", "StartChat", "QuotaProbe"], done.stderr


def test_reports_of_the_user_can_be_imported(tmp_path: Path) -> None:
    """A locustfile's own `reports` package is the one that it imports."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("OWNER = 'the user'\n")
    (tmp_path / "mine.py").write_text(
        "from chatquota import StartChat\nfrom reports import OWNER\nassert OWNER == 'the user'\n"
    )
    done = run(tmp_path, "-f", "mine.py", "--list")
    assert "StartChat" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(("StartChta", "--headless"), "StartChat"), (("--headless", "--max-caht", "5"), "--max-chats")],
)
def test_misspelt_names_are_refused_with_what_was_meant(tmp_path: Path, arguments: tuple[str, ...], meant: str) -> None:
    """A user class or an option that is not there ends with exit code 2 and the one that was meant; nothing is recorded."""
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "did you mean" in done.stderr.lower()
    assert meant in done.stderr
    assert not (tmp_path / "runs").exists()


def test_packaged_locustfile_is_beside_the_package() -> None:
    """The locustfile that `chatquota run` loads is installed with the package."""
    assert packaged_locustfile().read_text("utf-8").startswith('"""What `chatquota run` loads')


def test_a_configuration_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """PowerShell's `>` writes UTF-16: the file is named, with what to do, and no traceback."""
    (tmp_path / "locust.conf").write_bytes("users = 5\n".encode("utf-16"))
    done = run(tmp_path, "StartChat", "--headless", "-t", "1s")
    assert done.returncode == 2
    assert done.stderr == "chatquota run: locust.conf: not text in UTF-8 (invalid start byte); save it as UTF-8\n"
