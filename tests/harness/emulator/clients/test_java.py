"""The emulator against the JDK's own HTTP client and websocket, with their defaults."""

import shutil
import subprocess
from pathlib import Path

import pytest

from chatquota import emulator

JAVA = shutil.which("java")


@pytest.mark.slow
@pytest.mark.skipif(JAVA is None, reason="Java is not installed")
@pytest.mark.parametrize("latency", ["0", "1ms"])
def test_customer_on_javas_http_client_holds_a_whole_chat(latency: str) -> None:
    """HttpClient, which offers HTTP/2 with every call, connects, subscribes, speaks, hears itself and leaves."""
    assert JAVA is not None
    with emulator(latency=latency) as service:
        token = service.start_chat("Java")["ParticipantToken"]
        command = [JAVA, str(Path(__file__).parent / "java" / "Chat.java"), service.endpoint, token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
        (chat,) = service.chats(state="ended")
        assert chat.said_by("CUSTOMER") == ["Hello from Java"]
