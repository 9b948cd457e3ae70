"""A run that is kept in S3 while it goes on, and what reads it there; S3 is moto's server."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.storage.support import BUCKET, Store, s3
from tests.support.counting import counting_server
from tests.support.locust_runs import PATIENCE, Finished, chatquota, locust, manifest, started, wait_until_started

PLACE = f"s3://{BUCKET}/team"


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty bucket."""
    with s3() as running:
        yield running


def wait_for_key(store: Store, ending: str) -> None:
    """Wait until an object whose key ends so is in the bucket."""
    give_up = time.monotonic() + PATIENCE
    while not any(key.endswith(ending) for key in store.names()):
        assert time.monotonic() < give_up, f"no {ending} in {store.names()}"
        time.sleep(0.05)


@pytest.mark.slow
def test_run_is_in_s3_at_its_end_and_is_read_there(tmp_path: Path, store: Store) -> None:
    """The manifest is there from the start and finished at the end; report, compare and cleanup take the address."""
    environment = {**store.environment, "CHATQUOTA_UPLOAD": PLACE, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with counting_server("--latency", "0.02") as server:

        def say(*arguments: str) -> Finished:
            with started(chatquota(*arguments), tmp_path, server, **environment) as command:
                return command.wait()

        options = ("-u", "20", "-r", "20", "-t", "6s", "--hold", "1s", "--stop-rate", "400")
        with started(locust(server, *options), tmp_path, server, **environment) as run:
            wait_for_key(store, "/run.json")
            assert run.process.poll() is None
            done = run.wait()
        assert done.code == 0, done.said
        local = next((tmp_path / "runs").iterdir())
        place = f"{PLACE}/{manifest(local)['run_id']}"
        prefix = place.removeprefix(f"s3://{BUCKET}/")
        kept = ("run.json", "contacts.local.jsonl", "samples/local-00000.parquet")
        for name in kept:
            assert store.content(f"{prefix}/{name}") == (local / name).read_bytes()

        report = say("report", place, "--no-figures")
        assert report.code == 0, report.said
        assert next((tmp_path / "cache").rglob("capacity.json")).exists()
        assert say("report", f"{PLACE}/latest", "--summary").code == 0
        assert say("report", "latest", "--no-figures").code == 0
        compared = say("compare", place, "latest")
        assert compared.code == 0, compared.said
        listed = say("runs")
        assert (listed.code, local.name in listed.said) == (0, True)
        assert "no chat of this run is open" in say("cleanup", place, "--yes").said


@pytest.mark.slow
def test_killed_pod_leaves_ledger_and_samples_that_cleanup_finishes_from_s3(tmp_path: Path, store: Store) -> None:
    """SIGTERM sends ledger and samples so far at once; what a SIGKILL then cuts off, cleanup stops on another machine."""
    slow = ("-u", "60", "-r", "60", "--hold", "60s", "--stop-rate", "1", "--run-dir", "run", "--upload", PLACE)
    environment = {**store.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with counting_server("--latency", "0.02") as server:
        with started(locust(server, *slow), tmp_path, server, **environment) as run:
            wait_until_started(server, 60)
            run.process.send_signal(signal.SIGTERM)
            wait_for_key(store, "/contacts.local.jsonl")
            wait_for_key(store, ".arrows")
            os.kill(run.process.pid, signal.SIGKILL)
            run.wait()
        (tmp_path / "run").rename(tmp_path / "lost")
        before = server.count()["open"]
        assert before > 0
        command = chatquota("cleanup", f"{PLACE}/latest", "--yes", "--trust-ledger", "--stop-rate", "400")
        with started(command, tmp_path, server, **environment) as cleanup:
            cleaned = cleanup.wait()
        assert cleaned.code == 0, cleaned.said
        assert "the completed record is there too" in cleaned.said
        assert server.count()["open"] == 0
        key = next(key for key in store.names() if key.endswith("/run.json"))
        assert b'"recovered"' in store.content(key)


@pytest.mark.slow
def test_failed_upload_says_so_and_loses_nothing(tmp_path: Path, store: Store) -> None:
    """A bucket that goes away in mid-run costs one line, exit code 5 and no sample; `chatquota upload` sends it later."""
    options = ("-u", "20", "-r", "20", "-t", "6s", "--hold", "1s", "--stop-rate", "400", "--run-dir", "run")
    with counting_server("--latency", "0.02") as server:
        command = locust(server, *options, "--upload", PLACE)
        with started(command, tmp_path, server, **store.environment) as run:
            wait_for_key(store, "/run.json")
            for key in store.names():
                store.client.delete_object(Bucket=BUCKET, Key=key)
            store.client.delete_bucket(Bucket=BUCKET)
            done = run.wait()
        assert done.code == 5, done.said
        assert "Traceback" not in done.said
        line = next(line for line in done.said.splitlines() if "the run is not in S3" in line)
        assert "NoSuchBucket" in line
        assert manifest(tmp_path / "run")["generator"]["valid"]
        store.client.create_bucket(Bucket=BUCKET)
        with started(chatquota("upload", "run", PLACE), tmp_path, server, **store.environment) as again:
            sent = again.wait()
        assert (sent.code, "files sent" in sent.said) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://no-such-bucket/x", "there is no such bucket: check its name"),
        ("bucket/x", "--upload 'bucket/x' is not a place in S3; write one like s3://my-bucket/load-tests"),
    ],
)
def test_wrong_address_ends_the_run_before_its_first_call(
    tmp_path: Path, store: Store, address: str, said: str
) -> None:
    """A misspelt bucket is one line and exit code 2, and no chat is started."""
    with counting_server() as server:
        command = locust(server, "-u", "5", "-t", "5s", "--upload", address)
        with started(command, tmp_path, server, **store.environment) as run:
            done = run.wait()
        assert done.code == 2, done.said
        assert said in done.said
        assert server.count()["started"] == 0
