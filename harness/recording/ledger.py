"""The ledger of chats: every chat that was started is on disk here before its process makes another call.

One append-only file of JSON lines for each process, `contacts.<worker>.jsonl`, written with one system call a line, so a
process killed at any instant loses no line that was written and tears at most the one being written.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from harness.recording.schema import RUN_SCHEMA

STOPPED, ALREADY_ENDED, KEPT = "stopped", "already_ended", "kept"


class Ledger:
    """Appends to one process's ledger. `header` says where the chats are: run_id, worker, endpoint, region, instance_id.

    `mirror` gets a copy of each line once it is written.
    """

    def __init__(
        self, directory: Path, worker: str, header: dict[str, Any], mirror: Callable[[bytes], None] | None = None
    ) -> None:
        self._mirror = mirror
        directory.mkdir(parents=True, exist_ok=True)
        path = ledger_path(directory, worker)
        fresh = not path.exists()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if fresh:
            self._append({"ledger": RUN_SCHEMA, "worker": worker, **header})
        elif not path.read_bytes().endswith(b"\n"):
            os.write(self._fd, b"\n")  # what follows must not be glued to a torn line

    def started(self, contact_id: str, at: float) -> None:
        """A start was answered with this contact."""
        self._append({"event": "started", "at": at, "contact_id": contact_id})

    def ended(self, contact_id: str, at: float, how: str, reason: str | None = None) -> None:
        """The contact has ended: `how` is stopped, already_ended, or kept for one that is left open on purpose.

        Of one that had ended already a second line may follow, with the service's DisconnectReason as `reason`.
        """
        told = {} if reason is None else {"reason": reason}
        self._append({"event": "ended", "at": at, "contact_id": contact_id, "how": how, **told})

    def unanswered(self, client_token: str, at: float) -> None:
        """A start got no answer: the chat may exist."""
        self._append({"event": "unanswered", "at": at, "client_token": client_token})

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, entry: dict[str, Any]) -> None:
        line = orjson.dumps(entry) + b"\n"
        os.write(self._fd, line)
        if self._mirror is not None:
            self._mirror(line)


@dataclass
class LedgerRecord:
    """What one ledger says: its header, contacts still open (contact id to unix time of the start), ended ones (id to how),
    client tokens of starts without an answer, and lines that could not be read."""

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    unreadable: int = 0


def ledger_path(directory: Path, worker: str) -> Path:
    """Where the ledger of `worker` is in a run directory."""
    return directory / f"contacts.{worker}.jsonl"


def read_ledgers(directory: Path) -> list[LedgerRecord]:
    """Read every ledger of a run directory, however its process ended."""
    return [_read(path) for path in sorted(directory.glob("contacts.*.jsonl"))]


def _read(path: Path) -> LedgerRecord:
    record = LedgerRecord(path)
    for entry in _entries(path, record):
        if "ledger" in entry:
            record.header = entry
            continue
        event, contact = entry.get("event"), entry.get("contact_id")
        if event == "started" and isinstance(contact, str):
            if contact not in record.ended:
                record.open[contact] = float(entry.get("at", 0.0))
        elif event == "ended" and isinstance(contact, str):
            record.open.pop(contact, None)
            record.ended[contact] = str(entry.get("how", STOPPED))
        elif event == "unanswered":
            record.unanswered.append(str(entry.get("client_token", "")))
        else:
            record.unreadable += 1
    return record


def _entries(path: Path, record: LedgerRecord) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                record.unreadable += bool(line.strip())
                continue
            if isinstance(entry, dict):
                yield entry
            else:
                record.unreadable += 1
