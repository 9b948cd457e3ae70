"""A run directory from elsewhere makes `chatquota cleanup` neither call a foreign host nor touch a foreign file or chat."""

import os
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness.command import main
from harness.recording import owner
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from tests.support.counting import CountingServer, counting_server
from tests.support.locust_runs import ROOT
from tests.support.scripted_server import serving

GOLDEN = ROOT / "tests" / "golden" / "run-0.1"
KILLED = ROOT / "tests" / "golden" / "run-0.1-killed"
INSTANCE = "11111111-aaaa-4aaa-8aaa-111111111111"
AWS = "https://connect.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "EMULATOR-ACCESS-KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulator-secret-key-of-no-account")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def _run(
    path: Path, endpoint: str, contacts: list[str], *, own: bool = False, manifest: bool = True, **target: Any
) -> Path:
    """Make the directory of a run that left `contacts` open at `endpoint`."""
    (path / "samples").mkdir(parents=True)
    where = {"endpoint": endpoint, "region": "us-east-1", "instance_id": INSTANCE, **target}
    lines: list[dict[str, Any]] = [{"ledger": 1, "worker": "local", "run_id": "r", **where}]
    lines += [{"event": "started", "at": 1.0, "contact_id": contact} for contact in contacts]
    (path / "contacts.local.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    if manifest:
        tables = {"schema": 1, "run_id": "r", "status": "finished", "target": {**where, "emulator": None}}
        if own:
            tables["owner"] = owner.mark("r", endpoint, where["instance_id"])
        (path / "run.json").write_bytes(orjson.dumps(tables))
    return path


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that is refused."""
    assert main(["cleanup", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_a_damaged_record_is_moved_away_and_the_ledgers_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A `run.json` that a power cut has torn is refused with what to do, which stops the chats."""
    with counting_server() as server:
        run = _run(tmp_path / "run", server.endpoint, [], own=True)
        (run / "run.json").write_text('{"schema": 1, "run')
        said = _refused(capsys, str(run))
        assert said.endswith("move it elsewhere: what the ledgers name is then cleaned up without it\n")
        (run / "run.json").rename(tmp_path / "elsewhere.json")
        assert main(["cleanup", str(run), "--yes"]) == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://203.0.113.9:8080", "https://203.0.113.9", "http://connect.us-east-1.amazonaws.com"),
        *("https://connect.us-east-1.amazonaws.com.evil.example", "https://connect.us-east-1.amazonaws.com:8443"),
        *("https://s3.us-east-1.amazonaws.com", "https://xconnect.us-east-1.amazonaws.com", "gopher://127.0.0.1"),
        *("https://user@connect.us-east-1.amazonaws.com", "https://evil.vpce.amazonaws.com", "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("manifest", [True, False])
def test_credentials_go_to_no_endpoint_but_amazon_connects_and_this_machine(
    endpoint: str, manifest: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else a ledger names is refused, `--yes` or not, and nothing is called."""
    run = _run(tmp_path / "run", endpoint, ["c"], manifest=manifest)
    assert "endpoint" in _refused(capsys, str(run), "--yes")


def test_an_endpoint_of_amazon_connect_is_asked_about_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Endpoint, Region, instance and the number of chats are shown, and without an answer nothing is called."""
    run = _run(tmp_path / "run", AWS, ["c", "d"])
    assert main(["cleanup", str(run)]) == 2
    said = capsys.readouterr()
    assert f"about to stop 2 chats at {AWS}, Region us-east-1, instance {INSTANCE}" in said.out
    assert "not made by you on this machine" in said.out
    assert "nothing was called; add --yes" in said.err


@pytest.mark.parametrize(
    ("name", "value"),
    [("endpoint", "http://127.0.0.1:2"), ("region", "eu-west-1"), ("instance_id", "other"), ("run_id", "other")],
)
def test_a_ledger_and_a_manifest_that_disagree_are_refused(
    name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run has one target; a directory in which two are named was changed by somebody."""
    run = _run(tmp_path / "run", "http://127.0.0.1:1", ["c"], own=True)
    lines = (run / "contacts.local.jsonl").read_bytes().splitlines(keepends=True)
    header = {**orjson.loads(lines[0]), name: value}
    (run / "contacts.local.jsonl").write_bytes(b"".join([orjson.dumps(header), b"\n", *lines[1:]]))
    assert f"says {name}" in _refused(capsys, str(run), "--yes")


@pytest.mark.parametrize("region", ["us east", "moon", "../x"])
def test_a_region_that_is_none_is_one_line(region: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Region from a file is not trusted to be one."""
    run = _run(tmp_path / "run", "http://127.0.0.1:1", ["c"], region=region)
    assert "is not a Region" in _refused(capsys, str(run), "--yes")


def test_a_region_that_is_not_the_endpoints_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A signature for one Region is not sent to another one's endpoint."""
    run = _run(tmp_path / "run", AWS, ["c"], region="eu-west-1")
    assert "do not belong together" in _refused(capsys, str(run), "--yes")


def test_a_sweep_signs_for_the_endpoints_own_region(capsys: pytest.CaptureFixture[str]) -> None:
    """A host and a Region on the command line that do not agree are refused before anything is called."""
    where = ("--host", AWS, "--region", "eu-west-1", "--instance-id", INSTANCE)
    assert "do not belong together" in _refused(capsys, "--sweep", "--run-id", "r", *where)


def _started(server: CountingServer, run_id: str) -> str:
    import boto3

    client = boto3.client("connect", endpoint_url=server.endpoint, region_name="us-east-1")
    answer = client.start_chat_contact(
        InstanceId=INSTANCE,
        ContactFlowId="f",
        ParticipantDetails={"DisplayName": "x"},
        Attributes={"loadtest-run": run_id},
    )
    return str(answer["ContactId"])


def test_a_foreign_ledger_stops_only_chats_that_carry_its_runs_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A contact of somebody else in the ledger of a run from elsewhere is left alone, and that is said."""
    with counting_server() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.announcement["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.announcement["secret_access_key"])
        ours, theirs = _started(server, "r"), _started(server, "another")
        run = _run(tmp_path / "run", server.endpoint, [ours, theirs])
        assert main(["cleanup", str(run), "--yes", "--stop-rate", "400"]) == 5
        assert "1 chat of the ledger is left alone" in capsys.readouterr().out
        assert set(merge_ledgers(read_ledgers(run)).open) == {theirs}
        assert main(["cleanup", str(run), "--yes", "--trust-ledger", "--stop-rate", "400"]) == 0
        assert server.count()["open"] == 0


def test_a_run_of_ones_own_on_this_machine_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mark is for one target: with another instance or under another user's key the run is foreign again."""
    with counting_server() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.announcement["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.announcement["secret_access_key"])
        run = _run(tmp_path / "run", server.endpoint, [_started(server, "r")], own=True)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
        assert "add --yes" in _refused(capsys, str(run))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert main(["cleanup", str(run)]) == 0
        assert server.count()["open"] == 0


@pytest.mark.slow
def test_a_redirect_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that sends the caller elsewhere gets its own answer back as a refusal, and the other host nothing."""
    with serving(lambda peer: peer.until_closed()) as elsewhere:

        def redirect(peer: Any) -> None:
            while peer.request():
                peer.send(f"HTTP/1.1 307 x\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode())

        with serving(redirect) as server:
            run = _run(tmp_path / "run", server.url, ["c"])
            assert main(["cleanup", str(run), "--yes", "--call-timeout", "5"]) == 3
            assert "StopContact is refused (307)" in capsys.readouterr().err
        assert elsewhere.connections == 0


@pytest.mark.parametrize("place", [".lock", "run.json", "contacts.local.jsonl", "contacts.cleanup.jsonl", "samples"])
def test_links_lead_nowhere(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link in place of any file that is written or read is refused in one line, and what it leads to stays as it was."""
    outside = tmp_path / "precious"
    if place == "samples":
        outside.mkdir()
        (outside / "local-00000.arrows").write_bytes(b"mine")
        (outside / "x-00000.partial").write_bytes(b"mine")
    else:
        outside.write_bytes(b"mine\n")
    run = tmp_path / "run"
    shutil.copytree(KILLED, run)
    shutil.rmtree(run / place) if place == "samples" else (run / place).unlink(missing_ok=True)
    (run / place).symlink_to(outside)
    assert "symbolic link" in _refused(capsys, str(run), "--yes")
    kept = [outside] if outside.is_file() else list(outside.iterdir())
    assert [path.read_bytes().strip() for path in kept] == [b"mine"] * len(kept)


@pytest.mark.parametrize("place", [".lock", "run.json", "contacts.local.jsonl", "samples/local-00000.arrows"])
def test_pipes_do_not_hang(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe that nobody writes to is refused at once."""
    run = tmp_path / "run"
    shutil.copytree(KILLED, run)
    (run / place).unlink(missing_ok=True)
    os.mkfifo(run / place)
    assert "not a plain file" in _refused(capsys, str(run))


def test_samples_that_are_links_or_pipes_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They count as damaged; the rest of the record is put together."""
    run = tmp_path / "run"
    shutil.copytree(KILLED, run)
    os.mkfifo(run / "samples" / "local-00008.parquet")
    (run / "samples" / "local-00009.parquet").symlink_to("/dev/zero")
    assert main(["cleanup", str(run)]) == 0
    reasons = " / ".join(orjson.loads((run / "run.json").read_bytes())["generator"]["reasons"])
    assert "local-00008.parquet cannot be read" in reasons
    assert "local-00009.parquet cannot be read" in reasons


@pytest.mark.parametrize("worker", ["*", "../up", "[a-z]", "a/b", "", ".hidden"])
def test_a_workers_name_from_elsewhere_is_no_pattern_and_no_path(
    worker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--from` a directory whose ledger calls its worker by a pattern or path: refused, and no file of the run is gone."""
    run = tmp_path / "run"
    shutil.copytree(GOLDEN, run)
    source = tmp_path / "source"
    (source / "samples").mkdir(parents=True)
    run_id = orjson.loads((run / "run.json").read_bytes())["run_id"]
    lines = (run / "contacts.local.jsonl").read_bytes().splitlines(keepends=True)
    header = orjson.dumps({**orjson.loads(lines[0]), "worker": worker, "run_id": run_id})
    for name in ("evil", "*"):
        (source / f"contacts.{name}.jsonl").write_bytes(header + b"\n")
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
        assert "worker" in _refused(capsys, str(run), "--from", str(source))
        assert {path: path.read_bytes() for path in before} == before


def test_only_names_of_its_own_are_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of other programs that end as chatquota's do stay where they are."""
    run = tmp_path / "run"
    shutil.copytree(KILLED, run)
    others = ["notes.partial", "a b-00000.partial", "model.arrows", "*-00000.arrows", "x.parquet"]
    for name in others:
        (run / "samples" / name).write_bytes(b"mine")
    assert main(["cleanup", str(run)]) == 0
    assert all((run / "samples" / name).read_bytes() == b"mine" for name in others)
