"""A worker that was killed long before the end of its master's run leaves no traceback there."""

import subprocess
import sys

from tests.support.locust_runs import ROOT, chatquota_environment


def test_a_worker_that_gevent_has_forgotten_counts_as_ended() -> None:
    """Locust's ending asks for it once, and is told that it has ended."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.load.distributed.forgotten_child"],
        cwd=ROOT,
        env=chatquota_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ended True\n"), done.stderr
