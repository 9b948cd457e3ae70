"""The record of a run: adds up what its processes did, and keeps the manifest.

Held by the one process that writes the run directory: the local one, or the master.
"""

import platform
import time
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from harness import __version__
from harness.connect.target import Target
from harness.errors import EXIT_DONE, EXIT_INVALID
from harness.load.options.options import Settings
from harness.load.run.events import Events
from harness.load.run.judgement import Judgement, judge
from harness.load.session.sdk_retries import merge
from harness.recording import owner
from harness.recording.account import account
from harness.recording.format.manifest import Chats, Table, WorkerClock, write_manifest
from harness.recording.lock import RunLock
from harness.recording.summary import Summary, add_chats, add_up


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
        self.user_class = user_class
        self.settings = settings
        self.target = target
        self.account = account
        self.directory = directory
        self.parts: dict[str, Summary] = {}
        self.samples_received: Counter[str] = Counter()
        self.workers_lost: set[str] = set()
        self.troubles: list[str] = []
        self.declared: Table = {}
        self.clocks: dict[str, WorkerClock] = {}
        self.events = Events()
        self._lock = RunLock(directory)
        self.started_at = time.time()
        self._manifest: Table = {
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
            "target": _target(target, settings, account),
            "workload": _workload(settings),
            "declared": {},
        }
        self.save()

    def note_clocks(self, clocks: Mapping[str, WorkerClock]) -> None:
        """Note what is known of workers' clocks, by the workers' names, at once: a killed run needs it too."""
        self.clocks.update(clocks)
        self._manifest["clocks"] = msgspec.to_builtins(self.clocks)
        self.save()

    def save(self) -> None:
        """Write the manifest as it is now."""
        write_manifest(self.directory, self._manifest)

    @property
    def total(self) -> Summary:
        """What all processes of the run did together."""
        return add_up(self.parts.values())

    @property
    def chats(self) -> Chats:
        """What became of the chats of all processes."""
        return add_chats(part.chats for part in self.parts.values())

    @property
    def to_stop(self) -> int:
        """Chats that are open and were not to be kept."""
        return 0 if self.settings.keep_chats else self.chats.left_open

    def judge(self, wanted: int | None) -> Judgement:
        """Judge the end of the run, which asks for exit code `wanted`; the reasons make it invalid."""
        total = self.total
        kinds = self.settings.workload.kinds
        judgement = judge(
            wanted,
            {each.operation: total.outcomes_of(each.operation) for each in total.outcomes},
            self.to_stop,
            generator_failed=bool(total.troubles),
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
                lost = part.samples_lost + max(part.samples - received, 0)
                self.parts[worker] = msgspec.structs.replace(part, samples=received, samples_lost=lost)
        generator = account(
            self.parts.values(), self.workers_lost, self.troubles, seconds=time.time() - self.started_at
        )
        if exit_code is None:
            exit_code = EXIT_DONE if generator["valid"] else EXIT_INVALID
        total = self.total
        self._manifest.update(
            status="finished",
            ended_by=ended_by,
            exit_code=exit_code,
            ended_at=time.time(),
            declared=self.declared,
            generator=generator,
            answers=msgspec.to_builtins(total.answers),
            chats=msgspec.to_builtins(total.chats),
            chat_ends=total.chat_ends,
            retry_lab=msgspec.to_builtins(merge(total.sdk_retries)),
            events=msgspec.to_builtins(self.events.noted),
            journey_probe=msgspec.to_builtins(total.journey_probe),
            probe={"stages": [stage.to_json() for stage in total.stages]} if total.stages else None,
        )
        self.save()
        return exit_code

    def gates_judged(self, verdict: str, exit_code: int) -> None:
        """Note after the end what became of the gates: `verdict` is passed, breached or not_judged."""
        self._manifest.update(gates=verdict, exit_code=exit_code)
        self.save()

    def release(self) -> None:
        """Let go of the directory."""
        self._lock.release()


def _target(target: Target, settings: Settings, account: str | None) -> Table:
    return {
        "kind": "live" if target.live else "lab",
        "endpoint": target.endpoint,
        "account": account,
        "region": target.region,
        "instance_id": target.instance_id,
        "contact_flow_id": target.contact_flow_id,
        "live": target.live,
        "emulator": (settings.emulator or "default") if settings.embedded else None,
        "approval": settings.approval or None,
    }


def _workload(settings: Settings) -> Table:
    workload = settings.workload
    return {
        "source": workload.source,
        "seed": workload.seed,
        "draw": workload.draw,
        "kinds": [{"name": kind.name, "weight": kind.weight, "invalid": kind.invalid} for kind in workload.kinds],
        "conversations": [
            {"name": script.name, "weight": script.weight, "turns": len(script.turns)}
            for script in workload.conversations
        ],
    }
