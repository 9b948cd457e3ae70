"""The process behind the Quotas tab: reads a run's samples as they come, counts them, and infers the limits.

Apart from the load generator, which must not be kept waiting by inference: it asks with a line of JSON on standard input
(`{"run": "<directory>", "final": false}`) and gets a line of JSON back. Ends with its standard input.
"""

import json
import os
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.quotas.active_chats import infer_active_chats
from harness.quotas.any_limiter.measure import measure_capacity
from harness.quotas.attempts import Attempts
from harness.quotas.estimates import TpsEstimate
from harness.quotas.tps.journey import JourneyCost, binding_order, infer_operation
from harness.recording.format.layout import SAMPLES
from harness.vocabulary import DISCONNECT, HARNESS_CALLS, NO_CALLS, OK, START_CHAT, STARTED, TPS_THROTTLED, ends_chat
from harness.webui.answers import WAITS, Durations
from harness.webui.journals import Follower

EXCERPT = 600
"""Decisions of an operation that its live estimate is made from: the latest, inferred in about half a second."""
KEPT_STARTS = 20_000
"""StartChatContact rows that are kept for the estimate of active chats; a longer run is for the report to judge."""
SECONDS = 600
"""Seconds of history that the figure shows."""

_EVERY, _LONGEST_PAUSE = 2.0, 10.0  # seconds between two estimates

Row = tuple[float, float, str]


