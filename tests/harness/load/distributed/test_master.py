"""The master against workers that lie: a real coordinator, whose Locust a test plays."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from configargparse import ArgumentParser

from harness.errors import EXIT_GUARD, EXIT_TARGET
from harness.load.distributed.connections import MasterHost
from harness.load.distributed.master import MasterCoordinator
from harness.load.distributed.messages import Ask, Drained, End, Hopeless, Item, Report, Trouble, write
from harness.load.distributed.shipping import Outbox
from harness.load.options.reading import add_options, read_settings
from harness.load.run.manifest import RunRecord
from harness.load.session.budget import Pool
from harness.recording.format.manifest import read_manifest
from harness.recording.format.schema import Sample, to_batch
from harness.recording.summary import Summary
from tests.harness.load.distributed.test_messages import HOSTILE_NAMES
from tests.support.fake_locust import FakeEnvironment, FakeRunner
from tests.support.scripted_target import Service, scripted_target
from tests.support.virtual_time import VirtualTime


class Master:
    """A master in the middle of a run with one worker, `host_1`, called worker-0."""

    def __init__(self, directory: Path) -> None:
        parser = ArgumentParser()
        add_options(parser)
        options = parser.parse_args(["--max-chats", "10"])
        self.runner = FakeRunner(clients={"host_1": SimpleNamespace(id="host_1", state="running")})
        self.directory = directory
        self.environment = FakeEnvironment(options, self.runner)
        self.host = MasterHost(cast(Any, self.environment), cast(Any, self.runner))
        self.coordinator = MasterCoordinator(self.host)
        target = scripted_target(Service(VirtualTime()))
        settings = read_settings(options, None)
        self.record = RunRecord("run-1", directory, "StartChat", settings, target, {})
        self.coordinator.record = self.record
        self.coordinator._names = {"host_1": "worker-0"}
        self.runner.get_worker_index("host_1")
        self.coordinator._pool = Pool(10)
        self.ended: list[tuple[str, int | None]] = []
        self.coordinator.end_run = self._end  # type: ignore[method-assign]

    def _end(self, why: str, exit_code: int | None = None) -> None:
        self.ended.append((why, exit_code))

    def report(self, data: Any, sender: str = "host_1") -> None:
        """Let one of Locust's reports arrive."""
        self.environment.events.worker_report.fire(client_id=sender, data={Report.NAME: data})

    def refused(self, sender: str = "host_1") -> int:
        """Return how many messages of a sender were refused."""
        return self.host.refusals.counts[sender]


@pytest.fixture
def master(tmp_path: Path) -> Master:
    """Return a master whose run directory is run/ in a directory of its own."""
    (tmp_path / "run" / "samples").mkdir(parents=True)
    return Master(tmp_path / "run")


def _report(worker: str = "worker-0", items: list[Item] | None = None, **counts: Any) -> Any:
    return write(Report(run_id="run-1", summary=Summary(worker=worker, **counts), items=items))


def _item() -> Item:
    outbox = Outbox()
    outbox.add_samples(to_batch([Sample("StartChatContact", 1.0, 1.0, 1.0, "started", 200)]))
    return outbox.take(0.0)[0]


def test_a_worker_is_heard_under_the_name_that_it_was_given(master: Master) -> None:
    """What it reports is in the record, its samples are in the directory, and the item is acknowledged."""
    master.report(_report(items=[_item()], offered=3))
    assert master.record.parts["worker-0"].offered == 3
    assert master.record.samples_received["worker-0"] == 1
    assert master.runner.named("chatquota_ack") == [{"run_id": "run-1", "number": 1}]
    assert master.refused() == 0


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "worker-1", "cleanup", "master", "local"])
def test_no_other_name_writes_anything_anywhere(master: Master, name: Any) -> None:
    """Neither a path nor the name of another process: nothing is written inside or outside the run directory."""
    before = sorted(path for path in master.directory.parent.rglob("*"))
    data = _report(items=[_item()])
    data["summary"]["worker"] = name
    master.report(data)
    assert sorted(path for path in master.directory.parent.rglob("*")) == before
    assert master.record.parts == {}
    assert master.refused() == 1
    assert master.runner.named("chatquota_ack") == []


def test_who_is_no_worker_is_not_heard(master: Master) -> None:
    """A stranger on the port changes neither record nor budget nor end of the run."""
    master.report(_report(), sender="stranger")
    for message in (
        Ask(run_id="run-1", wanted=5, returned=0, kept=0),
        End(run_id="run-1", why="probe", exit_code=0),
        Trouble(run_id="run-1", said="x"),
        Drained(run_id="run-1", complete=True),
        Hopeless(run_id="run-1", outcome="timeout", status=0, error_code=None, message=""),
    ):
        master.runner.deliver(message.NAME, write(message), "stranger")
    assert master.refused("stranger") == 6
    assert (master.record.parts, master.record.troubles, master.ended) == ({}, [], [])
    assert master.runner.sent == []


@pytest.mark.parametrize("name", [kind.NAME for kind in (Ask, Drained, End, Hopeless, Trouble)])
@pytest.mark.parametrize("data", [None, 7, "x", b"\xff", [], {}, {"run_id": "run-1"}, {"run_id": ["run-1"]}, {1: 2}])
def test_a_message_that_is_none_is_refused_and_counted(master: Master, name: str, data: Any) -> None:
    """Whatever it holds, the master goes on, and the run's record says how many there were."""
    master.runner.deliver(name, data)
    assert master.refused() == 1
    assert "1 message of worker-0 was refused" in (master.host.refusals.sentence("host_1", "worker-0") or "")
    assert master.ended == []


def test_a_worker_cannot_have_more_of_the_budget_than_there_is(master: Master) -> None:
    """Ten places: what it gives back beyond its grant is refused, and the pool is as before."""
    pool = master.coordinator._pool
    assert pool is not None
    for wanted, returned, kept in ((4, 0, 0), (4, 1_000, 0), (4, -3, 0), (4, 3, 3), (2**62, 0, 0)):
        master.runner.deliver(
            "chatquota_ask", {"run_id": "run-1", "wanted": wanted, "returned": returned, "kept": kept}
        )
    assert master.refused() == 4
    assert [grant["granted"] for grant in master.runner.named("chatquota_grant")] == [4]
    assert pool.left == 6


def test_samples_that_are_none_are_refused_and_not_acknowledged(master: Master) -> None:
    """Noise in place of a batch leaves the journal without it and the worker without an acknowledgement."""
    master.report(_report(items=[Item(1, 0, os.urandom(100))]))
    assert master.refused() == 1
    assert master.runner.named("chatquota_ack") == []
    assert master.record.samples_received["worker-0"] == 0


def test_workers_words_end_a_run_as_they_should(master: Master, caplog: pytest.LogCaptureFixture) -> None:
    """A hopeless target ends it with exit code 3, the probe with its own; what they say stays on one line."""
    said = Hopeless(run_id="run-1", outcome="access_denied", status=403, error_code="Denied\x1b[31m", message="a\nb")
    master.runner.deliver(said.NAME, write(said))
    end = End(run_id="run-1", why="budget", exit_code=EXIT_GUARD)
    master.runner.deliver(end.NAME, write(end))
    assert master.ended == [("target", EXIT_TARGET), ("budget", EXIT_GUARD)]
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert read_manifest(master.directory).contents.status == "running"
