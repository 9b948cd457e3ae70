"""Reading run directories as they are found: whole, half written, damaged, or of another kind."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.recording.format.manifest import Chats, Manifest
from harness.recording.lock import RunLock
from reports.run.rundir import ledger_chats, read_run, validity
from tests.reports.conftest import MakeRun

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        *("schema", "run_id", "status", "started_at", "ended_at", "options", "target", "workload", "declared"),
        *("generator", "answers", "chats", "versions", "exit_code", "user_class"),
    ]
)
generator_keys = st.sampled_from(["valid", "reasons", "offered", "dropped_by_second", "lateness_ms_p99", "processes"])
manifests = st.dictionaries(keys, json_values | st.dictionaries(generator_keys, json_values, max_size=4), max_size=8)


def test_a_whole_run_has_no_problems(make_run: MakeRun) -> None:
    """A finished run of schema 1 reads without complaint, and its ledger adds up."""
    run = read_run(make_run())
    chats = ledger_chats(run)
    assert run.problems == ()
    assert validity(run) == (True, [])
    assert chats == Chats(started=30, stopped=30)


def test_a_killed_run_says_so_and_counts_its_open_chats(make_run: MakeRun) -> None:
    """A run that is still "running" did not end in order; a torn last line of its ledger costs that line only."""
    path = make_run(status="running", generator=None, chats=None, answers=None)
    lines = (path / "contacts.local.jsonl").read_text().splitlines()
    kept = [line for line in lines if '"ended"' not in line]
    (path / "contacts.local.jsonl").write_text("\n".join(kept) + '\n{"event":"sta')
    run = read_run(path)
    chats = ledger_chats(run)
    assert any("did not end in order" in problem for problem in run.problems)
    assert chats == Chats(started=30, left_open=30)
    valid, reasons = validity(run)
    assert not valid
    assert any("did not end in order" in reason for reason in reasons)


def test_a_run_that_goes_on_is_not_told_as_killed(make_run: MakeRun) -> None:
    """While its process holds the directory, what is there is so far; it is no whole run either."""
    path = make_run(status="running", generator=None)
    lock = RunLock(path)
    run = read_run(path)
    lock.release()
    assert run.problems[-1] == "the run is still going on: this is what it has recorded so far"
    valid, reasons = validity(run)
    assert not valid
    assert reasons[0] == "the run is still going on"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: path.mkdir(), "is not a run directory"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, prepare: Any, message: str) -> None:
    """A path that holds no run is a usage error that says what to give instead."""
    path = tmp_path / "run"
    prepare(path)
    with pytest.raises(UsageError, match=message) as error:
        read_run(path)
    assert "\n" not in str(error.value)


def test_a_newer_schema_is_refused(make_run: MakeRun) -> None:
    """A run that a newer version wrote is not guessed at."""
    with pytest.raises(UsageError, match=r"newer chatquota \(schema 2.*upgrade chatquota"):
        read_run(make_run(schema=2))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(manifest=manifests | json_values)
def test_any_manifest_is_read_or_refused_in_one_line(manifest: Any, tmp_path: Path) -> None:
    """Whatever JSON run.json holds, reading it ends in a run whose sections have their types, or in one clear line."""
    path = tmp_path / "any"
    (path / "samples").mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(json.dumps(manifest))
    refused, run = "", None
    try:
        run = read_run(path)
    except UsageError as error:
        refused = str(error)
    assert "\n" not in refused
    if run is None:
        assert refused
        return
    assert msgspec.convert(msgspec.to_builtins(run.manifest), Manifest) == run.manifest
    valid, reasons = validity(run)
    assert valid == (not reasons)
    assert all(isinstance(reason, str) for reason in reasons)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_named(content: bytes, tmp_path: Path) -> None:
    """Arbitrary bytes in run.json and the ledger cost a problem or a skipped line, never an exception."""
    path = tmp_path / "bytes"
    (path / "samples").mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_bytes(content)
    (path / "contacts.local.jsonl").write_bytes(content)
    try:
        run = read_run(path)
    except UsageError:
        return
    assert run.problems
    ledger_chats(run)
