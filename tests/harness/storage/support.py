"""A bucket of moto's S3 server on a free port, and small run directories to send there."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal

BUCKET = "load-tests"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Store:
    """A running S3: what a process needs to call it, and a client that looks inside."""

    environment: dict[str, str]
    client: Any

    def put(self, key: str, content: bytes) -> None:
        """Store an object under exactly this key."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def names(self) -> list[str]:
        """Every key, in order."""
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ()))

    def content(self, key: str) -> bytes:
        """What an object holds."""
        read: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return read


@contextmanager
def s3() -> Iterator[Store]:
    """Serve one empty bucket, BUCKET."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    try:
        # moto keeps what earlier servers of this process held.
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=10).close()
        client.create_bucket(Bucket=BUCKET)
        yield Store({"AWS_ENDPOINT_URL_S3": endpoint, **KEYS}, client)
    finally:
        client.close()
        server.stop()


def write_run(directory: Path, run_id: str = "20261124T120000Z-start-chat-abc123", rows: int = 5) -> Path:
    """Write a small finished run directory: a manifest, a ledger and one segment of samples."""
    journal = Journal(directory / "samples", "local")
    journal.append(
        to_batch([Sample("StartChatContact", 1.0 * row, 1.0 * row, 1.0 * row, "started") for row in range(rows)])
    )
    journal.close()
    (directory / "contacts.local.jsonl").write_text('{"event": "started"}\n')
    (directory / "run.json").write_text(json.dumps({"schema": 1, "run_id": run_id, "status": "finished"}))
    return directory
