"""Run directories go to S3 and come back, against moto's S3 server."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.storage import fetch as fetching
from harness.storage.address import Address
from harness.storage.bucket import Bucket, StorageError, Stored
from harness.storage.command import main as upload
from harness.storage.fetch import fetch, newest
from harness.storage.push import push
from tests.harness.storage.support import BUCKET, Store, write_run

RUN = Address(BUCKET, "team/20261124T120000Z-start-chat-abc123")


def files(directory: Path) -> dict[str, bytes]:
    """What a directory holds, by relative name."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_run_comes_back_as_it_was_sent(store: Store, tmp_path: Path) -> None:
    """Manifest, ledger and samples are the same bytes, in a directory of the run's name."""
    run = write_run(tmp_path / "run")
    (run / ".lock").touch()
    assert push(run, RUN).sent == 3
    fetched = fetch(RUN)
    assert fetched.name == "20261124T120000Z-start-chat-abc123"
    assert files(fetched) == {name: content for name, content in files(run).items() if name != ".lock"}


def test_a_push_sends_only_what_is_not_there_yet(store: Store, tmp_path: Path) -> None:
    """After an interrupted upload the next one goes on: samples are not sent twice, a grown ledger is."""
    run = write_run(tmp_path / "run")
    push(run, RUN)
    assert push(run, RUN).kept == 2
    with (run / "contacts.local.jsonl").open("a") as ledger:
        ledger.write('{"event": "ended"}\n')
    again = push(run, RUN)
    assert (again.kept, again.sent) == (1, 2)
    assert b"ended" in store.content(RUN.key("contacts.local.jsonl"))


def test_a_link_in_the_run_directory_is_not_followed(store: Store, tmp_path: Path) -> None:
    """A file of the machine is not sent because a link to it has the right name."""
    run = write_run(tmp_path / "run")
    (tmp_path / "secret").write_text("secret")
    (run / "report.md").symlink_to(tmp_path / "secret")
    push(run, RUN)
    assert RUN.key("report.md") not in store.names()


def test_a_journal_that_became_parquet_is_not_read_twice(store: Store, tmp_path: Path) -> None:
    """What an upload in mid-run left of a journal gives way to the finished segment, also in the cache."""
    run = write_run(tmp_path / "run")
    parquet = run / "samples" / "local-00000.parquet"
    store.put(RUN.key("samples/local-00000.arrows"), b"half a journal")
    store.put(RUN.key("run.json"), b"{}")
    assert (fetch(RUN) / "samples" / "local-00000.arrows").exists()
    push(run, RUN)
    assert sorted(path.name for path in (fetch(RUN) / "samples").iterdir()) == [parquet.name]


