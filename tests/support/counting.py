"""Starts the counting server as a process of its own and asks it what it counted."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("counting_server.py")


class CountingServer:
    """A running counting server: where it is, and what it saw."""

    def __init__(self, announcement: dict[str, str]) -> None:
        self.announcement = announcement
        self.endpoint = announcement["endpoint"]

    def count(self) -> dict[str, int]:
        """Its counts: started, tps_throttled, active_chat_limit, faults, open, stopped, duplicates and more."""
        counts: dict[str, int] = self._get("_count")
        return counts

    def record(self) -> list[dict[str, Any]]:
        """One entry for each request that it took: request_id, path, client_token or contact_id, did, status."""
        record: list[dict[str, Any]] = self._get("_record")
        return record

    def open_chats(self) -> list[str]:
        """The contacts that are open now."""
        contacts: list[str] = self._get("_open")
        return contacts

    def end_all(self) -> None:
        """End every open chat, as agents or customers do."""
        self._get("_end_all")

    def secrets(self) -> list[str]:
        """Every secret that it gave away, or that a request was signed with."""
        secrets: list[str] = self._get("_secrets")
        return secrets

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.endpoint}/{what}", timeout=10) as answer:
            return json.load(answer)


@contextmanager
def counting_server(*options: str) -> Iterator[CountingServer]:
    """A counting server with the given command line options; stopped at the end, or when this process dies."""
    process = subprocess.Popen(
        [sys.executable, str(SERVER), "--lifeline", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield CountingServer(json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()
