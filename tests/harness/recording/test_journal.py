"""The journal gives back what encoding took."""

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal


def test_the_memory_that_encoding_a_segment_took_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's pool keeps it for the thread that took it, which may not encode again for hours."""
    files: list[list[str]] = []
    pool = SimpleNamespace(release_unused=lambda: files.append([path.suffix for path in tmp_path.iterdir()]))
    monkeypatch.setattr(pa, "default_memory_pool", lambda: pool)
    journal = Journal(tmp_path, "local")
    journal.append(to_batch([Sample("StartChatContact", 10.0, 10.01, 10.1, "started", 200)]))
    journal.close()
    assert len(files) == 1
    assert ".parquet" in files[0]
