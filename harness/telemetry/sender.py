"""In the process of the run: starts the exporting process with `--otel`, tells it how the run goes, and ends it."""

import logging
import subprocess
import sys
from collections.abc import Sequence

import gevent
import msgspec

from harness.load.options.target_choice import target_line
from harness.load.run.coordinator import Coordinator
from harness.recording.summary import Summary, add_up
from harness.telemetry.messages import Begin, Progress
from harness.telemetry.variables import is_installed

logger = logging.getLogger(__name__)

_EVERY = 1.0  # seconds between two lines of progress
_LAST_EXPORT = 30.0
_EXTRA = "opentelemetry.exporter.otlp.proto.http"


class Telemetry:
    """The metrics of one run at a time. Costs the run a line of JSON a second, and nothing without `--otel`."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._process: subprocess.Popen[bytes] | None = None
        self._teller: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Start exporting the run that has just begun."""
        record = self._coordinator.record
        if record is None:
            return
        if not is_installed(_EXTRA):
            logger.error("--otel exports nothing of chatquota: install `chatquota[otel]`")
            return
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.telemetry.exporter"],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run; this one ends with its standard input
        )
        target = target_line(record.target, record.account)
        self._tell(Begin(str(record.directory), record.run_id, target, record.user_class))
        self._teller = gevent.spawn(self._tell_progress)

    def end(self) -> None:
        """Let it export the finished run, and wait for that, half a minute at most."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._teller is not None:
            self._teller.kill()
        assert process.stdin is not None
        try:
            process.stdin.close()
            process.wait(_LAST_EXPORT)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        if process.returncode:
            logger.warning("the last metrics could not be exported; the run's record has them")

    def _tell_progress(self) -> None:
        while self._process is not None:
            gevent.sleep(_EVERY)
            record = self._coordinator.record
            keeps_chats = record is None or record.settings.keep_chats
            self._tell(progress_of(self._coordinator.parts(), keeps_chats))

    def _tell(self, message: Begin | Progress) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(msgspec.json.encode(message) + b"\n")
            process.stdin.flush()
        except OSError:
            logger.warning("the process that exports metrics has ended; the run goes on without them")
            self._process = None


def progress_of(parts: Sequence[Summary], keeps_chats: bool) -> Progress:
    """Return what the processes of a run tell together; a run that keeps its chats has none to stop."""
    total = add_up(parts)
    return Progress(total.dropped, 0 if keeps_chats else total.chats.left_open)
