"""Runs `chatquota check` against services that answer as AWS does."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from harness.command import main
from tests.support.scripted_aws import Script, ScriptedAws

INSTANCE = "11111111-2222-3333-4444-555555555555"
SCRIPTED: tuple[str, ...] = ("STS", "IAM", "SERVICE_QUOTAS")
"""The services that the script stands for, besides Amazon Connect."""
Check = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture(scope="module")
def cloudwatch() -> Iterator[str]:
    """A moto server that stands for CloudWatch."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def check(
    cloudwatch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Check]:
    """Runs `chatquota check --json` against a script and returns its exit code and its rows by name."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch)

    (tmp_path / "runs").mkdir()

    def run(script: Script | None = None, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        with ScriptedAws(script or Script()) as aws:
            for service in SCRIPTED:
                monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", aws.url)
            given = ["check", "--json", "--host", aws.url, "--region", "us-east-1", "--instance-id", INSTANCE, "--live"]
            given += ["--participant-host", aws.url]
            given += [
                "--contact-flow-id",
                "flow",
                "--approval",
                "case 1",
                "--any-hour",
                "--runs",
                str(tmp_path / "runs"),
            ]
            code = main([*given, "--max-chats", "700", "-t", "5m", *arguments])
        document = json.loads(capsys.readouterr().out)
        return code, {row["check"]: row for row in document["rows"]}

    yield run
    urllib.request.urlopen(urllib.request.Request(f"{cloudwatch}/moto-api/reset", method="POST"), timeout=10).close()
