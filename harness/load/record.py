"""The record of a run: adds up what its processes did, judges its validity, and keeps the manifest.

Held by the one process that writes the run directory: the local one, or the master.
"""

import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import __version__
from harness.connect.outcome import START_CHAT
from harness.connect.target import Target
from harness.load.options import Settings
from harness.load.retrylab import merge
from harness.recording.collector import merge_answers
from harness.recording.rundir import write_manifest
from harness.recording.validity import GeneratorRecord, LatenessHistogram, invalid_reasons

EXIT_DONE, EXIT_GATE, EXIT_USAGE, EXIT_TARGET, EXIT_GUARD, EXIT_INVALID = 0, 1, 2, 3, 4, 5

Summary = dict[str, Any]


class RunRecord:
    """One run's manifest in the making. `parts` holds the latest summary of each worker (`Session.summary`)."""

    def __init__(
        self, run_id: str, directory: Path, user_class: str, settings: Settings, target: Target, options: dict[str, Any]
    ) -> None:
        self.run_id = run_id
        self.directory = directory
        self.parts: dict[str, Summary] = {}
        self.samples_received: Counter[str] = Counter()
        self.workers_lost: set[str] = set()
        self.declared: dict[str, Any] = {}
        self._started_at = time.time()
        self._manifest: dict[str, Any] = {
            "run_id": run_id,
            "user_class": user_class,
            "status": "running",
            "ended_by": None,
            "exit_code": None,
            "started_at": self._started_at,
            "ended_at": None,
            "versions": {
                "chatquota": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("locust", "botocore", "gevent", "pyarrow")},
            },
            "options": options,
            "target": {
                "endpoint": target.endpoint,
                "region": target.region,
                "instance_id": target.instance_id,
                "contact_flow_id": target.contact_flow_id,
                "live": target.live,
                "emulator": (settings.emulator or "default") if settings.embedded else None,
                "approval": settings.approval or None,
            },
            "workload": {
                "source": settings.workload.source,
                "seed": settings.workload.seed,
                "kinds": [
                    {"name": kind.name, "weight": kind.weight, "invalid": kind.invalid}
                    for kind in settings.workload.kinds
                ],
            },
            "declared": {},
        }
        self.save()

    def save(self) -> None:
        """Write the manifest as it is now."""
        write_manifest(self.directory, self._manifest)

    @property
    def chats(self) -> dict[str, int]:
        """started, stopped, already_ended, kept, left_open and unanswered chats of all workers."""
        names = ("started", "stopped", "already_ended", "kept", "left_open", "unanswered")
        return {name: sum(part["chats"].get(name, 0) for part in self.parts.values()) for name in names}

    def outcomes(self, operation: str = START_CHAT) -> dict[str, int]:
        """Outcome counts of one operation over all workers."""
        counts: Counter[str] = Counter()
        for part in self.parts.values():
            for name, outcome, number in part["outcomes"]:
                if name == operation:
                    counts[outcome] += number
        return dict(counts)

    def samples_lost(self) -> int:
        """Samples that workers recorded and that did not come in."""
        return sum(
            max(int(part["samples"]) - self.samples_received[worker], 0)
            for worker, part in self.parts.items()
            if worker in self.samples_received
        )

    def finish(self, ended_by: str, exit_code: int | None) -> int:
        """Write the final manifest and return the exit code of the run.

        `exit_code` is what ended the run asks for (None: nothing special); an invalid run turns a plain end into 5.
        """
        generator = self._generator()
        if exit_code is None:
            exit_code = EXIT_DONE if generator["valid"] else EXIT_INVALID
        self._manifest.update(
            status="finished",
            ended_by=ended_by,
            exit_code=exit_code,
            ended_at=time.time(),
            declared=self.declared,
            generator=generator,
            answers=merge_answers([part["answers"] for part in self.parts.values()]),
            chats=self.chats,
            chat_ends=self._sum("chat_ends"),
            retry_lab=self._retry_lab(),
        )
        self.save()
        return exit_code

    def set_exit_code(self, exit_code: int) -> None:
        """Change the exit code after the end: a gate was breached."""
        self._manifest["exit_code"] = exit_code
        self.save()

    def _generator(self) -> dict[str, Any]:
        parts = list(self.parts.values())
        lateness = LatenessHistogram()
        for part in parts:
            lateness.merge({int(index): count for index, count in part["lateness"].items()})
        dropped_by_second: Counter[str] = Counter()
        for part in parts:
            dropped_by_second.update(part["dropped_by_second"])
        totals = {name: sum(part[name] for part in parts) for name in ("offered", "sent", "dropped", "withheld")}
        record = GeneratorRecord(
            **totals,
            samples_lost=self.samples_lost(),
            workers_lost=sorted(self.workers_lost),
            lateness_ms_p99=lateness.quantile_ms(0.99),
            busiest_cpu_percent=max((max(part["cpu_percents"], default=0.0) for part in parts), default=0.0),
        )
        reasons = invalid_reasons(record)
        seconds = max(time.time() - self._started_at, 1e-9)
        return {
            **totals,
            "dropped_by_second": dict(dropped_by_second),
            "retries_seen": record.retries_seen,
            "samples_recorded": sum(part["samples"] for part in parts) - record.samples_lost,
            "samples_lost": record.samples_lost,
            "workers_lost": record.workers_lost,
            "offered_per_s": totals["offered"] / (self._offered_until() or seconds),
            "lateness_ms_p50": lateness.quantile_ms(0.5),
            "lateness_ms_p99": record.lateness_ms_p99,
            "cpu_percent_max": record.busiest_cpu_percent,
            "valid": not reasons,
            "reasons": reasons,
            "processes": [_process(part) for part in parts],
        }

    def _retry_lab(self) -> dict[str, Any] | None:
        return merge([part["retry_lab"] for part in self.parts.values() if part.get("retry_lab")])

    def _sum(self, name: str) -> dict[str, int]:
        """The counts that the parts keep under `name`, added up."""
        counts: Counter[str] = Counter()
        for part in self.parts.values():
            counts.update(part.get(name, {}))
        return dict(counts)

    def _offered_until(self) -> float:
        return max((part.get("offering_seconds", 0.0) for part in self.parts.values()), default=0.0)


def _process(part: Summary) -> dict[str, Any]:
    cpu = part["cpu_percents"]
    return {
        **{name: part[name] for name in ("worker", "offered", "sent", "dropped", "withheld")},
        "cpu_percent_mean": sum(cpu) / len(cpu) if cpu else None,
        "cpu_percent_max": max(cpu, default=None),
    }
