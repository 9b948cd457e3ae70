"""Marks a run as this user's own on this machine, so that a run directory from elsewhere is known when it is cleaned up.

The mark is an HMAC of the run's id and target under a random key that never leaves the user's state directory
(`~/.local/state/chatquota/key`): it can be neither guessed nor moved to a directory that names another target.
"""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.files import open_plain, read_plain

_KEY_BYTES = 32


def mark(run_id: str, endpoint: str, instance_id: str) -> str | None:
    """Return this user's mark of a run; None where no key can be kept (a home directory that cannot be written)."""
    key = _key(create=True)
    return None if key is None else _mark(key, run_id, endpoint, instance_id)


def is_own(marked: str | None, run_id: str, endpoint: str, instance_id: str) -> bool:
    """Return whether `marked` is the mark that this user on this machine gave to the run."""
    key = _key(create=False)
    if key is None or not marked:
        return False
    return hmac.compare_digest(marked.encode(), _mark(key, run_id, endpoint, instance_id).encode())


def _mark(key: bytes, *parts: str) -> str:
    return hmac.new(key, "\n".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _key(*, create: bool) -> bytes | None:
    try:
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        path = Path(base) / "chatquota" / "key"
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Written under another name first: two runs that begin together must not read half a key.
            fresh = path.with_name(f"key.{os.getpid()}")
            with os.fdopen(open_plain(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            with suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()
        found = path.lstat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None  # others may read or have placed it
        key = read_plain(path, 1024)
    except (OSError, RuntimeError, UsageError):
        return None
    return key if len(key) == _KEY_BYTES else None
