"""The ledger of chats: every chat that was started is on disk here before its process makes another call.

One append-only file of JSON lines for each process, `contacts.<worker>.jsonl`. A line, or those of chats whose answers are
read together, are written with one system call: a process killed at any instant loses nothing that was written before, and
tears at most one line.
"""

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from harness.recording.format.files import open_plain
from harness.recording.format.layout import RUN_SCHEMA, ledger_path
from harness.recording.format.ledger import ALREADY_ENDED, ENDED, KEPT, RESOLVED, STARTED, STOPPED, UNANSWERED
from harness.recording.redact import redact_field, redact_id

__all__ = ["ALREADY_ENDED", "KEPT", "STOPPED", "Ledger"]


class Ledger:
    """Appends to one process's ledger. `header` says where the chats are: run_id, worker, endpoint, region, instance_id.

    `mirror` gets a copy of each line. Every method raises OSError when the disk is full or gone; a line that fitted only in
    part is not lost to the reader as more than that one line.

    Lines of started chats that are noted between `gather` and `commit` are written by `commit`.
    """

    def __init__(
        self, directory: Path, worker: str, header: Mapping[str, object], mirror: Callable[[bytes], None] | None = None
    ) -> None:
        self._mirror = mirror
        self._gathered: list[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        path = ledger_path(directory, worker)
        self._fd = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        size = os.fstat(self._fd).st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
        if not size:
            self._append({"ledger": RUN_SCHEMA, "worker": worker, **header})

    def started(self, contact_id: str, at: float) -> None:
        """Note that a start was answered with this contact."""
        entry = {"event": STARTED, "at": at, "contact_id": redact_id(contact_id)}
        if self._gathered is None:
            self._append(entry)
        else:
            self._gathered.append(self._line(entry))

    def ended(
        self,
        contact_id: str,
        at: float,
        how: str,
        reason: str | None = None,
        service_times: tuple[float, float] | None = None,
    ) -> None:
        """Note that the contact has ended: `how` is stopped, already_ended, or kept for one that is left open on purpose.

        Of one that had ended already a second line may follow, with the service's DisconnectReason as `reason`, and
        `service_times`: when it began and ended by the service's own clock (unix s).
        """
        told: dict[str, object] = {} if reason is None else {"reason": redact_field(reason)}
        if service_times is not None:
            told["service_begun"], told["service_ended"] = service_times
        self._append({"event": ENDED, "at": at, "contact_id": redact_id(contact_id), "how": how, **told})

    def unanswered(self, client_token: str, at: float) -> None:
        """Note that a start got no answer: the chat may exist."""
        self._append({"event": UNANSWERED, "at": at, "client_token": client_token})

    def resolved(self, at: float, found: int) -> None:
        """Note that a search for the run's chats has found `found` that no ledger knew: no start is unaccounted for
        any more.
        """
        self._append({"event": RESOLVED, "at": at, "found": found})

    def gather(self) -> None:
        """Let the lines of chats that are started from now on wait for `commit`."""
        self._gathered = []

    def commit(self) -> None:
        """Write the lines that wait, and let none wait any more."""
        lines, self._gathered = self._gathered, None
        if lines:
            self._write(b"".join(lines))

    def close(self) -> None:
        """Close the file; safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, entry: Mapping[str, object]) -> None:
        line = self._line(entry)
        if self._gathered:  # the file tells what happened in the order in which it did
            waiting, self._gathered = self._gathered, []
            line = b"".join((*waiting, line))
        self._write(line)

    def _line(self, entry: Mapping[str, object]) -> bytes:
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        if self._mirror is not None:
            self._mirror(line)
        return line

    def _write(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line  # what follows a torn line must not be glued to it
        written = os.write(self._fd, data)
        self._torn = written != len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