class Live:
    """What is known of one run so far."""

    def __init__(self, directory: Path) -> None:
        self._follower = Follower(directory / SAMPLES)
        self._lock = threading.Lock()
        self.counts: dict[str, Counter[str]] = {}
        self._recent: dict[str, deque[Row]] = {}
        self._starts: deque[Row] = deque(maxlen=KEPT_STARTS)
        self._ends: deque[float] = deque(maxlen=KEPT_STARTS)
        self._started = 0
        self._open: set[str] = set()
        self._cost = JourneyCost()
        self._seconds: dict[int, Counter[str]] = {}
        self._changes: Counter[int] = Counter()
        self.most_open = 0
        self._settled = False
        self._waits: dict[str, Durations] = {}
        self.estimates: dict[str, TpsEstimate] = {}
        self.capacity: dict[str, Any] | None = None
        self.active_chats: dict[str, Any] | None = None

    def update(self) -> None:
        """Take in the samples that came since the last time."""
        for batch in self._follower.read():
            with self._lock:
                self._add(batch)
        newest = max(self._seconds, default=0)
        for second in [second for second in self._seconds if second < newest - 2 * SECONDS]:
            del self._seconds[second]

    def _add(self, batch: pa.RecordBatch) -> None:
        columns = [batch.column(name).to_pylist() for name in ("operation", "scheduled", "sent", "received", "outcome")]
        for operation, due, sent, received, outcome, contact in zip(
            *columns, batch.column("contact_id").to_pylist(), strict=True
        ):
            self.counts.setdefault(operation, Counter())[outcome] += 1
            if outcome == OK and operation in WAITS:
                self._waits.setdefault(operation, Durations()).add(received - due)
            row = (sent, received, outcome)
            if operation not in NO_CALLS:
                self._recent.setdefault(operation, deque(maxlen=EXCERPT)).append(row)
                self._second(sent)[f"{operation} {outcome}"] += 1
                self._second(due)[f"{operation} offered"] += 1
                if contact and operation not in HARNESS_CALLS:
                    self._cost.add(contact, operation, outcome)
            if operation == START_CHAT:
                self._starts.append(row)
                self._started += 1
                if outcome == STARTED:
                    self._change(received, contact, 1)
            elif ends_chat(operation, outcome):
                self._change(received, contact, -1)
                self._cost.ended(contact, by_customer=operation == DISCONNECT)

    def _second(self, at: float) -> Counter[str]:
        return self._seconds.setdefault(int(at), Counter())

    def _change(self, at: float, contact: str, by: int) -> None:
        if by > 0:
            self._open.add(contact)
        elif contact in self._open:
            self._open.discard(contact)
            self._ends.append(at)
        else:
            return
        self._changes[int(at)] += by
        self.most_open = max(self.most_open, len(self._open))

    def infer(self) -> None:
        """Make the estimates anew from what is there now."""
        with self._lock:
            recent = {operation: list(rows) for operation, rows in self._recent.items()}
            starts, ends = list(self._starts), list(self._ends)
            whole = self._started == len(starts)
        for operation, rows in recent.items():
            rows.sort()
            sent, received, outcome = zip(*rows, strict=True)
            self.estimates[operation] = limit = infer_operation(sent, received, outcome)
            if operation == START_CHAT:
                # What holds for any limiter is asked for where the exact answer does not hold.
                exact = limit.verdict == "explained" or TPS_THROTTLED not in outcome
                attempts = Attempts.of(sent, received, outcome)
                self.capacity = None if exact else measure_capacity(attempts, limit).to_json()
        if starts and whole:
            found = infer_active_chats(Attempts.of(*zip(*starts, strict=True)), ends)
            self.active_chats = {**found.chats.to_json(), "verdict": found.verdict, "sentence": found.sentence()}

    def settle(self) -> None:
        """Note that the run has ended: make the estimates from everything, once."""
        if not self._settled:
            self.infer()
            self._settled = True

    def answer(self) -> dict[str, Any]:
        """All of it, for the web UI."""
        with self._lock:
            return {
                "counts": {operation: dict(counts) for operation, counts in self.counts.items()},
                "open": len(self._open),
                "most_open": self.most_open,
                "waits": {operation: durations.to_json() for operation, durations in self._waits.items()},
                "series": self._series(),
                "estimates": {
                    operation: {**estimate.to_json(), "evidence": None, "sentence": estimate.sentence()}
                    for operation, estimate in dict(self.estimates).items()
                },
                "capacity": self.capacity,
                "active_chats": self.active_chats,
                "binding": self._binding(),
            }

    def _binding(self) -> list[dict[str, Any]]:
        cost = self._cost.calls_per_chat() or {START_CHAT: 1.0}
        return [
            {"operation": found.operation, "calls_per_chat": found.calls_per_chat, "chats_per_s": found.chats.to_json()}
            for found in binding_order(dict(self.estimates), cost)
        ]

    def _series(self) -> dict[str, Any]:
        if not self._seconds:
            return {"from": 0, "values": {}, "open": []}
        # Of a run that goes on, the last second may not be complete: workers write every half second.
        last = max(*self._seconds, *self._changes) - (not self._settled)
        first = max(min(self._seconds), last - SECONDS + 1)
        seconds = range(first, last + 1)
        names = sorted({name for second in seconds for name in self._seconds.get(second, ())})
        level = sum(by for second, by in self._changes.items() if second < first)
        course = []
        for second in seconds:
            level += self._changes[second]
            course.append(level)
        none: Counter[str] = Counter()
        values = {name: [self._seconds.get(second, none)[name] for second in seconds] for name in names}
        return {"from": first, "values": values, "open": course}


class Inference(threading.Thread):
    """Makes estimates in the background: at most every two seconds, and not for more than half of the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="inference")
        self._wanted = threading.Event()
        self._live: Live | None = None

    def ask(self, live: Live) -> None:
        """Make the estimates of `live` anew when there is time for it."""
        self._live = live
        self._wanted.set()

    def run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            begun = time.thread_time()
            if self._live is not None:
                self._live.infer()
            time.sleep(pause_after(time.thread_time() - begun))


def pause_after(cpu: float) -> float:
    """Return how long to rest (seconds) after an estimate that took so many seconds of CPU time.

    It is not the clock's time: a machine that was stopped or busy must not keep the next estimate waiting.
    """
    return min(max(_EVERY, cpu), _LONGEST_PAUSE)


def main() -> int:
    """Answer each line of standard input."""
    os.nice(10)
    live: Live | None = None
    directory = ""
    inference = Inference()
    inference.start()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["run"] != directory or live is None:
            directory, live = asked["run"], Live(Path(asked["run"]))
        live.update()
        if asked["final"]:
            live.settle()
        else:
            inference.ask(live)
        print(json.dumps(live.answer()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
