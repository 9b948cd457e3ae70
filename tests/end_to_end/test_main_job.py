"""The main job, end to end: real locust processes against a service that keeps its own count, and the demonstration."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.counting import counting_server

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ("started", "tps_throttled", "active_chat_limit")


def locust(*arguments: str, cwd: Path = ROOT, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run locust headless as a user would."""
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(ROOT / "locustfile.py"),
        "--headless",
        "--only-summary",
        *arguments,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def emulator() -> Iterator[str]:
    """The endpoint of an emulator that was started by hand."""
    command = [sys.executable, "-m", "harness", "emulator", "--lifeline"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["endpoint"]
        process.communicate(timeout=10)  # closes its standard input, which ends it


@pytest.mark.parametrize(
    ("throttle_form", "quota_form", "faults"),
    [
        ("header_url", "header", 0.1),
        pytest.param("type_namespace", "type", 0.0, marks=pytest.mark.slow),
        pytest.param("throttling_400", "service_quota", 0.1, marks=pytest.mark.slow),
    ],
)
def test_counts_equal_those_of_the_service(tmp_path: Path, throttle_form: str, quota_form: str, faults: float) -> None:
    """Starts and both refusals are counted as the service counts them, to the last call, and no chat is left open."""
    limits = ("--rate", "20", "--burst", "12", "--active-chats", "30", "--faults", str(faults))
    with counting_server(*limits, "--throttle-form", throttle_form, "--quota-form", quota_form) as service:
        done = locust(
            *("StartChat", "-u", "50", "-r", "50", "-t", "4s", "--hold", "1m"),
            *("--host", service.endpoint, "--run-dir", str(tmp_path / "run")),
        )
        counted = service.count()
    rows = pq.read_table(tmp_path / "run" / "samples").to_pylist()
    seen = Counter(row["outcome"] for row in rows if row["operation"] == "StartChatContact")

    assert {name: seen[name] for name in LIMITS} == {name: counted[name] for name in LIMITS}, done.stderr
    assert min(seen[name] for name in LIMITS) > 0
    assert counted["open"] == 0
    assert counted["duplicates"] == 0  # one call is one attempt: no ClientToken came twice
    assert (seen["service_error"] > 0) == (faults > 0)


@pytest.mark.slow
def test_refusing_target_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """A service that refuses every call for a reason that is not a quota ends the run with exit code 3 and what to do."""
    with emulator() as endpoint:
        done = locust(
            *("StartChat", "-u", "20", "-r", "20", "-t", "20s", "--host", endpoint),
            *("--instance-id", "99999999-9999-4999-8999-999999999999", "--run-dir", str(tmp_path / "run")),
        )
    complaints = [line for line in done.stderr.splitlines() if "the target refuses every call" in line]
    assert done.returncode == 3, done.stderr
    assert len(complaints) == 1
    assert "--instance-id" in complaints[0]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_unreachable_host_is_one_line_and_exit_code_3() -> None:
    """A host where nothing listens is refused before any load, in one line that names the option."""
    done = locust("StartChat", "--host", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert "cannot reach http://127.0.0.1:1" in done.stderr
    assert "--host" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--hold", "banana"), "--hold 'banana'"),
        (("--host", "https://connect.us-east-1.amazonaws.com"), "give --live"),
        (("--emulator", "rate=abc"), "--emulator: rate=abc"),
    ],
)
def test_wrong_option_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    """A wrong option is said in one line with what to do, exit code 2, and no traceback."""
    done = locust("StartChat", *arguments)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "/INFO/" not in line]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.slow
def test_workload_that_breaks_a_limit_is_refused(tmp_path: Path) -> None:
    """A workload over a limit of the API is refused before the first call, naming the kind, the key and the limit."""
    workload = tmp_path / "mix.toml"
    workload.write_text('[[kind]]\nname = "long"\nduration_minutes = 59\n')
    done = locust("StartChat", "--workload", str(workload))
    assert done.returncode == 2
    assert "kind 'long': duration_minutes 59: 60 to 10,080 allowed" in done.stderr


def test_demonstration_meets_both_limits_and_explains_them(tmp_path: Path) -> None:
    """`make run`'s command meets both limits, leaves nothing open, and writes a report that names the first limit."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "harness", "demo", "--run-dir", str(run)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    capacity = json.loads((run / "capacity.json").read_text())
    assert capacity["first_limit"] == "tps"
    assert min(capacity["outcomes"][name] for name in LIMITS) > 0
    assert capacity["chats"]["left_open"] == 0
    assert capacity["active_chats"]["estimate"] == 50
    assert capacity["tps"]["burst"] == {"estimate": 8, "low": 8, "high": 8}
    assert capacity["tps"]["class"] == "exact_within_jitter"
    assert "http" not in "".join(
        line for line in (run / "report.html").read_text().splitlines() if "<script src" in line or "<link" in line
    )
    assert "report.html" in done.stdout


@pytest.mark.slow
def test_no_server_is_left_after_a_run(tmp_path: Path) -> None:
    """The embedded emulator ends with its run."""
    done = locust("StartChat", "-u", "5", "-r", "5", "-t", "2s", "--run-dir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    endpoint = json.loads((tmp_path / "run" / "run.json").read_text())["target"]["endpoint"]
    again = locust("StartChat", "--host", endpoint)
    assert again.returncode == 3


GATES = """
[[gate]]
metric = "outcomes.tps_throttled"
max = 0
abort = {abort}
after = 10
"""


@pytest.mark.parametrize(("abort", "ended_by"), [("true", "gate"), ("false", "run_time")])
@pytest.mark.slow
def test_breached_gate_makes_the_exit_code_1(tmp_path: Path, abort: str, ended_by: str) -> None:
    """A gate is judged at the end of the run, or ends it early where it says so; either way the exit code is 1."""
    gates = tmp_path / "gates.toml"
    gates.write_text(GATES.format(abort=abort))
    seconds = "60s" if abort == "true" else "4s"
    done = locust(
        *(
            "StartChat",
            "-u",
            "30",
            "-r",
            "30",
            "-t",
            seconds,
            "--gates",
            str(gates),
            "--run-dir",
            str(tmp_path / "run"),
        ),
    )
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (done.returncode, manifest["exit_code"], manifest["ended_by"]) == (1, 1, ended_by), done.stderr
    assert (tmp_path / "run" / "capacity.json").exists()


@pytest.mark.slow
def test_misspelt_gate_is_refused_before_the_run(tmp_path: Path) -> None:
    """A gate on a metric that is not there is refused before anything starts, with the metrics there are."""
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nmetric = "outcomes.tps_throtled"\nmax = 1\n')
    done = locust("StartChat", "--gates", str(gates))
    assert done.returncode == 2
    assert "did you mean 'outcomes.tps_throttled'" in done.stderr
