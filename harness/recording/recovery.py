"""What the files that a killed process left say of it: its samples, what it lost, and its chats."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from harness.counting import counted
from harness.errors import EXIT_INVALID
from harness.recording.account import account
from harness.recording.format.layout import PARQUET, SAMPLES, segments, workers_of
from harness.recording.format.ledger import LedgerChats, merge_ledgers, read_ledgers
from harness.recording.format.manifest import Table
from harness.recording.recovered_samples import WorkerSamples
from harness.recording.summary import Summary, add_up
from harness.recording.tally import read_counts


def summarise(directory: Path, worker: str, last: Summary | None = None) -> tuple[Summary, list[str]]:
    """Return the summary of a worker from its files, and sentences on what cannot be known.

    `last` is the last summary that it gave while it lived, for what no file tells: arrivals, CPU, texts of answers.
    """
    samples = WorkerSamples()
    for path in segments(directory / SAMPLES, PARQUET, worker):
        samples.read(path)
    unknown = samples.unreadable
    counts = read_counts(directory / SAMPLES, worker)
    chats = merge_ledgers([record for record in read_ledgers(directory) if record.worker == worker])
    before = last or Summary(worker=worker)
    summary = msgspec.structs.replace(
        before,
        offered=max(before.offered, samples.starts + before.dropped + before.withheld),
        sent=samples.starts,
        offering_seconds=max(before.offering_seconds, samples.seconds),
        outcomes=samples.outcome_counts(),
        answers=before.answers or samples.error_texts(),
        lateness=samples.lateness.counts(),
        samples=samples.rows,
        samples_lost=max(counts.recorded - samples.rows, 0) if counts else 0,
        chats=chats.counts(),
        last_at=samples.last_at,
    )
    on_wire = counts.begun - counts.recorded if counts else 0
    if on_wire > 0:
        calls = counted(on_wire, "call was", "calls were")
        unknown.append(f"{worker}: {calls} on the wire when it was killed, with what result is unknown")
    return summary, unknown


def recovered_manifest(directory: Path, manifest: Mapping[str, object], chats: LedgerChats) -> Table:
    """Return the manifest of a run that was killed, as far as its files tell. It is never valid."""
    parts, troubles = [], ["the run was killed; its record was put together from what it left"]
    for worker in workers_of(directory):
        part, unknown = summarise(directory, worker)
        parts.append(part)
        troubles += unknown
    total = add_up(parts)
    return {
        **manifest,
        "status": "recovered",
        "ended_by": "crash",
        "exit_code": EXIT_INVALID,
        "ended_at": total.last_at or manifest.get("started_at"),
        "generator": account(parts, troubles=troubles),
        "answers": msgspec.to_builtins(total.answers),
        "chats": msgspec.to_builtins(chats.counts()),
        "chat_ends": chats.chat_ends(),
    }


def amend_counts(directory: Path, generator: Mapping[str, object], imported: int) -> Table:
    """Return the `generator` of a finished run with its samples counted anew; `imported` are those of a lost worker."""
    total = add_up(summarise(directory, worker)[0] for worker in workers_of(directory))
    amended: Table = {
        **generator,
        "samples_recorded": total.samples,
        "sent": total.sent,
        "offered": max(
            _count(generator, "offered"), total.sent + _count(generator, "dropped") + _count(generator, "withheld")
        ),
    }
    if imported:
        amended["samples_lost"] = max(_count(generator, "samples_lost") - imported, 0)
        reasons = generator.get("reasons")
        added = f"{counted(imported, 'sample was', 'samples were')} added after the end of the run"
        amended["reasons"] = [*(reasons if isinstance(reasons, list) else []), added]
    return amended


def _count(table: Mapping[str, object], name: str) -> int:
    value = table.get(name)
    return value if isinstance(value, int) else 0
