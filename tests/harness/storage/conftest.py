"""Fixtures of the tests of S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.storage.support import Store, s3


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """An S3 of its own that this process's SDK calls, and a cache below the test's directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with s3() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
