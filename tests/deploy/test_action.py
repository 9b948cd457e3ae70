"""The GitHub Action: its own commands, run as a runner runs them, make the report and fail where they should."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.locust_runs import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EMULATOR = "rate=5,burst=8,active_chats=60"


def filled(text: str, inputs: dict[str, str]) -> str:
    """An expression's text with the inputs in it; an input that is not declared is a KeyError."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def act(directory: Path, **given: str) -> tuple[int, str]:
    """Run the steps after the installation in `directory` as a runner does: the exit code and all that was printed."""
    inputs = {name: declared["default"] for name, declared in ACTION["inputs"].items()}
    inputs |= {name.replace("_", "-"): value for name, value in given.items()}
    printed = ""
    for step in STEPS:
        if "run" not in step or step["name"] == "Install":
            continue
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(directory / "summary.md"),
            "CHATQUOTA_EMULATOR": EMULATOR,
            **{name: filled(value, inputs) for name, value in step["env"].items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        printed += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, printed
    return 0, printed


def gates(path: Path, most: int) -> str:
    """A file of one gate: at most `most` chats may be started."""
    path.write_text(f'[[gate]]\nname = "few starts"\nmetric = "outcomes.started"\nmax = {most}\n')
    return path.name


def test_no_input_is_put_into_a_script() -> None:
    """Inputs reach a shell as variables: in a script GitHub would paste them before the shell reads it."""
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


def test_every_input_is_used_and_none_is_misspelt() -> None:
    """Each declared input is read by a step, and a step reads no other."""
    used = set(re.findall(r"inputs\.([\w-]+)", yaml.safe_dump(ACTION["runs"])))
    assert used == set(ACTION["inputs"])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_is_judged_compared_and_summarized(tmp_path: Path) -> None:
    """A kept gate and an earlier run of the same kind pass; a breached gate is an annotation, and the job fails."""
    few = {"users": "2", "run_time": "2s"}
    assert act(tmp_path, run_dir="runs/first", **few)[0] == 0
    code, printed = act(
        tmp_path, run_dir="runs/second", gates=gates(tmp_path / "kept.toml", 1000), baseline="runs/first", **few
    )
    assert code == 0, printed
    assert (tmp_path / "runs/second/compare/compare.json").exists()
    assert "few starts" in (tmp_path / "summary.md").read_text()
    code, printed = act(tmp_path, run_dir="runs/third", gates=gates(tmp_path / "breached.toml", 0), **few)
    assert code == 1
    assert "::error title=Gate breached%3A few starts::" in printed


def test_hostile_inputs_are_only_values(tmp_path: Path) -> None:
    """A command in an input is not executed: it is refused as a name, before any load."""
    code, printed = act(tmp_path, user_class='$(touch hacked)"; touch hacked; "', run_time="1s")
    assert code == 2
    assert "no user class" in printed
    assert not (tmp_path / "hacked").exists()
