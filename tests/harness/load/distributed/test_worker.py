"""A worker in virtual time, whose Locust and master a test plays."""

from pathlib import Path
from typing import Any, cast

import gevent
import pytest
from configargparse import ArgumentParser

from harness.errors import EXIT_INVALID
from harness.load.distributed.connections import WorkerHost
from harness.load.distributed.messages import Announcement, Drain, Grant, Report, Tick, Tock, read, write
from harness.load.distributed.worker import MASTER_SILENCE, WorkerCoordinator
from harness.load.options.reading import add_options
from harness.load.run.embedded_emulator import LabAnnouncement
from harness.load.workload.toml import load_workload
from tests.support.fake_locust import FakeEnvironment, FakeRunner
from tests.support.virtual_time import VirtualTime

BUILT_IN = load_workload("")
LAB = LabAnnouncement("http://127.0.0.1:1", "http://127.0.0.1:1", "us-east-1", "i", "f", "a", "s")


class Worker:
    """A worker whose master has announced run-1."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        run: dict[str, object] | None = None,
        clocks: dict[str, float] | None = None,
    ) -> None:
        parser = ArgumentParser()
        add_options(parser)
        parsed = parser.parse_args(["--run-dir", str(directory / "own"), *options])
        self.time = VirtualTime()
        self.runner = FakeRunner()
        self.environment = FakeEnvironment(parsed, self.runner)
        self.host = WorkerHost(cast(Any, self.environment), cast(Any, self.runner))
        self.coordinator = WorkerCoordinator(self.host, self.time.clock)
        announced = Announcement(
            run_id="run-1",
            directory=str(directory / "masters"),
            user_class="StartChat",
            names={"host_1": "worker-3"},
            order=["host_1"],
            workload=(BUILT_IN.text, BUILT_IN.source),
            lab=LAB,
            clocks=clocks or {},
        )
        parsed.__dict__[Announcement.NAME] = run if run is not None else write(announced)
        self.coordinator.begin()

    def heartbeat(self) -> None:
        """The master shows that it lives."""
        self.environment.events.heartbeat_received.fire(client_id="master", timestamp=0.0)

    def goes_on(self) -> bool:
        """Whether the worker's part of the run has not ended."""
        return self.coordinator.session is not None

    def reports(self) -> Report:
        """Return what Locust's next report would hold."""
        data: dict[str, Any] = {}
        self.environment.events.report_to_master.fire(client_id="host_1", data=data)
        return read(Report, data[Report.NAME])


def test_a_worker_records_under_the_name_that_it_was_given(tmp_path: Path) -> None:
    """With a disk of its own it records in its own run directory and reports its ledger's first line as an item."""
    worker = Worker(tmp_path)
    report = worker.reports()
    assert report.summary.worker == "worker-3"
    assert (tmp_path / "own" / "run-1" / "contacts.worker-3.jsonl").exists()
    assert report.items is not None
    assert b"worker-3" in report.items[0].content


def test_a_worker_takes_over_the_masters_clock(tmp_path: Path) -> None:
    """Its times, from its ledger's first line to those that it tells the master, are moved by what the master measured."""
    plain = Worker(tmp_path / "plain")
    moved = Worker(tmp_path / "moved", clocks={"host_1": -2.5, "host_2": 9.0})
    assert moved.time.at == plain.time.at - 2.5
    moved.runner.deliver(Tick.NAME, write(Tick(run_id="run-1", number=7)))
    assert moved.runner.named(Tock.NAME) == [{"run_id": "run-1", "number": 7, "at": moved.time.at}]


def test_a_worker_whose_master_goes_silent_ends_its_part(tmp_path: Path) -> None:
    """While heartbeats come it goes on; six seconds after the last one it stops its chats and ends with exit code 5."""
    worker = Worker(tmp_path)
    for _ in range(10):
        worker.time.run(MASTER_SILENCE / 2)
        worker.heartbeat()
    assert worker.goes_on()
    worker.time.run(until=lambda: worker.runner.quits)
    assert not worker.goes_on()
    assert worker.coordinator.exit_code == EXIT_INVALID
    assert worker.environment.process_exit_code == EXIT_INVALID


def test_a_worker_that_is_drained_says_so(tmp_path: Path) -> None:
    """Its last report goes first, then the word that it has ended in order; asked again, it says the same."""
    worker = Worker(tmp_path)
    draining = gevent.spawn(worker.runner.deliver, Drain.NAME, write(Drain(run_id="run-1")), "master")

    def master() -> None:
        while not draining.ready():
            worker.heartbeat()
            items = worker.reports().items if worker.coordinator.session else None
            if items:
                worker.runner.deliver("chatquota_ack", {"run_id": "run-1", "number": items[-1].number}, "master")
            worker.time.clock.sleep(0.5)

    gevent.spawn(master)
    worker.time.finish(draining)
    worker.runner.deliver(Drain.NAME, write(Drain(run_id="run-1")), "master")
    assert worker.runner.named("chatquota_drained") == [{"run_id": "run-1", "complete": True}] * 2
    assert worker.runner.reports > 0


def test_the_budget_of_a_worker_is_what_the_master_grants(tmp_path: Path) -> None:
    """It asks for places when load is offered and takes none before the answer."""
    worker = Worker(tmp_path, "--max-chats", "5")
    session = worker.coordinator.session
    assert session is not None
    reserving = gevent.spawn(session.budget.reserve)
    worker.time.run(1.0)
    assert worker.runner.named("chatquota_ask")[0]["wanted"] >= 1
    assert not reserving.ready()
    worker.runner.deliver(Grant.NAME, write(Grant(run_id="run-1", granted=1, more=True)), "master")
    assert worker.time.finish(reserving) is True


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"run_id": "../up"},
        {**write(Drain(run_id="run-1")), "directory": "/x", "user_class": "A", "names": {"host_1": "../../etc/x"}},
    ],
)
def test_a_run_that_no_master_announces_is_refused(
    tmp_path: Path, run: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """A run id or name that climbs out of the directory begins nothing and writes nothing."""
    worker = Worker(tmp_path, run=run)
    assert worker.coordinator.session is None
    assert list(tmp_path.iterdir()) == []
    assert "the master announced no run that this worker understands" in caplog.text
