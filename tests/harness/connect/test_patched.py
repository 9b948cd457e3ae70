"""Under Locust every socket is patched by gevent: the connection layer means the same there."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.scripted_server import PATIENCE, STARTED, Peer, Script, answer, answering, serving

PROBE = Path(__file__).with_name("patched_probe.py")
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_outcomes_are_the_same_under_monkey_patching(tmp_path: Path) -> None:
    """Started, refused, reset and stalled calls, plain and over TLS, have the outcomes that they have elsewhere, while
    other greenlets go on running.
    """
    authority = Authority(tmp_path)

    def reset(peer: Peer) -> None:
        peer.request()
        peer.reset()

    throttle = answer(429, b"{}", "x-amzn-ErrorType: TooManyRequestsException")
    with (
        serving(answering(STARTED)) as good,
        serving(answering(throttle)) as full,
        serving(reset) as broken,
        serving(Peer.hold) as stalled,
        serving(answering(STARTED), context=authority.server("127.0.0.1")) as secure,
        serving(answering(STARTED), context=authority.server("example.com")) as stranger,
    ):
        servers = (good, full, broken, stalled, secure, stranger)
        run = subprocess.run(
            [sys.executable, str(PROBE), str(authority.bundle), *(server.url for server in servers)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE * 2,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "outcomes": [
            ["started"],
            ["tps_throttled"],
            ["connection_error"],
            ["timeout"],
            ["started"],
            ["connection_error"],
        ],
        "others_ran": True,
    }
    assert [len(server.requests) for server in (good, full, broken, secure, stranger)] == [10, 10, 10, 10, 0]


@pytest.mark.slow
def test_the_sdk_gives_up_on_an_answer_that_never_ends() -> None:
    """Bytes that trickle in for ever, which no read of the SDK's own finds too slow, are a timeout in the end."""

    def drip(head: bytes, piece: bytes) -> Script:
        def script(peer: Peer) -> None:
            peer.request()
            with contextlib.suppress(OSError):
                peer.send(head)
                while not peer.server.over.wait(0.05):
                    peer.send(piece)

        return script

    with (
        serving(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")) as body,
        serving(drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")) as head,
        serving(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as early,
    ):
        run = subprocess.run(
            [sys.executable, str(PROBE.with_name("patched_sdk.py")), body.url, head.url, early.url],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE * 2,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "AWS_MAX_ATTEMPTS": "1"},
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [["timeout"]] * 3
