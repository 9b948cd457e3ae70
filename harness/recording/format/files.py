"""Opens the files of a run directory, which may come from anywhere: plain files only, never through a link, and bounded."""

import errno
import os
import stat
from pathlib import Path

from harness.errors import UsageError

MiB = 1024 * 1024


def open_plain(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file of a run directory and return its descriptor.

    Raises UsageError where it is a symbolic link, a directory, a pipe or a device, or, for writing, has a second name
    elsewhere (a hard link); OSError where the system cannot open it. Never waits for the other end of a pipe.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise UsageError(f"{path} is a symbolic link; a run directory holds plain files only: remove it") from error
        if error.errno in (errno.ENXIO, errno.EISDIR, errno.ENODEV):
            raise _not_plain(path) from error
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise _not_plain(path)
    if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
        os.close(fd)
        raise UsageError(f"{path} has a second name elsewhere (a hard link) and is not written to: remove it")
    return fd


def read_plain(path: Path, at_most: int, offset: int = 0) -> bytes:
    """Return the content of a plain file from `offset` on. Raises UsageError as `open_plain` does, and for over `at_most`
    bytes.
    """
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        file.seek(offset)
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise too_long(path, at_most)
    return content


def too_long(path: Path, at_most: int) -> UsageError:
    """Return the error of a file of more than `at_most` bytes."""
    return UsageError(f"{path} is over {at_most // MiB:,} MiB long; no run writes one so long: it is not read")


def read_part(path: Path, offset: int, length: int | None) -> tuple[bytes, int]:
    """Return `length` bytes (None: all) of a plain file from `offset` on, fewer at its end, and the size of the file.

    Raises UsageError as `open_plain` does.
    """
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        content = file.read(-1 if length is None else length)
    return content, max(size, offset + len(content))


def check_plain(path: Path) -> None:
    """Raise UsageError where `path` is not a plain file, OSError where it is not there: for readers that open it by name."""
    os.close(open_plain(path, os.O_RDONLY))


def check_own_directory(path: Path) -> None:
    """Raise UsageError where `path` (such as `samples/`) is there and is not a directory itself: a link, or a file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise UsageError(f"{path} is a symbolic link; a run directory holds its samples itself: remove it")
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{path} is not a directory; remove it")


def _not_plain(path: Path) -> UsageError:
    return UsageError(f"{path} is not a plain file; a run directory holds plain files only: remove it")
