"""The walls between the rooms, where the import linter cannot see them: at run time, and for rooms added later."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def modules_loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    script = f"import sys\n{code}\nprint('\\n'.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_report_command_loads_no_load_generator() -> None:
    """Making a report needs neither Locust nor gevent nor an AWS SDK."""
    loaded = modules_loaded_by("import reports.build, reports.commands")
    assert not loaded & {"locust", "gevent", "boto3", "botocore"}


def test_a_local_run_loads_what_it_needs_alone() -> None:
    """What a run in one process is made of loads neither the SDK and the tables of a live one nor the page."""
    loaded = modules_loaded_by("import harness.plugin.run_hooks, harness.load.run.local")
    assert not loaded & {"boto3", "botocore", "rich", "pandas", "scipy"}


def test_load_generator_loads_no_report_packages() -> None:
    """A process that generates load has neither pandas nor matplotlib in it, not even after writing samples."""
    loaded = modules_loaded_by(
        "import locustfile, tempfile, pathlib\n"
        "from harness.recording.journal import Journal\n"
        "from harness.recording.format.schema import Sample, to_batch\n"
        "journal = Journal(pathlib.Path(tempfile.mkdtemp()), 'local')\n"
        "journal.append(to_batch([Sample('StartChatContact', 0.0, 0.0, 0.0, 'started')]))\n"
        "journal.close()\n"
    )
    assert not loaded & {"pandas", "matplotlib", "reports"}


def test_every_room_of_the_harness_stands_behind_a_wall_to_the_emulator() -> None:
    """A module added to the harness is named in both contracts that keep the emulator apart."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = {f"harness.{path.stem}" for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms -= {"harness.__init__", "harness.__main__", "harness.__pycache__", "harness.emulator"}
    apart = [contract for contract in contracts if "emulator" in contract["name"]]
    assert len(apart) == 2
    for contract in apart:
        assert rooms <= {*contract["source_modules"], *contract["forbidden_modules"]}
