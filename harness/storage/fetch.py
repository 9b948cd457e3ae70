"""Fetches a run directory from S3 into this machine's cache, to be read, reported and cleaned up there."""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from harness.errors import UsageError
from harness.recording.format.layout import JOURNAL, MANIFEST, PARQUET
from harness.storage.address import Address, is_hostile, is_run_file
from harness.storage.bucket import Bucket, Changed, StorageError, Stored

GiB = 1024**3
MOST_BYTES = 16 * GiB
"""The largest run that is fetched: about 500 million samples."""
MOST_FILES = 20_000
_TAGS = "fetched.json"
_TRIES = 4


def fetch(address: Address) -> Path:
    """Bring the cache's copy of the run at `address` up to date and return its directory.

    What is there already and has not changed in S3 is not fetched again, so that an interrupted fetch goes on, and what
    `chatquota report` or `cleanup` wrote stays. Only files that a run directory has are fetched. Raises UsageError where
    there is no run, it holds a name that leads elsewhere, or it is too large; StorageError where S3 refuses.
    """
    bucket = Bucket(address)
    for _ in range(_TRIES - 1):
        with suppress(Changed):  # the run, or what it left behind, still sends: what is there now is listed anew
            return _fetch_listed(address, bucket)
    return _fetch_listed(address, bucket)


def _fetch_listed(address: Address, bucket: Bucket) -> Path:
    wanted = _chosen(address, bucket)
    directory = _cached(address)
    _check_room(address, sum(stored.size for stored in wanted), directory)
    tags_file = directory.parent / _TAGS
    tags = _read_tags(tags_file)
    try:
        for stored in wanted:
            if tags.get(stored.name) != stored.tag or not (directory / stored.name).exists():
                _fetch_one(bucket, stored, directory)
                tags[stored.name] = stored.tag
    finally:
        tags_file.write_text(json.dumps(tags))
    for stored in wanted:
        if stored.name.endswith(PARQUET):  # made of a journal that an earlier fetch brought
            (directory / stored.name).with_suffix(JOURNAL).unlink(missing_ok=True)
    return directory


def newest(address: Address) -> Address:
    """Return the newest run below `address`: runs are named by the time at which they began. Raises UsageError."""
    folders = [name for name in Bucket(address).folders() if name[:1].isdigit()]
    if not folders:
        raise UsageError(f"{address} holds no runs; give the prefix that --upload was given")
    return address.below(folders[-1])


def _chosen(address: Address, bucket: Bucket) -> list[Stored]:
    """Return the objects of the run, checked; a journal of which there is a parquet file is left out."""
    found: dict[str, Stored] = {}
    size = 0
    for count, stored in enumerate(bucket.listed(), 1):
        if is_hostile(stored.name) and stored.name:
            raise UsageError(
                f"{address} holds the key {stored.name[:100]!r}, which leads elsewhere: nothing was fetched"
            )
        if is_run_file(stored.name):
            found[stored.name] = stored
            size += stored.size
        if count > MOST_FILES:
            raise UsageError(f"{address} holds over {MOST_FILES:,} objects; give the address of one run")
        if size > MOST_BYTES:
            raise UsageError(
                f"{address} is over {MOST_BYTES // GiB} GiB; copy it with `aws s3 sync` where there is room, and name that"
            )
    if MANIFEST not in found and not any(name.startswith("samples/") for name in found):
        raise UsageError(f"{address} is not a run: it has neither run.json nor samples/; name one, or add /latest")
    journals = {name for name in found if name.endswith(JOURNAL)}
    stale = {name for name in journals if name.removesuffix(JOURNAL) + PARQUET in found}
    return [stored for name, stored in sorted(found.items()) if name not in stale]


def _cached(address: Address) -> Path:
    """Return the cache's directory of a run: named as the run, in a folder that no other address has."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    directory = Path(base) / "chatquota" / digest / (address.prefix.rpartition("/")[2] or address.bucket)
    try:
        for folder in ("", "samples", "figures"):
            (directory / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{error.filename}: {(error.strerror or '').lower()}; set XDG_CACHE_HOME") from error
    return directory


def _check_room(address: Address, size: int, directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if size > free:
        raise UsageError(f"{address} has {size:,} bytes, and {directory} room for {free:,}; set XDG_CACHE_HOME")


def _read_tags(path: Path) -> dict[str, str]:
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _fetch_one(bucket: Bucket, stored: Stored, directory: Path) -> None:
    path = directory / stored.name
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".fetching-")
    try:
        with os.fdopen(handle, "wb") as file:
            bucket.fetch(stored, file)
        Path(partial).replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {(error.strerror or str(error)).lower()}; set XDG_CACHE_HOME") from error
    finally:
        with suppress(FileNotFoundError):
            Path(partial).unlink()
