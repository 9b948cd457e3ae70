"""What the files that a killed process left say of it: its samples, what it lost, and its chats."""

from collections.abc import Mapping
from pathlib import Path

from harness.errors import EXIT_INVALID
from harness.recording.account import Summary, account
from harness.recording.collector import merge_answers
from harness.recording.format.layout import PARQUET, SAMPLES, segments, workers_of
from harness.recording.format.ledger import LedgerChats, merge_ledgers, read_ledgers
from harness.recording.recovered_samples import WorkerSamples
from harness.recording.tally import read_counts


def summarise(directory: Path, worker: str, offered: Summary | None = None) -> tuple[Summary, list[str]]:
    """Return the summary of a worker from its files, and sentences on what cannot be known.

    `offered` is the last summary that it gave while it lived, for what no file tells: arrivals, CPU, texts of answers.
    """
    samples = WorkerSamples()
    for path in segments(directory / SAMPLES, PARQUET, worker):
        samples.read(path)
    unknown = samples.unreadable
    counts = read_counts(directory / SAMPLES, worker)
    sent = samples.starts
    before: Summary = offered or {}
    chats = merge_ledgers([record for record in read_ledgers(directory) if record.worker == worker])
    summary: Summary = {
        "worker": worker,
        "offered": max(int(before.get("offered", 0)), sent),
        "sent": sent,
        "dropped": int(before.get("dropped", 0)),
        "dropped_late": int(before.get("dropped_late", 0)),
        "dropped_by_second": before.get("dropped_by_second", {}),
        "withheld": int(before.get("withheld", 0)),
        "offering_seconds": max(float(before.get("offering_seconds", 0.0)), samples.seconds),
        "outcomes": [[operation, outcome, count] for (operation, outcome), count in samples.outcomes.items()],
        "answers": before.get("answers") or samples.answers(),
        "lateness": samples.lateness.counts(),
        "cpu": before.get("cpu") or {"busy": 0.0, "seconds": 0.0, "max": 0.0},
        "samples": samples.rows,
        "samples_lost": max(counts.recorded - samples.rows, 0) if counts else 0,
        "troubles": list(before.get("troubles", [])),
        "chats": chats.counts(),
        "last_at": samples.last_at,
    }
    summary["offered"] = max(summary["offered"], summary["sent"] + summary["dropped"] + summary["withheld"])
    on_wire = counts.begun - counts.recorded if counts else 0
    if on_wire > 0:
        unknown.append(f"{worker}: {on_wire} calls were on the wire when it was killed; what became of them is unknown")
    return summary, unknown


def recovered_manifest(directory: Path, manifest: Mapping[str, object], chats: LedgerChats) -> dict[str, object]:
    """Return the manifest of a run that was killed, as far as its files tell. It is never valid."""
    parts, troubles = [], ["the run was killed; its record was put together from what it left"]
    for worker in workers_of(directory):
        part, unknown = summarise(directory, worker)
        parts.append(part)
        troubles += unknown
    last = max((part["last_at"] for part in parts), default=0.0)
    return {
        **manifest,
        "status": "recovered",
        "ended_by": "crash",
        "exit_code": EXIT_INVALID,
        "ended_at": last or manifest.get("started_at"),
        "generator": account(parts, troubles=troubles),
        "answers": merge_answers([part["answers"] for part in parts]),
        "chats": chats.counts(),
        "chat_ends": {},
    }


def amend_counts(directory: Path, generator: Mapping[str, object], imported: int) -> dict[str, object]:
    """Return the `generator` of a finished run with its samples counted anew; `imported` are those of a lost worker."""
    parts = [summarise(directory, worker)[0] for worker in workers_of(directory)]
    sent = sum(part["sent"] for part in parts)
    amended: dict[str, object] = {
        **generator,
        "samples_recorded": sum(part["samples"] for part in parts),
        "sent": sent,
        "offered": max(
            _count(generator, "offered"), sent + _count(generator, "dropped") + _count(generator, "withheld")
        ),
    }
    if imported:
        amended["samples_lost"] = max(_count(generator, "samples_lost") - imported, 0)
        reasons = generator.get("reasons")
        added = f"{imported:,} samples were added after the end of the run"
        amended["reasons"] = [*(reasons if isinstance(reasons, list) else []), added]
    return amended


def _count(table: Mapping[str, object], name: str) -> int:
    value = table.get(name)
    return value if isinstance(value, int) else 0
