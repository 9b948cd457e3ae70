"""A start that got no answer and is then searched for counts alike for every reader, of a run here and of one in S3."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest

from harness.command import main
from harness.load.run.coordinator import Coordinator
from harness.recording import owner
from harness.recording.format.schema import Sample, to_batch
from harness.recording.journal import Journal
from harness.storage.address import Address
from harness.storage.fetch import fetch
from harness.storage.push import push
from harness.webui.live import LiveRun
from tests.harness.storage.support import BUCKET, Store
from tests.support.counting import CountingServer, counting_server

RUN = Address(BUCKET, "team/20261124T120000Z-start-chat-abc123")
RUN_ID = "20261124T120000Z-start-chat-abc123"
TOKEN = f"{RUN_ID}.0.1"


def _start(server: CountingServer, token: str) -> str:
    """Start a chat of the run, as one of its processes does."""
    where = server.announcement
    client = boto3.client(
        "connect",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=where["access_key_id"],
        aws_secret_access_key=where["secret_access_key"],
    )
    answer = client.start_chat_contact(
        InstanceId=server.announcement["instance_id"],
        ContactFlowId="f",
        ParticipantDetails={"DisplayName": "x"},
        Attributes={"loadtest-run": RUN_ID},
        ClientToken=token,
    )
    return str(answer["ContactId"])


def _write_run(directory: Path, server: CountingServer) -> Path:
    """Write a finished run of two starts: one was answered and its chat ended, the other's answer was lost on the way."""
    known = _start(server, f"{RUN_ID}.0.0")
    _start(server, TOKEN)
    where = {
        "endpoint": server.endpoint,
        "region": "us-east-1",
        "instance_id": server.announcement["instance_id"],
    }
    journal = Journal(directory / "samples", "local")
    columns = ("StartChatContact", 1.0, 1.0, 1.1)
    journal.append(to_batch([Sample(*columns, "started", contact_id=known), Sample(*columns, "timeout")]))
    journal.close()
    lines: list[dict[str, Any]] = [
        {"ledger": 1, "worker": "local", "run_id": RUN_ID, **where},
        {"event": "started", "at": 1.0, "contact_id": known},
        {"event": "unanswered", "at": 1.1, "client_token": TOKEN},
        {"event": "ended", "at": 1.2, "contact_id": known, "how": "already_ended"},
    ]
    (directory / "contacts.local.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    tables = {
        "schema": 1,
        "run_id": RUN_ID,
        "status": "finished",
        "target": {**where, "emulator": None},
        "chats": {"started": 1, "already_ended": 1, "unanswered": 1},
        "owner": owner.mark(RUN_ID, where["endpoint"], where["instance_id"]),
    }
    (directory / "run.json").write_text(json.dumps(tables))
    return directory


def _in_the_web_ui(directory: Path) -> int:
    """How many starts of its last run the web UI says are in doubt."""
    ended = SimpleNamespace(ending=False, record=None, exit_code=0, last_directory=str(directory))
    ended.host = SimpleNamespace(options=SimpleNamespace(sdk_retries="off"))
    live = LiveRun(cast(Coordinator, ended))
    try:
        return int(live.snapshot()["chats"]["unanswered"])
    finally:
        live.close()


def _in_the_report(place: str, directory: Path) -> int:
    """How many the report of the run at `place`, which reads `directory`, says are."""
    assert main(["report", place, "--no-figures", "--quiet"]) == 0
    return int(json.loads((directory / "capacity.json").read_bytes())["chats"]["unanswered"])


@pytest.mark.slow
def test_every_reader_counts_it_before_and_after_the_cleanup(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In doubt to the report and the web UI, here and from S3, until a cleanup in S3 finds and stops its chat; then not."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with counting_server() as server:
        local = _write_run(tmp_path / "run", server)
        push(local, RUN)
        fetched = fetch(RUN)
        assert [_in_the_web_ui(local), _in_the_report(str(local), local)] == [1, 1]
        assert [_in_the_web_ui(fetched), _in_the_report(str(RUN), fetched)] == [1, 1]

        for name in ("access_key_id", "secret_access_key"):
            monkeypatch.setenv(f"AWS_{name.upper()}", server.announcement[name])
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        assert main(["cleanup", str(RUN), "--yes", "--stop-rate", "400"]) == 0
        said = capsys.readouterr().out
        assert "a search found 1 chat of this run that no ledger knew" in said
        assert "1 chat was open: 1 ended now, 0 still open" in said
        assert server.count()["open"] == 1  # the other start's, whose ledger says that it had ended
    again = fetch(RUN)
    assert b"resolved" in store.content(RUN.key("contacts.cleanup.jsonl"))
    assert [_in_the_web_ui(again), _in_the_report(str(RUN), again)] == [0, 0]
    assert main(["cleanup", str(RUN), "--yes"]) == 0
    assert "no chat of this run is open" in capsys.readouterr().out
