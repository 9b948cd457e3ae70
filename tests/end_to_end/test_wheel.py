"""The built wheel, installed into an environment of its own, does the main job from any directory."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.locust_runs import processes

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "node_modules")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def said_by(command: list[str], cwd: Path) -> str:
    """What a command prints; it must end with exit code 0."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of this source tree."""
    place = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, place / "source", ignore=LEFT_OUT)
    said_by([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), "source"], place)
    return place / "dist"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel; its dependencies are those that the tests run with."""
    place = tmp_path_factory.mktemp("venv")
    said_by([sys.executable, "-m", "venv", "--without-pip", "venv"], place)
    (wheel,) = built.glob("*.whl")
    python = place / "venv" / "bin" / "python"
    said_by(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], place
    )
    spec = find_spec("locust")
    assert spec is not None
    assert spec.origin is not None
    site = next((place / "venv").glob("lib/python*/site-packages"))
    # A .pth within a directory that is added this way is not followed: no editable install can stand in for the wheel.
    (site / "dependencies.pth").write_text(str(Path(spec.origin).parents[1]))
    return python.parent


def test_wheel_and_sdist_hold_what_they_need(built: Path) -> None:
    """Wheel: locustfile, starter files, page, schema, marks of the types. Sdist: source, licence."""
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in ("chatquota", "harness", "reports")} <= names
    assert {"chatquota/locustfile.py", "harness/cli/starter/locust.conf", "harness/cli/starter/day.csv"} <= names
    assert {"harness/load/workload/builtin.toml", "reports/page/templates/report.html.j2"} <= names
    assert "chatquota/node/emulator.js" in names
    assert not {name for name in names if name.startswith(("tests", "benchmarks", "locustfile"))}
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "chatquota/locustfile.py"} <= inside


def test_code_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    """What runs is the installed code and not the checkout's."""
    code = "import harness, reports; print(harness.__file__, reports.__file__)"
    for path in said_by([str(installed / "python"), "-c", code], tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)


def test_main_job_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """`chatquota demo` in an empty directory meets the TPS limit and writes the report."""
    said = said_by([str(installed / "chatquota"), "demo", "--seconds", "12", "--run-dir", "out"], tmp_path)
    answer = json.loads((tmp_path / "out" / "capacity.json").read_bytes())
    assert answer["outcomes"]["tps_throttled"] > 0
    assert "TPS limit" in said
    assert (tmp_path / "out" / "report.html").exists()


def test_new_directory_runs_with_processes(installed: Path, tmp_path: Path) -> None:
    """`chatquota init`, then `chatquota run --processes 2` there, ends with gates that passed."""
    said_by([str(installed / "chatquota"), "init"], tmp_path)
    command = [str(installed / "chatquota"), "run", "BusyHour", "--headless", *processes(2), "-t", "4s"]
    assert "the generator kept up" in said_by([*command, "--run-dir", "out"], tmp_path)
    assert json.loads((tmp_path / "out" / "run.json").read_bytes())["status"] == "finished"
