"""The npm packages that the tests of JavaScript clients use, installed as their lock file says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node() -> str:
    """Node with the locked packages; absent only off CI, where the test is skipped."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to have Node: the emulator is not shown to work with chatjs without it")
        pytest.skip("Node and npm are not installed; chatjs and AWS SDK for JavaScript cannot run")
    installed = HERE / "node_modules" / ".package-lock.json"
    lock = HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=HERE, check=True, timeout=100)
        installed.touch()
    return program
