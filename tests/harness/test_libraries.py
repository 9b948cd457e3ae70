"""What libraries log: nothing of an answer, however broken it is."""

import logging
from collections.abc import Iterator

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness.command import main
from harness.connect.signing import Credentials
from harness.connect.target import Target
from tests.support.scripted_server import answering, serving

TOKEN = "QVFJREFIaExPbmdTZWNyZXRUb2tlbk9mVGhlQ2hhdA"
BROKEN = {
    "a line without a colon": f"HTTP/1.1 200 OK\r\n{TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}",
    "two lengths": f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nX: {TOKEN}\r\n\r\n0\r\n\r\n",
    "a head without an end": f"HTTP/1.1 400 Bad\r\n{TOKEN}",
}


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Give the loggers of libraries their levels back."""
    names = ("urllib3", "botocore", "boto3", "websocket", "websockets", "httptools")
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("broken", BROKEN)
def test_nothing_of_a_broken_answer_is_logged(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once a command runs, an SDK that cannot read an answer says so to its caller alone."""
    assert main(["runs", "."]) == 0
    caplog.clear()
    with serving(answering(BROKEN[broken].encode(), b"")) as server:
        target = Target(server.url, server.url, "us-east-1", "i", "f", lambda: Credentials("AKID", "secret", None))
        client = target.boto("connect", timeout=2.0, endpoint_url=server.url)
        try:
            client.stop_contact(ContactId="c", InstanceId="i")
        except (BotoCoreError, ClientError):
            pass
    assert TOKEN not in caplog.text
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("urllib3")]
