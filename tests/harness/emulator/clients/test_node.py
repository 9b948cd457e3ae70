"""The emulator against AWS SDK for JavaScript v3 and amazon-connect-chatjs, on Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.emulator.support import running

pytestmark = pytest.mark.slow  # npm fetches the packages first
HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def seen(node: str) -> dict[str, Any]:
    """What a customer on chatjs saw of one whole chat, with a quota of two chats and no refill worth the name."""
    with running("active_chats=2,rate=0.001,burst=9") as emulator:
        command = [node, str(HERE / "conversation.cjs"), json.dumps(emulator.where)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def test_chatjs_hears_its_own_markdown_message_on_the_websocket(seen: dict[str, Any]) -> None:
    """A markdown message that chatjs sends comes back on its websocket, word for word."""
    assert seen["message"]["Content"] == seen["text"]
    assert seen["message"]["Id"] == seen["sent"]["Id"]
    assert seen["message"]["DisplayName"] == "Jürgen"
    assert seen["message"]["ContactId"] == seen["contact"]


def test_chatjs_reads_the_transcript(seen: dict[str, Any]) -> None:
    """GetTranscript gives what was said, and the customer's arrival before it; typing is not kept."""
    kinds = [item["ContentType"] for item in seen["transcript"]]
    assert kinds == ["application/vnd.amazonaws.connect.event.participant.joined", "text/markdown"]


def test_chatjs_sends_and_reads_an_attachment(seen: dict[str, Any]) -> None:
    """A file that chatjs sends is heard as an ATTACHMENT, and chatjs reads it back, byte for byte."""
    assert (seen["attachment"]["AttachmentName"], seen["attachment"]["Status"]) == ("order.txt", "APPROVED")
    assert seen["file"] == "seven!!"


def test_chatjs_is_told_that_its_chat_has_ended(seen: dict[str, Any]) -> None:
    """disconnectParticipant() resolves once the service has pushed chat.ended, and the contact has ended."""
    assert seen["end"] == seen["contact"]
    assert seen["disconnected"]
    assert seen["reason"] == "CUSTOMER_DISCONNECT"


@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [
        ("invalid", "InvalidParameterException", 400),
        ("unknown flow", "ResourceNotFoundException", 404),
        ("unknown contact", "ContactNotFoundException", 410),
        ("quota", "LimitExceededException", 429),
        ("throttle", "TooManyRequestsException", 429),
    ],
)
def test_javascript_sdk_names_each_refusal(seen: dict[str, Any], refusal: str, code: str, status: int) -> None:
    """AWS SDK for JavaScript v3 raises each documented refusal under its documented name and status."""
    name, http_status, message = seen["refusals"][refusal]
    assert (name, http_status) == (code, status)
    assert message not in ("", "UnknownError")
