"""Writes files into a run directory: each whole, and never through a link that leads out of it."""

import os
import tempfile
from pathlib import Path

from harness.errors import UsageError


def replace(path: Path, content: str | bytes) -> None:
    """Write a file whole: a reader sees the old one or the new one. A symbolic link is replaced, not followed.

    Raises OSError with the name of the file where it cannot be written.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, content: str | bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)
        Path(name).chmod(0o644 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """What the user keeps from others: a process can only be told it by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def own_folder(path: Path) -> Path:
    """Return a folder of the run directory, made where it is missing.

    Raises UsageError where it is a symbolic link, or not a folder: what is written or deleted there would be elsewhere.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError(f"{path} is not a folder of the run directory itself; remove it, and make the report again")
    path.mkdir(exist_ok=True)
    return path
