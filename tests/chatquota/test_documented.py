"""The page `Test your own chat application`: its code, followed as a reader would, works."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.emulator.clients.conftest import HERE as NODE
from tests.harness.emulator.clients.conftest import node

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"```(?:python|js)\n(?:#|//) file: (\S+)\n(.*?)```", re.DOTALL)

__all__ = ["node"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the page's files and its pytest configuration, and chatquota's plugin as installed."""
    page = (ROOT / "docs" / "test-your-chat-app.md").read_text("utf-8")
    for name, code in _FILE.findall(page):
        (tmp_path / name).write_text(code)
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(toml)
    info = tmp_path / "site" / "chatquota_of_the_page-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatquota-of-the-page\nVersion: 0\n")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    (info / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
    )
    return tmp_path


def run(project: Path, *command: str, **variables: str) -> str:
    """What a command of the reader prints; it must end with exit code 0."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST", "COV"))}
    path = f"{project / 'site'}{os.pathsep}{ROOT}"
    done = subprocess.run(
        command,
        cwd=project,
        env={**environment, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_pytest_of_a_reader_passes(project: Path) -> None:
    """The page's tests pass in a plain pytest process that finds the plugin by its entry point."""
    said = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers")
    assert "6 passed" in said


@pytest.mark.slow
def test_with_block_of_a_reader_runs(project: Path) -> None:
    """The page's script prints what the flow said."""
    assert run(project, sys.executable, "with_block.py") == "['Welcome']\n"


def test_node_test_of_a_reader_passes(project: Path, node: str) -> None:
    """The page's Node tests pass with the helper whose path the command prints."""
    program = project / "bin" / "chatquota"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    program.chmod(0o755)
    said = run(
        project,
        node,
        "--test",
        "support-chat.test.js",
        PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        NODE_PATH=str(NODE / "node_modules"),
    )
    assert "# pass 2" in said or "ℹ pass 2" in said
