"""What is asked of S3: list, send, fetch. Failures become one error whose text says what is wrong and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import boto3
import botocore.exceptions
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from harness.errors import EXIT_TARGET, ChatquotaError
from harness.storage.address import Address

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MiB = 1024 * 1024
# Several attempts with growing pauses, as the SDK makes them: S3 is not what is measured here.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 6}, connect_timeout=10, read_timeout=60)
_IN_PARTS = 16 * _MiB
_PARTS = TransferConfig(multipart_threshold=_IN_PARTS, multipart_chunksize=8 * _MiB, max_concurrency=2)
_PIECE = 1 * _MiB


class StorageError(ChatquotaError):
    """S3 could not be reached, or refused."""

    exit_code = EXIT_TARGET


class NotListed(StorageError):
    """The bucket may not be listed."""


class Changed(StorageError):
    """An object was replaced between its listing and the end of its download."""


@dataclass(frozen=True)
class Stored:
    """One object: its name relative to the address that was listed, its size in bytes, and the tag of its content."""

    name: str
    size: int
    tag: str


class _Body(Protocol):
    def read(self, amt: int) -> bytes: ...


class Bucket:
    """Objects below an address. Credentials, Region and endpoint are found as in the AWS CLI (`AWS_ENDPOINT_URL_S3` too)."""

    def __init__(self, address: Address) -> None:
        self.address = address
        with self._told():
            self._s3: S3Client = boto3.client("s3", config=_CONFIG)

    def listed(self) -> Iterator[Stored]:
        """Yield every object below the address. Raises NotListed where that is not allowed, else StorageError."""
        prefix = self.address.key("") if self.address.prefix else ""
        with self._told():
            try:
                pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.address.bucket, Prefix=prefix)
                for page in pages:
                    for item in page.get("Contents", ()):
                        yield Stored(item["Key"][len(prefix) :], item["Size"], item["ETag"])
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("AccessDenied", "403"):
                    raise NotListed(f"{self.address} may not be listed; allow s3:ListBucket on it") from error
                raise

    def folders(self) -> list[str]:
        """Return the names of the folders below the address, in order."""
        prefix = self.address.key("") if self.address.prefix else ""
        with self._told():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.address.bucket, Prefix=prefix, Delimiter="/"
            )
            return sorted(
                entry["Prefix"][len(prefix) : -1] for page in pages for entry in page.get("CommonPrefixes", ())
            )

    def send(self, path: Path, name: str) -> None:
        """Send the file at `path` as `name`, in parts where it is large. Raises StorageError, or OSError of the file."""
        bucket, key = self.address.bucket, self.address.key(name)
        # Read once: a process that goes on counting changes its tally between the checksum and the sending. What is
        # larger only grows, and is sent as far as it had come.
        content = path.read_bytes() if path.stat().st_size < _IN_PARTS else None
        with self._told():
            if content is not None:
                self._s3.put_object(Bucket=bucket, Key=key, Body=content)
            else:
                self._s3.upload_file(str(path), bucket, key, Config=_PARTS)

    def check_writable(self) -> None:
        """Begin to send an object and give it up: nothing stays. Raises StorageError where it cannot be done."""
        bucket, key = self.address.bucket, self.address.key("write-check")
        with self._told():
            begun = self._s3.create_multipart_upload(Bucket=bucket, Key=key)
            with suppress(botocore.exceptions.ClientError):  # not every role that may write may give up
                self._s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=begun["UploadId"])

    def fetch(self, stored: Stored, file: BinaryIO) -> None:
        """Write the content of `stored` to `file`, piece by piece. Raises Changed where it is not what was listed."""
        with self._told():
            answer = self._s3.get_object(
                Bucket=self.address.bucket, Key=self.address.key(stored.name), IfMatch=stored.tag
            )
            body: _Body = answer["Body"]
            left = stored.size
            while piece := body.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    break
                file.write(piece)
        if left:
            raise Changed(f"{self.address.below(stored.name)} is not as long as it was listed; try again")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except botocore.exceptions.ClientError as error:
            kind = Changed if error.response["Error"].get("Code") in _CHANGED else StorageError
            raise kind(self._refusal(error)) from error
        except botocore.exceptions.FlexibleChecksumError as error:
            raise Changed(self._line(error)) from error
        except S3UploadFailedError as error:
            cause = error.__context__
            said = self._refusal(cause) if isinstance(cause, botocore.exceptions.ClientError) else self._line(error)
            raise StorageError(said) from error
        except botocore.exceptions.NoCredentialsError as error:
            raise StorageError(
                f"{self.address}: no AWS credentials; set AWS_PROFILE, or give this machine a role"
            ) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise StorageError(self._line(error)) from error

    def _refusal(self, error: botocore.exceptions.ClientError) -> str:
        code = error.response["Error"].get("Code", "unknown")
        hint = _HINTS.get(code, "see the bucket's policy and your credentials")
        return f"{self.address}: {error.operation_name} was refused, {code[:80]}; {hint}"

    def _line(self, error: Exception) -> str:
        return f"{self.address}: {' '.join(str(error).split())[:300]}; check the network and the AWS configuration"


_CHANGED = ("PreconditionFailed", "NoSuchKey")
_HINTS = {
    "NoSuchBucket": "there is no such bucket: check its name",
    "AccessDenied": "allow s3:PutObject and s3:ListBucket to send runs, s3:GetObject and s3:ListBucket to read them",
    "PreconditionFailed": "the object has just been changed: try again",
}
