"""Counters of one process that survive its being killed, and the proof that it is alive.

They lie in a small mapped file, so counting costs no system call and the last count is there whatever ends the process. With
them it is known exactly how many samples a killed process had taken but not yet written. The process holds a lock on the
file that the system releases at its death: who can take the lock knows that nobody counts any more.
"""

import errno
import fcntl
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.files import check_own_directory, open_plain, read_plain
from harness.recording.format.layout import tally_path, workers_with_tally
from harness.recording.lock import is_locked

_SIZE = 4096
_MOST = 1 << 40  # no process makes so many calls: the file is damaged
_BEGUN, _RECORDED, _PLACES = range(3)


@dataclass(frozen=True)
class Counts:
    """`begun` attempts were put on the wire, `recorded` of them were taken as samples; `places` of the budget of chats were
    taken, by chats and by calls on the wire.
    """

    begun: int = 0
    recorded: int = 0
    places: int = 0


class Tally:
    """The counters of this process for `worker`, in the directory of the samples. Raises OSError where none can be made."""

    def __init__(self, directory: Path, worker: str) -> None:
        check_own_directory(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.path = tally_path(directory, worker)
        self._fd = open_plain(self.path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Written, not just made long: a mapped page that the full disk has no block for would kill the process.
            if os.pwrite(self._fd, bytes(_SIZE), 0) != _SIZE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._map = mmap.mmap(self._fd, _SIZE)
        except BaseException:
            os.close(self._fd)
            raise
        self._cells = memoryview(self._map).cast("Q")
        self._closed = False
        self._missing = 0

    def begun(self) -> None:
        """One more attempt goes on the wire."""
        if not self._closed:
            self._cells[_BEGUN] += 1

    def recorded(self) -> None:
        """One more attempt was taken as a sample."""
        if not self._closed:  # an answer that came after the end
            self._cells[_RECORDED] += 1

    @property
    def missing(self) -> int:
        """Attempts that went on the wire and were not taken as samples."""
        return self._missing if self._closed else int(self._cells[_BEGUN] - self._cells[_RECORDED])

    def places(self, taken: int) -> None:
        """So many places of the budget are taken now."""
        if not self._closed:
            self._cells[_PLACES] = taken

    def close(self, *, remove: bool) -> None:
        """Let go of the file. It is removed when everything that it counted is written; else it tells what is missing."""
        self._missing = self.missing
        self._closed = True
        self._cells.release()
        self._map.close()
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)


def read_counts(directory: Path, worker: str) -> Counts | None:
    """Return what the tally of `worker` says; None when there is none, or none that can be read."""
    try:
        data = read_plain(tally_path(directory, worker), _SIZE)
    except (OSError, UsageError):
        return None
    if len(data) < 24:
        return None
    cells = memoryview(data)[:24].cast("Q")
    if max(cells) > _MOST:
        return None
    return Counts(cells[_BEGUN], cells[_RECORDED], cells[_PLACES])


def is_alive(directory: Path, worker: str) -> bool:
    """Whether the process that counts for `worker` lives. False, too, when it has closed its tally."""
    return is_locked(tally_path(directory, worker), in_doubt=True)


def alive_workers(directory: Path) -> list[str]:
    """Return the workers in the directory of the samples whose processes live."""
    return [worker for worker in workers_with_tally(directory) if is_alive(directory, worker)]
