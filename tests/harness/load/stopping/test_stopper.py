"""The stopper in virtual time: order, pace, patience, and when it gives up."""

from collections.abc import Callable

import gevent
import pytest

from harness.connect.client import Reply
from harness.load.stopping.pace import Pace
from harness.load.stopping.stopper import MAX_ATTEMPTS, MAX_IN_FLIGHT, SECONDS_TO_GIVE_UP, Hopeless, Stopper, stop_all
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import (
    ACCESS_DENIED,
    CONNECTION_ERROR,
    INVALID_REQUEST,
    NOT_FOUND,
    OK,
    SERVICE_ERROR,
    TPS_THROTTLED,
)
from tests.support.virtual_time import VirtualTime


class Stops:
    """Answers StopContact after `latency` seconds with what `outcome(contact_id, number)` says, and notes each call."""

    def __init__(
        self, time: VirtualTime, outcome: Callable[[str, int], str] = lambda contact, number: OK, latency: float = 0.1
    ) -> None:
        self.time = time
        self.outcome = outcome
        self.latency = latency
        self.calls: list[tuple[float, str]] = []
        self.on_the_wire = self.most_on_the_wire = 0

    def __call__(self, contact_id: str) -> Reply:
        sent = self.time.at
        self.calls.append((sent, contact_id))
        number = len(self.calls)
        self.on_the_wire += 1
        self.most_on_the_wire = max(self.most_on_the_wire, self.on_the_wire)
        self.time.clock.sleep(self.latency)
        self.on_the_wire -= 1
        return Reply(outcome=self.outcome(contact_id, number), sent=sent, received=self.time.at)


def _nothing(done: int, of: int) -> None:
    """Show no progress."""


def _drain(time: VirtualTime, stopper: Stopper) -> None:
    time.finish(gevent.spawn(stopper.drain, _nothing))


def test_chats_are_stopped_when_they_are_due_and_not_before() -> None:
    """The order is that of the due times, and a due time that was set again replaces the old one."""
    time, ended = VirtualTime(0.0), list[tuple[str, str]]()
    stops = Stops(time)
    stopper = Stopper(stops, lambda contact, how: ended.append((contact, how)), Pace(100.0), time.clock)
    for contact, due in (("late", 30.0), ("soon", 10.0), ("moved", 5.0), ("gone", 1.0)):
        stopper.add(contact, due)
    stopper.add("moved", 20.0)
    stopper.forget("gone")
    time.run(60.0)
    assert [contact for _, contact in stops.calls] == ["soon", "moved", "late"]
    assert [at for at, _ in stops.calls] == pytest.approx([10.0, 20.0, 30.0])
    assert ended == [("soon", STOPPED), ("moved", STOPPED), ("late", STOPPED)]
    assert stopper.open == set()


def test_a_drain_stops_everything_at_the_pace() -> None:
    """Ninety chats at 9/s take ten seconds, whatever was due when; one that the service does not find has ended."""
    time, ended = VirtualTime(), dict[str, str]()
    stops = Stops(time, lambda contact, number: NOT_FOUND if contact == "7" else OK)
    stopper = Stopper(stops, ended.__setitem__, Pace(9.0), time.clock)
    began = time.at
    for number in range(90):
        stopper.add(str(number), began + 3600.0)
    _drain(time, stopper)
    assert len(stops.calls) == len(ended) == 90
    assert 9.0 <= time.at - began <= 11.0
    assert ended.pop("7") == ALREADY_ENDED
    assert set(ended.values()) == {STOPPED}


def test_a_throttled_call_comes_again_and_slows_the_pace() -> None:
    """No chat is given up for throttles, and each is called as often as it was throttled, and once more."""
    time = VirtualTime()
    stops = Stops(time, lambda contact, number: TPS_THROTTLED if number <= 12 else OK)
    pace = Pace(10.0)
    stopper = Stopper(stops, lambda contact, how: None, pace, time.clock)
    for number in range(5):
        stopper.add(str(number), time.at)
    _drain(time, stopper)
    assert len(stops.calls) == 5 + 12
    assert stopper.given_up == set()
    assert pace.rate < 10.0


