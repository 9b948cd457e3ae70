"""The record of a run: adds up what its processes did, and keeps the manifest.

Held by the one process that writes the run directory: the local one, or the master.
"""

import platform
import time
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import __version__
from harness.connect.target import Target
from harness.errors import EXIT_DONE, EXIT_INVALID
from harness.load.options.options import Settings
from harness.load.run.judgement import Judgement, judge
from harness.load.session.sdk_retries import merge
from harness.recording import owner
from harness.recording.account import Summary, account, add_chats
from harness.recording.collector import merge_answers
from harness.recording.format.manifest import write_manifest
from harness.recording.lock import RunLock
from harness.vocabulary import START_CHAT


class RunRecord:
    """One run's manifest in the making, and the lock of its directory.

    `parts` holds the latest summary of each worker; `samples_received` the samples that came over from workers with a disk
    of their own; `workers_lost` those that did not come to an orderly end; `troubles` what else makes the run invalid, a
    sentence each.
    """

    def __init__(
        self,
        run_id: str,
        directory: Path,
        user_class: str,
        settings: Settings,
        target: Target,
        options: Mapping[str, object],
        account: str | None = None,
    ) -> None:
        self.run_id = run_id
        self.settings = settings
        self.target = target
        self.directory = directory
        self.parts: dict[str, Summary] = {}
        self.samples_received: Counter[str] = Counter()
        self.workers_lost: set[str] = set()
        self.troubles: list[str] = []
        self.declared: dict[str, Any] = {}
        self._lock = RunLock(directory)
        self.started_at = time.time()
        self._manifest: dict[str, Any] = {
            "run_id": run_id,
            "owner": owner.mark(run_id, target.endpoint, target.instance_id),
            "user_class": user_class,
            "status": "running",
            "ended_by": None,
            "exit_code": None,
            "started_at": self.started_at,
            "ended_at": None,
            "versions": {
                "chatquota": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("locust", "botocore", "gevent", "pyarrow")},
            },
            "options": dict(options),
            "target": {
                "kind": "live" if target.live else "lab",
                "endpoint": target.endpoint,
                "account": account,
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
                "conversations": [
                    {"name": script.name, "weight": script.weight, "turns": len(script.turns)}
                    for script in settings.workload.conversations
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
        return add_chats(self.parts.values())

    def outcomes(self, operation: str = START_CHAT) -> dict[str, int]:
        """Outcome counts of one operation over all workers."""
        counts: Counter[str] = Counter()
        for part in self.parts.values():
            for name, outcome, number in part["outcomes"]:
                if name == operation:
                    counts[outcome] += number
        return dict(counts)

    @property
    def to_stop(self) -> int:
        """Chats that are open and were not to be kept."""
        return 0 if self.settings.keep_chats else self.chats["left_open"]

    def judge(self, wanted: int | None) -> Judgement:
        """Judge the end of the run, which asks for exit code `wanted`; the reasons make it invalid."""
        operations = {operation for part in self.parts.values() for operation, _, _ in part["outcomes"]}
        kinds = self.settings.workload.kinds
        judgement = judge(
            wanted,
            {operation: self.outcomes(operation) for operation in operations},
            self.to_stop,
            generator_failed=any(part["troubles"] for part in self.parts.values()),
            refusals_expected=all(kind.invalid for kind in kinds),
        )
        self.troubles += judgement.reasons
        return judgement

    def finish(self, ended_by: str, exit_code: int | None) -> int:
        """Write the final manifest and return the exit code of the run.

        `exit_code` is what ended the run asks for (None: nothing special); an invalid run turns a plain end into 5.
        """
        for worker, received in self.samples_received.items():
            part = self.parts.get(worker)
            if part is not None:
                part["samples_lost"] += max(int(part["samples"]) - received, 0)
                part["samples"] = received
        generator = account(
            self.parts.values(), self.workers_lost, self.troubles, seconds=time.time() - self.started_at
        )
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
            probe=self._probe(),
        )
        self.save()
        return exit_code

    def _retry_lab(self) -> dict[str, Any] | None:
        return merge([part["retry_lab"] for part in self.parts.values() if part.get("retry_lab")])

    def _probe(self) -> dict[str, Any] | None:
        stages = [stage for part in self.parts.values() for stage in part.get("stages", [])]
        return {"stages": stages} if stages else None

    def _sum(self, name: str) -> dict[str, int]:
        """The counts that the parts keep under `name`, added up."""
        counts: Counter[str] = Counter()
        for part in self.parts.values():
            counts.update(part.get(name, {}))
        return dict(counts)

    def gates_judged(self, verdict: str, exit_code: int) -> None:
        """Note after the end what became of the gates: `verdict` is passed, breached or not_judged."""
        self._manifest.update(gates=verdict, exit_code=exit_code)
        self.save()

    def release(self) -> None:
        """Let go of the directory."""
        self._lock.release()
