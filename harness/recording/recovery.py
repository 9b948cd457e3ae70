"""What the files that a killed process left say of it: its samples, what it lost, and its chats."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.errors import EXIT_INVALID
from harness.recording.account import Summary, account
from harness.recording.collector import merge_answers
from harness.recording.format.layout import PARQUET, SAMPLES, segments, workers_of
from harness.recording.format.ledger import LedgerChats, merge_ledgers, read_ledgers
from harness.recording.tally import read_counts
from harness.recording.validity import LatenessHistogram
from harness.vocabulary import START_CHAT

_COLUMNS = ("operation", "scheduled", "sent", "received", "outcome", "status", "error_code")


def summarise(directory: Path, worker: str, offered: Summary | None = None) -> tuple[Summary, list[str]]:
    """The summary of a worker from its files, and sentences on what cannot be known.

    `offered` is the last summary that it gave while it lived, for what no file tells: arrivals, CPU, texts of answers.
    """
    outcomes: Counter[tuple[str, str]] = Counter()
    answers: dict[tuple[str, str, int, str | None], list[float]] = {}
    lateness = LatenessHistogram()
    rows, unreadable = 0, []
    first, last, last_at = float("inf"), 0.0, 0.0
    for path in segments(directory / SAMPLES, PARQUET, worker):
        try:
            for table in _tables(path):
                rows += table.num_rows
                _count(table, outcomes, answers)
                last_at = max(last_at, pc.max(table["received"]).as_py() or 0.0)
                starts = table.filter(pc.equal(table["operation"], START_CHAT))
                if starts.num_rows:
                    sent = starts["sent"].to_numpy()
                    lateness.add_many(sent - starts["scheduled"].to_numpy())
                    first, last = min(first, float(sent.min())), max(last, float(sent.max()))
        except (pa.ArrowException, OSError, KeyError) as error:
            unreadable.append(f"{path.name} cannot be read ({str(error).splitlines()[0][:120]}): its samples are lost")
    counts = read_counts(directory / SAMPLES, worker)
    sent_starts = sum(count for (operation, _), count in outcomes.items() if operation == START_CHAT)
    before: Summary = offered or {}
    chats = merge_ledgers([record for record in read_ledgers(directory) if record.worker == worker])
    summary: Summary = {
        "worker": worker,
        "offered": max(int(before.get("offered", 0)), sent_starts),
        "sent": sent_starts,
        "dropped": int(before.get("dropped", 0)),
        "dropped_by_second": before.get("dropped_by_second", {}),
        "withheld": int(before.get("withheld", 0)),
        "offering_seconds": max(float(before.get("offering_seconds", 0.0)), last - first if last else 0.0),
        "outcomes": [[operation, outcome, count] for (operation, outcome), count in outcomes.items()],
        "answers": before.get("answers") or _answers(answers),
        "lateness": lateness.counts(),
        "cpu": before.get("cpu") or {"busy": 0.0, "seconds": 0.0, "max": 0.0},
        "samples": rows,
        "samples_lost": max(counts.recorded - rows, 0) if counts else 0,
        "retries_seen": int(before.get("retries_seen", 0)),
        "troubles": list(before.get("troubles", [])),
        "chats": chats.counts(),
        "last_at": last_at,
    }
    summary["offered"] = max(summary["offered"], summary["sent"] + summary["dropped"] + summary["withheld"])
    on_wire = counts.begun - counts.recorded if counts else 0
    if on_wire > 0:
        unreadable.append(
            f"{worker}: {on_wire} calls were on the wire when it was killed; what became of them is unknown"
        )
    return summary, unreadable


def recovered_manifest(directory: Path, manifest: dict[str, Any], chats: LedgerChats) -> dict[str, Any]:
    """The manifest of a run that was killed, as far as its files tell. It is never valid."""
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


def amend_counts(directory: Path, generator: dict[str, Any], brought: int) -> None:
    """Bring the `generator` of a finished run up to date after samples were added; `brought` are those of a lost worker."""
    parts = [summarise(directory, worker)[0] for worker in workers_of(directory)]
    generator["samples_recorded"] = sum(part["samples"] for part in parts)
    generator["sent"] = sum(part["sent"] for part in parts)
    least = generator["sent"] + int(generator.get("dropped", 0)) + int(generator.get("withheld", 0))
    generator["offered"] = max(int(generator.get("offered", 0)), least)
    if brought:
        generator["samples_lost"] = max(int(generator.get("samples_lost", 0)) - brought, 0)
        generator.setdefault("reasons", []).append(f"{brought:,} samples were brought in after the end of the run")


def _tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(_COLUMNS)):
            table = pa.Table.from_batches([batch])
            plain = [pc.cast(c, pa.string()) if pa.types.is_dictionary(c.type) else c for c in table.columns]
            yield pa.Table.from_arrays(plain, names=table.column_names)


def _count(
    table: pa.Table,
    outcomes: Counter[tuple[str, str]],
    answers: dict[tuple[str, str, int, str | None], list[float]],
) -> None:
    keys = ["operation", "outcome", "status", "error_code"]
    groups = table.group_by(keys).aggregate([("received", "count"), ("received", "min")]).to_pylist()
    for group in groups:
        outcomes[group["operation"], group["outcome"]] += group["received_count"]
        if group["error_code"] is not None:
            key = (group["operation"], group["outcome"], group["status"], group["error_code"])
            seen = answers.setdefault(key, [0, group["received_min"]])
            seen[0] += group["received_count"]
            seen[1] = min(seen[1], group["received_min"])


def _answers(answers: dict[tuple[str, str, int, str | None], list[float]]) -> list[dict[str, Any]]:
    return [
        {
            "operation": operation,
            "outcome": outcome,
            "status": status,
            "error_code": code,
            "message": "(its text was lost in the crash)",
            "count": int(count),
            "first_at": first,
        }
        for (operation, outcome, status, code), (count, first) in answers.items()
    ]