def test_fetching_again_keeps_what_was_made_here_and_takes_what_is_new(store: Store, tmp_path: Path) -> None:
    """A report in the cache stays; a ledger that changed in S3 replaces the copy; the rest is not fetched again."""
    run = write_run(tmp_path / "run")
    push(run, RUN)
    cached = fetch(RUN)
    (cached / "report.md").write_text("made here")
    before = (cached / "samples" / "local-00000.parquet").stat().st_mtime_ns
    with (run / "contacts.local.jsonl").open("a") as ledger:
        ledger.write("new\n")
    push(run, RUN)
    assert fetch(RUN) == cached
    assert (cached / "report.md").read_text() == "made here"
    assert (cached / "contacts.local.jsonl").read_text().endswith("new\n")
    assert (cached / "samples" / "local-00000.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("key", ["../../outside", "samples/../../outside", "samples//x", "a\\b", "samples/./x"])
def test_a_key_that_leads_elsewhere_is_refused(store: Store, tmp_path: Path, key: str) -> None:
    """Nothing of such a bucket is written anywhere."""
    store.put(RUN.key("run.json"), b"{}")
    store.put(f"{RUN.prefix}/{key}", b"x")
    with pytest.raises(UsageError, match="leads elsewhere: nothing was fetched"):
        fetch(RUN)
    assert not list(tmp_path.rglob("outside"))
    assert not list(tmp_path.rglob("run.json"))


def test_too_large_a_run_is_refused_before_anything_is_fetched(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sizes that the bucket lists are added up first."""
    push(write_run(tmp_path / "run"), RUN)
    monkeypatch.setattr(fetching, "MOST_BYTES", 100)
    with pytest.raises(UsageError, match="copy it with `aws s3 sync`"):
        fetch(RUN)
    monkeypatch.setattr(fetching, "MOST_FILES", 1)
    with pytest.raises(UsageError, match="give the address of one run"):
        fetch(RUN)
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_newest_run_is_found_by_its_name(store: Store, tmp_path: Path) -> None:
    """`s3://bucket/prefix/latest` is the run that began last; other folders there are not runs."""
    for name in ("20261124T120000Z-a", "20261125T120000Z-b", "notes"):
        store.put(f"team/{name}/run.json", b"{}")
    assert newest(Address(BUCKET, "team")).prefix == "team/20261125T120000Z-b"
    with pytest.raises(UsageError, match="holds no runs"):
        newest(Address(BUCKET, "elsewhere"))


def test_what_is_not_a_run_is_said(store: Store) -> None:
    """A prefix above the runs is answered with what to name."""
    store.put("team/20261124T120000Z-a/run.json", b"{}")
    with pytest.raises(UsageError, match=r"is not a run: .* add /latest"):
        fetch(Address(BUCKET, "team"))


def test_a_missing_bucket_is_one_line(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the address and what to check, and is not a traceback."""
    run = write_run(tmp_path / "run")
    with pytest.raises(
        StorageError, match=r"^s3://no-such-bucket/x/\S+: \w+ was refused, NoSuchBucket; there is no such bucket"
    ):
        upload([str(run), "s3://no-such-bucket/x"])
    assert upload([str(run), f"s3://{BUCKET}/x"]) == 0
    assert "3 files sent" in capsys.readouterr().out


def test_large_files_are_sent_in_parts_and_come_back(store: Store, tmp_path: Path) -> None:
    """Forty megabytes are neither read into memory at once nor cut."""
    run = write_run(tmp_path / "run")
    ledger = run / "contacts.local.jsonl"
    with ledger.open("wb") as file:
        for _ in range(5):
            file.write(os.urandom(8 * 1024 * 1024))
    push(run, RUN)
    tag = store.client.head_object(Bucket=BUCKET, Key=RUN.key(ledger.name))["ETag"]
    assert tag.strip('"').endswith("-5")
    assert (fetch(RUN) / ledger.name).read_bytes() == ledger.read_bytes()


class _Replacing(Bucket):
    """A bucket whose ledger is replaced right after each of its first listings, as by an upload that is still going on."""

    replacements = 0

    def listed(self) -> Iterator[Stored]:
        """List, and replace."""
        yield from list(super().listed())
        if type(self).replacements:
            type(self).replacements -= 1
            path = self.address.key("contacts.local.jsonl")
            self._s3.put_object(Bucket=BUCKET, Key=path, Body=b"{}\n" * (10 + type(self).replacements))


@pytest.mark.parametrize(("replacements", "comes"), [(2, True), (9, False)])
def test_an_object_that_is_replaced_meanwhile_is_listed_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacements: int, comes: bool
) -> None:
    """A run that is still being sent is fetched as it is in the end; one that never comes to rest is one line."""
    push(write_run(tmp_path / "run"), RUN)
    monkeypatch.setattr(_Replacing, "replacements", replacements)
    monkeypatch.setattr(fetching, "Bucket", _Replacing)
    if comes:
        assert (fetch(RUN) / "contacts.local.jsonl").read_bytes() == b"{}\n" * 10
    else:
        with pytest.raises(StorageError, match="try again"):
            fetch(RUN)


@pytest.mark.slow
def test_a_tally_that_changes_while_it_is_sent_comes_back_whole(store: Store, tmp_path: Path) -> None:
    """A file that a live process rewrites all the time is sent as it was at one moment, with the checksum of that."""
    run = write_run(tmp_path / "run")
    tally = run / "samples" / "local.tally"
    tally.write_bytes(bytes(4096))
    over = threading.Event()

    def count() -> None:
        number = 0
        with tally.open("r+b", buffering=0) as file:
            while not over.is_set():
                number = (number + 1) % 256
                file.seek(0)
                file.write(bytes([number]) * 4096)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        for _ in range(20):
            push(run, RUN)
            assert len((fetch(RUN) / "samples" / "local.tally").read_bytes()) == 4096
    finally:
        over.set()
        counting.join()
