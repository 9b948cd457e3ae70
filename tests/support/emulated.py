"""Runs Locust against an emulator of its own process, whose counts are then asked for."""

import json
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.harness.emulator.support import Running
from tests.support.locust_runs import LOCUST, ROOT, manifest, samples

STOPS_AT_ONCE = "StopContact.rate=500,StopContact.burst=500,DescribeContact.rate=500,DescribeContact.burst=500"
"""For a test that is not about the end of a run, so that it does not wait for it."""


def environment(emulator: Running) -> dict[str, str]:
    """What a process needs to call the emulator."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": emulator.where["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": emulator.where["secret_access_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def command(emulator: Running, user: str, run: Path, *options: str) -> list[str]:
    """A headless Locust that records in `run`."""
    where = emulator.where
    target = ("--host", emulator.endpoint, "--instance-id", where["instance_id"])
    flow = ("--contact-flow-id", where["contact_flow_id"], "--region", where["region"])
    record = ("--run-dir", str(run), "--only-summary", "--stop-rate", "400")
    return [*LOCUST, "--headless", user, *target, *flow, *record, *options]


def load(emulator: Running, user: str, run: Path, *options: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run it to its end, which has one of the exit `codes`, and return the manifest."""
    done = subprocess.run(
        command(emulator, user, run, *options),
        cwd=run.parent,
        env=environment(emulator),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in codes, done.stdout + done.stderr
    return manifest(run)


def ask(emulator: Running, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One of the emulator's own pages."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{emulator.endpoint}/_emulator/{path}", data, timeout=10) as answer:
        said: dict[str, Any] = json.loads(answer.read())
    return said


def outcomes(run: Path) -> dict[str, Counter[str]]:
    """Samples by operation and outcome."""
    counted: dict[str, Counter[str]] = {}
    for row in samples(run):
        counted.setdefault(row["operation"], Counter())[row["outcome"]] += 1
    return counted
