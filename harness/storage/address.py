"""Addresses of S3, `s3://bucket/prefix`, and which names below one belong to a run directory."""

import re
from dataclasses import dataclass

from harness.recording.format.layout import DAMAGED, JOURNAL, MANIFEST, PARQUET, SAMPLES, TALLY, is_worker_name

SCHEME = "s3://"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[\w!.*'()=+@:,/-]*", re.ASCII)
_LEDGER = re.compile(r"contacts\.(.+)\.jsonl", re.DOTALL)
_SEGMENT = re.compile(r"(.+)-\d{5,9}", re.DOTALL)
_REPORT = ("capacity.json", "report.html", "report.md", "quota-request.md", "junit.xml")
_FIGURE = re.compile(r"figures/[a-z0-9_-]{1,100}\.(?:svg|png)")

GROWING = (JOURNAL, PARQUET, DAMAGED, ".jsonl")
"""Files that only ever grow, or are written once: two of the same name and size are the same."""


@dataclass(frozen=True)
class Address:
    """A place in S3; `prefix` has no slash at either end and may be empty."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "Address":
        """Return the address of `name` below this one."""
        return Address(self.bucket, f"{self.prefix}/{name}".lstrip("/"))

    def key(self, name: str) -> str:
        """Return the key of the file `name` (relative, with slashes) here."""
        return self.below(name).prefix


def is_address(text: str) -> bool:
    """Return whether `text` means a place in S3 rather than a path."""
    return text.startswith(SCHEME)


def parse_address(text: str) -> Address:
    """Return the address that `text` writes. Raises ValueError that says how one is written."""
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    prefix = prefix.strip("/")
    fits = (
        len(prefix) <= 700
        and _PREFIX.fullmatch(prefix)
        and not {"", ".", ".."} & set(prefix.split("/") if prefix else ())
    )
    if not is_address(text) or not _BUCKET.fullmatch(bucket) or ".." in bucket or not fits:
        raise ValueError(f"{text[:200]!r} is not a place in S3; write one like s3://my-bucket/load-tests")
    return Address(bucket, prefix)


def check_address(text: str) -> str:
    """Accept "" or an address of S3, and return it without a slash at its end. Raises ValueError."""
    return str(parse_address(text)) if text else ""


def is_run_file(name: str) -> bool:
    """Return whether `name`, relative to a run directory, is one that chatquota gives to a file that is worth keeping.

    Lock, marks of the machine and half-written files are not. What this accepts can lead nowhere else: it has no `..`, no
    leading slash, and no folder but `samples` and `figures`.
    """
    if name in (MANIFEST, *_REPORT) or _FIGURE.fullmatch(name):
        return True
    if match := _LEDGER.fullmatch(name):
        return is_worker_name(match[1])
    folder, _, file = name.partition("/")
    if folder != SAMPLES:
        return False
    stem, dot, ending = file.rpartition(".")
    if dot + ending == TALLY:
        return is_worker_name(stem)
    segment = _SEGMENT.fullmatch(stem)
    return dot + ending in (JOURNAL, PARQUET, DAMAGED) and segment is not None and is_worker_name(segment[1])


def is_hostile(name: str) -> bool:
    """Return whether `name` was made to lead out of the directory that it would be written to."""
    return not name.isprintable() or "\\" in name or bool({"", ".", ".."} & set(name.removesuffix("/").split("/")))
