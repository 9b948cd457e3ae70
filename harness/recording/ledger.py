"""The ledger of chats: every chat that was started is on disk here before its process makes another call.

One append-only file of JSON lines for each process, `contacts.<worker>.jsonl`, written with one system call a line, so a
process killed at any instant loses no line that was written and tears at most the one being written.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from harness.errors import UsageError
from harness.recording.format.schema import RUN_SCHEMA

STOPPED, ALREADY_ENDED, KEPT = "stopped", "already_ended", "kept"
_RESOLVED = "resolved"  # the event of a search for the chats of unanswered starts


class Ledger:
    """Appends to one process's ledger. `header` says where the chats are: run_id, worker, endpoint, region, instance_id.

    `mirror` gets a copy of each line. Every method raises OSError when the disk is full or gone; a line that fitted only in
    part is not lost to the reader as more than that one line.
    """

    def __init__(
        self, directory: Path, worker: str, header: dict[str, Any], mirror: Callable[[bytes], None] | None = None
    ) -> None:
        self._mirror = mirror
        directory.mkdir(parents=True, exist_ok=True)
        path = ledger_path(directory, worker)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._fd).st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
        if not size:
            self._append({"ledger": RUN_SCHEMA, "worker": worker, **header})

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

    def resolved(self, at: float, found: int) -> None:
        """A search for the run's chats has found `found` that no ledger knew: no start is unaccounted for any more."""
        self._append({"event": _RESOLVED, "at": at, "found": found})

    def close(self) -> None:
        """Close the file; safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, entry: dict[str, Any]) -> None:
        line = orjson.dumps(entry) + b"\n"
        if self._mirror is not None:
            self._mirror(line)
        data = b"\n" + line if self._torn else line  # what follows a torn line must not be glued to it
        written = os.write(self._fd, data)
        self._torn = written != len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class LedgerRecord:
    """What one ledger says: its header, contacts still open (contact id to unix time of the start), ended ones (id to how),
    client tokens of starts without an answer, whether a search has since found what became of those, and lines that
    could not be read."""

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    resolved: bool = False
    unreadable: int = 0


def ledger_path(directory: Path, worker: str) -> Path:
    """Where the ledger of `worker` is in a run directory."""
    return directory / f"contacts.{worker}.jsonl"


def read_ledgers(directory: Path) -> list[LedgerRecord]:
    """Read every ledger of a run directory, however its process ended. Raises UsageError for one of a newer version."""
    return [_read(path) for path in sorted(directory.glob("contacts.*.jsonl"))]


@dataclass
class Chats:
    """What all ledgers of a run say together: a chat that one process started may have been ended by another."""

    open: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    resolved: bool = False
    unreadable: int = 0

    def counts(self) -> dict[str, int]:
        """started, stopped, already_ended, kept, left_open and unanswered, as the manifest has them; kept chats are open."""
        how = Counter(self.ended.values())
        return {
            "started": len(self.open) + len(self.ended),
            **{name: how[name] for name in (STOPPED, ALREADY_ENDED, KEPT)},
            "left_open": len(self.open) + how[KEPT],
            "unanswered": 0 if self.resolved else len(self.unanswered),
        }


def merge_ledgers(records: list[LedgerRecord]) -> Chats:
    """Add up ledgers."""
    chats = Chats()
    for record in records:
        chats.ended.update(record.ended)
        chats.unanswered += record.unanswered
        chats.resolved |= record.resolved
        chats.unreadable += record.unreadable
    for record in records:
        chats.open.update((contact, at) for contact, at in record.open.items() if contact not in chats.ended)
    return chats


def _read(path: Path) -> LedgerRecord:
    record = LedgerRecord(path)
    for entry in _entries(path, record):
        if "ledger" in entry:
            record.header = entry
            schema = entry["ledger"]
            if isinstance(schema, int) and schema > RUN_SCHEMA:
                raise UsageError(
                    f"{path}: written by a newer chatquota (schema {schema}, this one reads {RUN_SCHEMA}); upgrade"
                )
            continue
        event, contact = entry.get("event"), entry.get("contact_id")
        if event == "started" and isinstance(contact, str):
            if contact not in record.ended:
                record.open[contact] = _time(entry.get("at"))
        elif event == "ended" and isinstance(contact, str):
            record.open.pop(contact, None)
            record.ended[contact] = str(entry.get("how", STOPPED))
        elif event == _RESOLVED:
            record.resolved = True
        elif event == "unanswered":
            record.unanswered.append(str(entry.get("client_token", "")))
        else:
            record.unreadable += 1
    return record


def _time(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


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
