"""The CI workflow in docs/gates.md: its commands are run as a step would run them."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.gates import parse_gates

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "gates.md").read_text("utf-8")


def block(language: str) -> str:
    """The first block of the given language in the page."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def steps() -> dict[str, str]:
    """The workflow's commands by the names of their steps."""
    workflow: dict[str, Any] = yaml.safe_load(block("yaml"))
    (job,) = workflow["jobs"].values()
    return {step["name"]: step["run"].strip() for step in job["steps"] if "run" in step}


def test_the_documented_gates_are_valid() -> None:
    """The gates file that the page shows is one."""
    assert len(parse_gates(tomllib.loads(block("toml")))) == 4


def test_the_workflow_installs_what_the_makefile_has() -> None:
    """The target that the install step makes is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text()
    assert steps()["Install"].splitlines()[0] == "make install"
    assert "\ninstall:" in makefile


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_workflows_commands_run(tmp_path: Path) -> None:
    """Check, load and report end with exit code 0, the gates pass, and the step summary holds the report.

    The load lasts three seconds instead of twenty.
    """
    (tmp_path / "gates.toml").write_text(block("toml"))
    (tmp_path / "locustfile.py").write_text((ROOT / "locustfile.py").read_text())
    summary = tmp_path / "summary.md"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    for name, command in steps().items():
        if name == "Install":
            continue
        quick = command.replace("-t 20s", "-t 3s").replace("active_chats=60", "active_chats=15")
        done = subprocess.run(
            shlex.split(quick), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
    suites = ET.parse(tmp_path / "runs" / "ci" / "junit.xml").getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("4", "0")
    assert "Chat capacity" in summary.read_text()