def test_no_more_than_so_many_calls_are_on_the_wire() -> None:
    """A pace that may grow does not pile calls onto a target that answers slowly."""
    time = VirtualTime()
    stops = Stops(time, latency=20.0)
    stopper = Stopper(stops, lambda contact, how: None, Pace(1000.0), time.clock)
    for number in range(3 * MAX_IN_FLIGHT):
        stopper.add(str(number), time.at)
    _drain(time, stopper)
    assert stops.most_on_the_wire == MAX_IN_FLIGHT
    assert len(stops.calls) == 3 * MAX_IN_FLIGHT


def test_a_chat_that_cannot_be_stopped_is_given_up_after_its_attempts() -> None:
    """The others are stopped all the same, and the drain ends."""
    time = VirtualTime()
    stops = Stops(time, lambda contact, number: SERVICE_ERROR if contact == "stuck" else OK)
    stopper = Stopper(stops, lambda contact, how: None, Pace(10.0), time.clock)
    for contact in ("stuck", "a", "b"):
        stopper.add(contact, time.at)
    _drain(time, stopper)
    assert [contact for _, contact in stops.calls].count("stuck") == MAX_ATTEMPTS
    assert stopper.given_up == stopper.open == {"stuck"}
    assert stopper.refusal is None


def test_a_drain_that_nobody_answers_gives_up_all_that_is_left() -> None:
    """After enough failures in a row and enough silence, not before: a short outage is waited out."""
    time = VirtualTime()
    began = time.at
    stops = Stops(time, lambda contact, number: CONNECTION_ERROR)
    stopper = Stopper(stops, lambda contact, how: None, Pace(10.0), time.clock)
    for number in range(500):
        stopper.add(str(number), time.at)
    _drain(time, stopper)
    assert SECONDS_TO_GIVE_UP <= time.at - began < SECONDS_TO_GIVE_UP + 5
    assert stopper.given_up == stopper.open
    short = Stops(VirtualTime(), lambda contact, number: CONNECTION_ERROR if number < 20 else OK)
    assert stop_all_in(short, [str(number) for number in range(50)]) == 0


def stop_all_in(stops: Stops, contacts: list[str], abandoned: Callable[[], bool] = lambda: False) -> int:
    """Stop chats that another process left, in virtual time; return how many are still open."""
    clock = stops.time.clock
    stopping = gevent.spawn(stop_all, contacts, stops, Pace(9.0), _nothing, abandoned, clock)
    left = stops.time.finish(stopping)
    assert isinstance(left, int)
    return left


@pytest.mark.parametrize(("outcome", "most_calls"), [(ACCESS_DENIED, 1), (INVALID_REQUEST, 5), (CONNECTION_ERROR, 300)])
def test_what_another_process_left_is_hopeless_where_no_call_is_served(outcome: str, most_calls: int) -> None:
    """A refusal that no repetition cures ends it at once, a dead target after a while; the last answer is told."""
    stops = Stops(VirtualTime(), lambda contact, number: outcome, latency=0.001)
    with pytest.raises(Hopeless) as raised:
        stop_all_in(stops, [str(number) for number in range(100)])
    assert raised.value.reply.outcome == outcome
    assert len(stops.calls) <= most_calls


def test_an_error_of_the_caller_ends_the_drain_and_is_raised_there() -> None:
    """A ledger that cannot be written is no reason to wait for ever, nor for a traceback of a greenlet."""
    time = VirtualTime()

    def full(contact: str) -> Reply:
        raise OSError(28, "No space left on device")

    stopping = gevent.spawn(stop_all, ["a", "b"], full, Pace(9.0), _nothing, lambda: False, time.clock)
    with pytest.raises(OSError, match="No space left"):
        time.finish(stopping)


def test_abandoned_chats_are_left_as_they_are() -> None:
    """Somebody wants to leave: what is open is counted, and not called hopeless."""
    stops = Stops(VirtualTime())
    left = stop_all_in(stops, [str(number) for number in range(50)], lambda: len(stops.calls) >= 10)
    assert 35 <= left <= 41
