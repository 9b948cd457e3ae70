"""Sends a run directory to S3: what is not there yet, and the manifest last."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.recording.format.layout import MANIFEST, SAMPLES
from harness.storage.address import GROWING, Address, is_run_file
from harness.storage.bucket import Bucket, NotListed


@dataclass(frozen=True)
class Pushed:
    """How many files were sent, their bytes, and how many were there already."""

    sent: int
    bytes: int
    kept: int


def push(directory: Path, address: Address) -> Pushed:
    """Send the run directory to `address`; safe to repeat, and to call while the run goes on.

    A file that only grows is sent only where its size has changed, so that a repeated push sends the rest. The manifest is
    the last, so that whoever finds a finished one finds all files. Nothing is deleted, here or there.
    Raises StorageError.
    """
    bucket = Bucket(address)
    try:
        there = {stored.name: stored.size for stored in bucket.listed()}
    except NotListed:  # a role that may only write
        there = {}
    sent = size = kept = 0
    for name in _names(directory):
        path = directory / name
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                continue  # a link may lead anywhere
            if name.endswith(GROWING) and there.get(name) == found.st_size:
                kept += 1
                continue
            bucket.send(path, name)
        except FileNotFoundError:
            continue  # a journal that has just become parquet, which the next push finds
        sent += 1
        size += found.st_size
    return Pushed(sent, size, kept)


def _names(directory: Path) -> Iterator[str]:
    """Yield the names of the run's files: samples first, the manifest last."""
    for folder in (SAMPLES, "figures", ""):
        try:
            entries = sorted(path.name for path in (directory / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            name = f"{folder}/{entry}" if folder else entry
            if is_run_file(name) and name != MANIFEST:
                yield name
    if (directory / MANIFEST).exists():
        yield MANIFEST
