"""A worker that was killed long before the end of its master's run leaves no traceback there."""

import subprocess
import sys

from tests.support.locust_runs import ROOT, chatquota_environment


def test_a_worker_that_gevent_has_forgotten_counts_as_ended() -> None:
    """Locust's ending asks for it once, and is told that it has ended."""
    done = _ended()
    assert (done.returncode, done.stdout) == (0, "ended True\n"), done.stderr


def _ended(tries: int = 4) -> "subprocess.CompletedProcess[str]":
    """Run it, again where its child ended before gevent watched for that: such an end is never noted."""
    try:
        return _run()
    except subprocess.TimeoutExpired:
        if tries == 1:
            raise
        return _ended(tries - 1)


def _run() -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.harness.load.distributed.forgotten_child"],
        cwd=ROOT,
        env=chatquota_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
