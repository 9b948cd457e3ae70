"""One process's part of a run in virtual time: what is offered, recorded, stopped and said."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import pytest
from configargparse import ArgumentParser

from harness.connect.client import ContactEnd, Reply
from harness.load.options.reading import add_options, read_settings
from harness.load.session.budget import Budget
from harness.load.session.session import Journey, Listeners, Part, Session
from harness.load.session.started_chats import FURTHER, MOST_REASONS
from harness.recording.format.ledger import merge_ledgers, read_ledgers
from harness.recording.format.manifest import Chats
from harness.recording.summary import Summary
from harness.vocabulary import ACCESS_DENIED, NOT_ASKED, NOT_FOUND, START_CHAT, STARTED, TPS_THROTTLED
from tests.support.locust_runs import samples
from tests.support.scripted_target import Service, scripted_target
from tests.support.virtual_time import VirtualTime


@dataclass
class Run:
    """A session on a scripted service, and what it told its listeners."""

    session: Session
    time: VirtualTime
    service: Service
    hopeless: list[str] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)

    def end(self) -> Summary:
        """End the run as a coordinator does, and return what it did."""

        def ending() -> None:
            self.session.stop_arrivals()
            self.session.drain(lambda done, of: None)
            self.session.close()

        self.time.finish(gevent.spawn(ending))
        return self.session.summary()


def run_of(
    directory: Path,
    service: Service,
    *options: str,
    most: int | None = None,
    journey: Callable[[Session], Journey] | None = None,
) -> Run:
    """Return a session that records in `directory`, with options as on a command line."""
    parser = ArgumentParser()
    add_options(parser)
    settings = read_settings(parser.parse_args(list(options)), None)
    told: Run

    def on_hopeless(reply: Reply) -> None:
        told.hopeless.append(reply.outcome)

    listeners = Listeners(
        report=lambda attempts: told.reported.extend(operation for operation, _ in attempts),
        hopeless=on_hopeless,
        budget_spent=lambda: told.spent.append(service.time.at),
        trouble=lambda sentence: pytest.fail(sentence),
    )
    session = Session(
        settings,
        scripted_target(service),
        Part("run-1", directory),
        Budget(most),
        listeners,
        journey,
        clock=service.time.clock,
    )
    told = Run(session, service.time, service)
    return told


def test_arrivals_come_at_the_offered_rate_and_chats_end_after_their_hold(tmp_path: Path) -> None:
    """Ten users at one start a second each: 300 starts in 30 s, hold times rate open, all stopped and written."""
    run = run_of(tmp_path, Service(VirtualTime()), "--hold", "5s", "--arrivals", "uniform", "--stop-rate", "100")
    run.session.add_users(10)
    run.time.run(30.0)
    assert 299 <= len(run.service.starts) <= 301
    assert run.session.chats.left_open == pytest.approx(50, abs=3)
    summary = run.end()
    started = len(run.service.starts)
    assert summary.chats == Chats(started=started, stopped=started)
    assert (summary.offered, summary.sent, summary.dropped) == (started, started, 0)
    assert summary.offering_seconds == pytest.approx(30.0, abs=0.01)
    assert summary.samples == 2 * started == len(samples(tmp_path))
    assert merge_ledgers(read_ledgers(tmp_path)).counts() == summary.chats
    assert len(run.reported) == 2 * started


def test_the_budget_is_never_overshot_and_its_end_is_told(tmp_path: Path) -> None:
    """With 7 chats allowed and every second start refused, 7 start, the other arrivals are withheld and counted."""
    service = Service(VirtualTime(), start=lambda number: STARTED if number % 2 else TPS_THROTTLED)
    run = run_of(tmp_path, service, "--hold", "1h", "--arrivals", "uniform", most=7)
    run.session.add_users(20)
    run.time.run(10.0)
    summary = run.end()
    assert summary.chats.started == 7
    assert summary.withheld == summary.offered - summary.sent > 100
    assert len(run.spent) == 1
    assert summary.outcomes_of(START_CHAT) == {STARTED: 7, TPS_THROTTLED: summary.sent - 7}


def test_a_service_that_refuses_everything_is_told_once(tmp_path: Path) -> None:
    """The listener hears of it after a few calls, and not again."""
    run = run_of(tmp_path, Service(VirtualTime(), start=lambda number: ACCESS_DENIED))
    run.session.add_users(10)
    run.time.run(5.0)
    run.end()
    assert run.hopeless == [ACCESS_DENIED]


def test_a_service_that_finds_no_chat_does_not_count_them_as_ended_until_it_knows_one(tmp_path: Path) -> None:
    """StopContact finds none: DescribeContact is asked, knows them, and only then have they ended."""
    service = Service(VirtualTime(), stop=lambda contact: NOT_FOUND)
    run = run_of(tmp_path, service, "--hold", "1s", "--arrivals", "uniform")
    run.session.add_users(2)
    run.time.run(5.0)
    summary = run.end()
    assert summary.chats.already_ended == summary.chats.started == len(service.starts)
    assert summary.chats.left_open == 0
    assert summary.chat_ends == {"EXPIRED": summary.chats.started}
    rows = [row for row in samples(tmp_path) if row["operation"] == "EndReason"]
    assert {(row["outcome"], row["end_reason"]) for row in rows} == {("ok", "EXPIRED")}
    assert {row["contact_id"] for row in rows} == {contact for _, contact in service.stops}
    assert merge_ledgers(read_ledgers(tmp_path)).chat_ends() == summary.chat_ends


def test_an_end_whose_reason_nobody_tells_is_a_sample_too(tmp_path: Path) -> None:
    """StopContact finds the chats gone and DescribeContact knows no end: each is counted, and is a row, as not asked."""
    service = Service(VirtualTime(), stop=lambda contact: NOT_FOUND, end=None)
    run = run_of(tmp_path, service, "--hold", "1s", "--arrivals", "uniform")
    run.session.add_users(2)
    run.time.run(5.0)
    summary = run.end()
    assert summary.chat_ends == {NOT_ASKED: summary.chats.started}
    rows = [row for row in samples(tmp_path) if row["operation"] == "EndReason"]
    assert [(row["outcome"], row["end_reason"]) for row in rows] == [("not_awaited", NOT_ASKED)] * len(service.starts)


def test_reasons_without_bound_fill_no_memory(tmp_path: Path) -> None:
    """A service that answers each time with another reason is counted under one name from the hundredth on."""

    class Inventive(Service):
        def describe_contact(self, instance_id: str, contact_id: str) -> tuple[Reply, ContactEnd | None]:
            self.end = ContactEnd(f"R{contact_id}")
            return super().describe_contact(instance_id, contact_id)

    service = Inventive(VirtualTime(), stop=lambda contact: NOT_FOUND)
    run = run_of(tmp_path, service, "--hold", "1s", "--arrivals", "uniform", "--stop-rate", "100")
    run.session.add_users(50)
    run.time.run(6.0)
    summary = run.end()
    assert len(summary.chat_ends) == MOST_REASONS + 1
    assert summary.chat_ends[FURTHER] == summary.chats.started - MOST_REASONS


def test_a_call_without_an_answer_keeps_its_place_and_is_in_the_ledger(tmp_path: Path) -> None:
    """Its chat may exist: the budget counts it, the ledger names its token, the summary says unanswered."""
    service = Service(VirtualTime(), start=lambda number: "timeout")
    run = run_of(tmp_path, service, "--arrivals", "uniform", most=3)
    run.session.add_users(5)
    run.time.run(4.0)
    summary = run.end()
    assert (len(service.starts), summary.chats.unanswered) == (3, 3)
    assert len(merge_ledgers(read_ledgers(tmp_path)).unanswered) == 3


def test_a_journey_is_made_once_and_closed_before_the_chats_are_stopped(tmp_path: Path) -> None:
    """Arrivals go to the journey of the user class, which ends before the drain begins."""

    class Counting:
        def __init__(self, session: Session) -> None:
            self.session = session
            self.arrivals = 0
            self.stops_when_closed = -1

        def arrive(self, due: float) -> None:
            self.arrivals += 1
            self.session.start_chat(due, hold=False)

        def close(self) -> None:
            self.stops_when_closed = len(service.stops)

    service = Service(VirtualTime())
    run = run_of(tmp_path, service, "--arrivals", "uniform", journey=Counting)
    run.session.add_users(3)
    run.time.run(3.0)
    summary = run.end()
    journey = run.session.journey
    assert isinstance(journey, Counting)
    assert journey.arrivals == summary.offered == summary.chats.stopped
    assert journey.stops_when_closed == 0


@pytest.mark.parametrize(("does_more", "gathers"), [(False, 1), (True, 0)])
def test_answers_wait_for_each_other_where_nobody_waits_for_them(tmp_path: Path, does_more: bool, gathers: int) -> None:
    """A user who only starts chats lets answers be read together; one who goes on after a start has each at once."""

    class Onward:
        def __init__(self, session: Session) -> None:
            self.arrive = session.start_chat

        def close(self) -> None:
            """Nothing goes on."""

    service = Service(VirtualTime())
    run = run_of(tmp_path, service, journey=Onward if does_more else None)
    run.end()
    assert (service.gathers, service.closes) == (gathers, 1)


def test_an_abandoned_run_leaves_its_chats_and_says_so(tmp_path: Path) -> None:
    """Nothing is waited for, and the ledger knows every chat that is open."""
    run = run_of(tmp_path, Service(VirtualTime()), "--hold", "1h", "--arrivals", "uniform")
    run.session.add_users(4)
    run.time.run(5.0)
    run.session.abandon()
    summary = run.end()
    assert summary.chats.left_open == summary.chats.started > 0
    assert len(merge_ledgers(read_ledgers(tmp_path)).open) == summary.chats.left_open


def test_starts_on_the_wire_of_an_abandoned_run_are_unanswered(tmp_path: Path) -> None:
    """Nobody waits a minute for their answers: each is a sample, and the ledger sends a cleanup to look for their chats."""
    run = run_of(tmp_path, Service(VirtualTime(), latency=60.0), "--arrivals", "uniform", most=100)
    run.session.add_users(4)
    run.time.run(5.0)
    run.session.abandon()
    summary = run.end()
    starts = len(run.service.starts)
    assert summary.chats == Chats(unanswered=starts)
    assert (summary.sent, summary.samples, summary.samples_lost) == (starts, starts, 0)
    assert len(merge_ledgers(read_ledgers(tmp_path)).unanswered) == starts
    run.time.run(120.0)  # the answers come, and find the run closed
    assert run.session.summary() == summary
    assert [row["outcome"] for row in samples(tmp_path)] == ["timeout"] * starts
