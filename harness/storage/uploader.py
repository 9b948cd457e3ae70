"""Keeps a run in S3 while it goes on, by processes of their own: TLS and checksums have no place in a load generator."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from shlex import quote

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from harness.errors import UsageError

logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two uploads of what there is so far."""
EVERY_AT_THE_END = 5.0
"""Seconds between them while the run is being ended, which whoever ends it may cut short."""
_LONGEST = 1800.0
# As the process was started: a run against this machine turns the metadata service off, which may have the upload's role.
_ENVIRONMENT = dict(os.environ)


def check_upload(address: str) -> None:
    """Look whether `address` can be written to; nothing stays there. Raises UsageError: better known before the run."""
    if address and (said := _upload("--check", address)):
        raise UsageError(f"--upload: {said}")


class Uploader:
    """Uploads a run directory at once, every minute, more often while the run is being ended, and whole at its end.

    Does nothing where `begin` was given no address. A failure is logged in one line, and the next upload sends what this one
    did not.
    """

    def __init__(self) -> None:
        self._directory = Path()
        self._address = ""
        self._hurry = Event()
        self._one_at_a_time = BoundedSemaphore(1)
        self._loop: gevent.Greenlet | None = None

    def begin(self, directory: Path, address: str) -> None:
        """Upload what `directory` holds, and go on doing so. Returns at once: the run's time is running."""
        self._directory, self._address = directory, address
        self._hurry.clear()
        if address:
            self._loop = gevent.spawn(self._repeat)

    def hurry(self) -> None:
        """Note that the run is being ended: upload at once, and more often."""
        self._hurry.set()

    def stop(self) -> None:
        """Upload no more."""
        if self._loop is not None:
            self._loop.kill()
            self._loop = None

    def finish(self) -> bool:
        """Upload everything, after the run's record is closed; return False, and say so, where that failed."""
        if self._loop is None:
            return True
        self.stop()
        said = self._push()
        if said:
            logger.error(
                "the run is not in S3: %s. It is whole in %s; `chatquota upload %s %s` sends it",
                said,
                self._directory,
                quote(str(self._directory)),
                self._address,
            )
        else:
            logger.info("the run is below %s too", self._address)
        return not said

    def _repeat(self) -> None:
        while True:
            if said := self._push():
                logger.warning("what there is so far could not be uploaded: %s; the run goes on", said)
            if self._hurry.is_set():
                gevent.sleep(EVERY_AT_THE_END)
            else:
                self._hurry.wait(EVERY)

    def _push(self) -> str:
        with self._one_at_a_time:
            return _upload("--background", str(self._directory), self._address)


def _upload(*arguments: str) -> str:
    """Run `chatquota upload` with `arguments`; return "" or what went wrong."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness", "upload", *arguments],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C ends the run in order, which includes this
    )
    try:
        _, said = child.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        said = f"it took over {_LONGEST:g} s"
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode == 0:
        return ""
    lines = said.strip().splitlines() or [f"the upload ended with code {child.returncode}"]
    return lines[-1].removeprefix("chatquota upload: ")
