"""The emulator against a botocore of 2023, in an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.emulator.support import running

HERE = Path(__file__).parent
OLD = "boto3==1.26.165"  # with botocore 1.29.165, of June 2023


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the old boto3; skipped where no package index has it."""
    folder = tmp_path_factory.mktemp("old-botocore")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=100)
    program = folder / "bin" / "python"
    command = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", OLD, "websocket-client"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        pytest.skip(f"{OLD} cannot be installed: {done.stderr.strip()[-300:]}")
    return program


@pytest.mark.slow
@pytest.mark.timeout(370)
def test_customer_on_an_old_botocore_holds_a_whole_chat(python: Path) -> None:
    """A boto3 of 2023 starts, connects, talks, reads, leaves, and raises each refusal under its documented name."""
    flow = HERE / "conversation.toml"
    with running(f"flow={flow},active_chats=2,rate=0.001,burst=9") as emulator:
        command = [str(python), str(HERE / "old_botocore" / "chat.py"), json.dumps(emulator.where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "version": "1.29.165",
        "greeting": "Welcome",
        "answer": "Ann",
        "said": ["Welcome", "**An agent**, please", "Ann here"],
        "disconnected": True,
        "refusals": {
            "quota": "typed LimitExceededException",
            "unknown flow": "ResourceNotFoundException",
            "throttle": "TooManyRequestsException",
        },
    }
