"""What the web UI knows of the present or last run: asks the process that reads its samples, and the coordinator."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
from gevent.lock import RLock

from harness.errors import UsageError
from harness.load.options.load_profile import parse_curve
from harness.load.run.coordinator import Coordinator
from harness.recording.format.manifest import read_manifest
from harness.recording.summary import add_up
from harness.vocabulary import START_CHAT, STARTED

logger = logging.getLogger(__name__)

_READER = "harness.webui.reader"
_FRESH_FOR = 0.9  # seconds for which one answer serves every page that asks

IDLE, STARTING, RUNNING, DRAINING, FINISHED = "idle", "starting", "running", "stopping chats", "finished"

_ENDINGS = {
    # As was asked for, in a web UI by Stop, a run time or a load shape:
    **dict.fromkeys(("user", "run_time", "probe"), ""),
    "budget": "--max-chats",
    "hours": "the hour, 6 AM",
    "target": "the target, which failed",
    "gate": "a gate that failed",
    "workers_lost": "the loss of its workers",
}
"""What ended a run, in words; other endings go by their names."""


class LiveRun:
    """The run that the pages show. Cheap to ask: answers are kept for a second, and counted in another process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._process: subprocess.Popen[str] | None = None
        self._lock = RLock()
        self._known: dict[str, Any] = {}
        self._known_at = 0.0
        self._asked_to_start = False

    def expect_start(self) -> None:
        """Note that a form was accepted: a run begins in a moment, though Locust does not say so yet."""
        self._asked_to_start = True
        self._coordinator.exit_code = None  # the last run's; a run that cannot begin sets its own

    def expect_nothing(self) -> None:
        """Locust did not start the run of a form that was accepted."""
        self._asked_to_start = False

    @property
    def phase(self) -> str:
        """idle, starting, running, stopping chats, or finished."""
        coordinator = self._coordinator
        if coordinator.ending:
            return DRAINING
        if coordinator.record is not None:
            self._asked_to_start = False
            return RUNNING
        if self._asked_to_start and coordinator.exit_code is None:
            return STARTING
        self._asked_to_start = False
        return FINISHED if coordinator.last_directory else IDLE

    def locust_state(self, state: str, phase: str | None = None) -> str:
        """Return the state that Locust's page should show for Locust's own `state`, beside rows of `phase` (None: now).

        The page stops asking at any other state than spawning and running, and offers a new test when it reads stopped: so
        a run that is only about to begin is spawning, and one whose chats are still being stopped is running.
        """
        phase = phase or self.phase
        if phase == STARTING:
            return "spawning"
        if phase in (RUNNING, DRAINING) and state not in ("spawning", "running"):
            return "running"
        if state in ("cleanup", "stopping"):
            return "running"  # for the moment that Locust's own ending takes
        return state

    def snapshot(self) -> dict[str, Any]:
        """Everything that the pages show of the run: counts, series, estimates, the generator's figures, the phase."""
        with self._lock:
            if time.monotonic() - self._known_at > _FRESH_FOR or self._known.get("phase") != self.phase:
                self._known = self._look()
                self._known_at = time.monotonic()
            return self._known

    def close(self) -> None:
        """End the reading process."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def _look(self) -> dict[str, Any]:
        directory, phase = self._coordinator.last_directory, self.phase
        if directory is None:
            return {"phase": phase, "run": None}
        found = self._ask({"run": directory, "final": phase == FINISHED}) or {}
        generator = self._generator(directory)
        # Workers report by heartbeat what their samples tell sooner, and one that has gone reports no more.
        starts = found.get("counts", {}).get(START_CHAT, {})
        if "offered" in generator and self._coordinator.host.options.sdk_retries == "off":
            generator["offered"] = max(generator["offered"], sum(starts.values()))  # what has an answer was offered
        if self._coordinator.record is not None and starts.get(STARTED, 0) > generator["chats"]["started"]:
            generator["chats"] = {"started": starts[STARTED], "left_open": found["open"]}
        return {**found, "phase": phase, "run": Path(directory).name, **generator}

    def _generator(self, directory: str) -> dict[str, Any]:
        """Offered, dropped, chats and so on, from the run's processes or, at its end, from its manifest."""
        record = self._coordinator.record
        if record is None:
            try:
                manifest = read_manifest(Path(directory)).contents
            except UsageError:
                return {}
            generator = manifest.generator
            return {
                "declared": manifest.declared,
                "chats": msgspec.to_builtins(manifest.chats),
                "seconds": (manifest.ended_at or 0.0) - (manifest.started_at or 0.0),
                "offered": generator.offered,
                "dropped": generator.dropped,
                "valid": generator.valid,
                "reasons": generator.reasons,
                "user_class": manifest.user_class,
                "chat_ends": manifest.chat_ends,
                "ended_by": _ENDINGS.get(manifest.ended_by or "", manifest.ended_by),
            }
        total = add_up(self._coordinator.parts())
        return {
            "declared": record.declared,
            "chats": {"started": total.chats.started, "left_open": total.chats.left_open},
            "seconds": time.time() - record.started_at,
            "seconds_left": self._seconds_left(time.time() - record.started_at),
            "progress": "" if self._coordinator.ending else total.progress,
            "offered": total.offered,
            "dropped": total.dropped,
            "valid": None,
            "reasons": [],
            "missing_workers": self._coordinator.missing_workers(),
            "user_class": self._coordinator.host.user_class,
            "chat_ends": total.chat_ends,
        }

    def _seconds_left(self, elapsed: float) -> float | None:
        """Until the run time or the load shape is over; None where neither is given, or the run is being ended."""
        options = self._coordinator.host.options
        shape = options.load_shape
        ends = [end for end in (options.run_time, parse_curve(shape).seconds if shape else None) if end]
        return None if self._coordinator.ending or not ends else max(0.0, min(ends) - elapsed)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        for _ in range(2):  # a reader that was killed is started again
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _READER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C is for the run; this one ends with its standard input
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except OSError:
                line = ""
            if line:
                return orjson.loads(line)  # type: ignore[no-any-return]
            self.close()
        logger.error("the process that reads the samples for the web UI has ended twice; the Quotas tab stays empty")
        return None
