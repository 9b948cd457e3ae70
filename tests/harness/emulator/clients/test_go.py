"""The emulator against AWS SDK for Go v2 and gorilla/websocket, as Debian packages them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.emulator.support import running

HERE = Path(__file__).parent
PACKAGES = Path("/usr/share/gocode")
NEEDED = ("aws/aws-sdk-go-v2/service/connectparticipant", "gorilla/websocket")


@pytest.fixture(scope="module")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program of go/chat.go."""
    program = shutil.which("go")
    if program is None or not all((PACKAGES / "src/github.com" / name).is_dir() for name in NEEDED):
        wanted = "golang-go golang-github-aws-aws-sdk-go-v2-dev golang-github-gorilla-websocket-dev"
        pytest.skip(f"Go and AWS SDK for Go v2 are not installed (apt-get install {wanted})")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(PACKAGES), "GOFLAGS": "", "GOCACHE": str(folder)}
    command = [program, "build", "-o", str(folder / "chat"), str(HERE / "go" / "chat.go")]
    subprocess.run(command, env=environment, check=True, timeout=280)
    return folder / "chat"


@pytest.mark.slow
@pytest.mark.timeout(330)
def test_go_customer_holds_a_whole_chat_and_is_told_each_refusal_by_type(customer: Path) -> None:
    """A customer on AWS SDK for Go v2 is greeted, gets an agent, pages through the transcript and leaves."""
    flow = HERE / "conversation.toml"
    with running(f"flow={flow},active_chats=2,rate=0.001,burst=9") as emulator:
        command = [str(customer), json.dumps(emulator.where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["greeting"]["Content"] == "Welcome"
    assert (seen["own"]["Content"], seen["own"]["DisplayName"]) == ("**An agent**, please: 你好", "Grüße")
    assert (seen["answer"]["Content"], seen["answer"]["DisplayName"]) == ("Ann here", "Ann")
    joined = "participant.joined"
    assert (seen["pages"], seen["kinds"]) == (3, [joined, "text/plain", "text/markdown", joined, "text/plain"])
    assert seen["disconnected"]
    assert seen["refusals"] == {
        "unknown flow": "ResourceNotFoundException true",
        "invalid": "InvalidParameterException true",
        "unknown contact": "ContactNotFoundException true",
        "quota": "LimitExceededException true",
        "throttle": "TooManyRequestsException",  # the model of StartChatContact declares no type for it
        "ended chat": "AccessDeniedException true",
    }
