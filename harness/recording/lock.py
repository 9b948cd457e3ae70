"""The lock of a run directory: held by the process that writes it, so that nothing else changes it meanwhile."""

import fcntl
import os
from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.files import open_plain
from harness.recording.format.layout import LOCK


class Locked(Exception):
    """Another process holds the lock. `holder` is the process id that it wrote, or ""."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class RunLock:
    """Takes the lock of `directory` for this process; the system releases it at the process's end, however that comes.

    Raises Locked while another process holds it, UsageError where `.lock` is not a plain file, and OSError where none can
    be made.
    """

    def __init__(self, directory: Path) -> None:
        self._fd = open_plain(directory / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise Locked(holder) from error
        except OSError:
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; safe to call again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_held(directory: Path) -> bool:
    """Whether a process holds the lock of `directory`: its run, or a cleanup of it, is going on. Changes nothing there."""
    return is_locked(directory / LOCK, in_doubt=False)


def is_locked(path: Path, *, in_doubt: bool) -> bool:
    """Whether a process holds the exclusive lock on the file, which a dead one does not; False, too, where there is none
    that may be read. `in_doubt` is returned where the system cannot tell. Nothing is changed.
    """
    try:
        fd = open_plain(path, os.O_RDONLY)
    except (OSError, UsageError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return in_doubt
    finally:
        os.close(fd)
    return False
