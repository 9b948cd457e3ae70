"""The schedule sends every arrival once, whatever the calls do; only what happens is tested, not how fast."""

import random
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event

from harness.connect.client import now
from harness.load.arrivals.greenlets import Alarm, Crew
from harness.load.arrivals.schedule import Schedule
from tests.support.virtual_time import VirtualTime

PATIENCE = 20.0


@pytest.fixture
def scheduled() -> Iterator[Callable[..., Schedule]]:
    """Makes schedules and stops them."""
    made: list[Schedule] = []

    def make(start: Callable[[float], None], max_in_flight: int = 1000, spacing: str = "uniform") -> Schedule:
        made.append(Schedule(start, spacing, random.Random(1), max_in_flight))
        return made[-1]

    yield make
    for schedule in made:
        schedule.stop()


def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something has happened."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)


def test_each_arrival_is_sent_once_and_not_before_it_is_due(scheduled: Callable[..., Schedule]) -> None:
    """Due times are those of the arrivals, in order, and no call leaves early."""
    calls: list[tuple[float, float]] = []
    schedule = scheduled(lambda due: calls.append((due, now())))
    schedule.set_rate(500.0)
    until(lambda: len(calls) >= 100)
    schedule.stop()
    dues = [due for due, _ in calls]
    assert dues == pytest.approx([dues[0] + n / 500 for n in range(len(dues))])
    assert all(sent >= due for due, sent in calls)
    assert schedule.offered == len(calls)
    assert schedule.dropped == 0


def test_a_slow_answer_never_delays_the_next_start(scheduled: Callable[..., Schedule]) -> None:
    """Calls that are never answered do not keep others from being sent."""
    never = Event()
    dues: list[float] = []

    def hang(due: float) -> None:
        dues.append(due)
        never.wait()

    schedule = scheduled(hang)
    schedule.set_rate(1000.0)
    until(lambda: len(dues) >= 50)
    assert schedule.in_flight >= len(dues)
    assert not schedule.wait_idle(0.0)
    schedule.set_rate(0.0)
    never.set()
    assert schedule.wait_idle(PATIENCE)
    assert schedule.in_flight == 0


def test_arrivals_over_the_cap_are_dropped_and_counted(scheduled: Callable[..., Schedule]) -> None:
    """With every place taken, an arrival is counted in the second that it was due in, and is not sent later."""
    never, sent = Event(), []

    def hang(due: float) -> None:
        sent.append(due)
        never.wait()

    schedule = scheduled(hang, max_in_flight=3)
    schedule.set_rate(1000.0)
    until(lambda: schedule.dropped >= 20)
    schedule.set_rate(0.0)
    assert len(sent) == 3
    assert schedule.offered == 3 + schedule.dropped
    assert sum(schedule.dropped_by_second.values()) == schedule.dropped
    assert all(abs(second - now()) < PATIENCE + 1 for second in schedule.dropped_by_second)
    never.set()


def test_what_is_overdue_is_caught_up_with_and_answers_still_have_their_turn(
    scheduled: Callable[..., Schedule],
) -> None:
    """After the loop was held up every missed arrival is sent, while other greenlets go on running."""
    calls: list[float] = []
    turns = [0]
    schedule = scheduled(calls.append)

    def count_turns() -> None:
        while True:
            turns[0] += 1
            gevent.sleep(0)

    schedule.set_rate(100_000.0)  # more than any loop can send: always overdue
    other = gevent.spawn(count_turns)
    until(lambda: len(calls) >= 2000)
    other.kill()
    assert turns[0] > 10
    assert schedule.offered == len(calls)


def test_a_failing_call_is_told_and_harms_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception of one call is printed, and its place is free again."""
    calls = []

    def fail_first(due: float) -> None:
        calls.append(due)
        if len(calls) == 1:
            raise RuntimeError("only this one")

    time = VirtualTime()
    schedule = Schedule(fail_first, "uniform", random.Random(1), 1, clock=time.clock)
    schedule.set_rate(200.0)
    time.run(until=lambda: len(calls) >= 5)
    schedule.stop()
    assert "only this one" in capsys.readouterr().err
    assert schedule.dropped == 0


def test_nothing_is_sent_after_the_stop(scheduled: Callable[..., Schedule]) -> None:
    """A stopped schedule stays silent, even if somebody still sets a rate."""
    calls: list[float] = []
    schedule = scheduled(calls.append)
    schedule.set_rate(1000.0)
    until(lambda: bool(calls))
    schedule.stop()
    number = len(calls)
    schedule.set_rate(1000.0)
    for _ in range(20):
        gevent.sleep(0.001)
    assert len(calls) == number
    assert schedule.offering_seconds > 0


def test_an_alarm_rings_at_the_time_set_last() -> None:
    """Setting it again takes back what was set before; closing it silences it for good."""
    rings = []
    alarm = Alarm(lambda: rings.append(now()))
    alarm.set(3600.0)
    alarm.set(0.0)
    until(lambda: bool(rings))
    alarm.set(0.0)
    alarm.close()
    alarm.set(0.0)
    gevent.sleep(0.005)
    assert len(rings) == 1


def test_a_crew_uses_its_greenlets_again() -> None:
    """There are as many greenlets as jobs at once, however many jobs come one after another."""
    used: list[gevent.Greenlet] = []
    gate = Event()

    def work(job: int) -> None:
        used.append(gevent.getcurrent())
        if job < 0:
            gate.wait()

    crew = Crew(work)
    jobs = [-1, -2, *range(50)]
    alarm = Alarm(lambda: crew.hand(jobs.pop(0)))
    while jobs:
        before = len(jobs)
        alarm.set(0.0)
        until(lambda before=before: len(jobs) < before)  # type: ignore[misc]
    until(lambda: len(used) == 52)
    assert len(set(used)) == 3
    gate.set()
    crew.dismiss()
    until(lambda: all(greenlet.dead for greenlet in set(used)))


def test_arrivals_that_a_stall_made_late_are_dropped_and_counted_not_sent_in_a_flood() -> None:
    """After 15 s without the processor only the arrivals of the last two seconds go out; the others are counted."""
    time = VirtualTime(1000.0)
    sent: list[float] = []
    schedule = Schedule(sent.append, "uniform", random.Random(1), 10_000, max_late=2.0, clock=time.clock)
    schedule.set_rate(20.0)
    time.stall(15.0)
    time.run(until=lambda: schedule.offered >= 300)
    schedule.stop()
    assert 300 <= schedule.offered <= 302
    assert schedule.dropped_late == schedule.dropped == schedule.offered - len(sent)
    assert len(sent) <= 2.0 * 20 + 1
    assert min(sent) >= 1013.0


@pytest.mark.parametrize("spacing", ["uniform", "poisson"])
@pytest.mark.parametrize(("rate", "stall"), [(500.0, 1.9), (8.0, 1.9), (60.0, 0.7)])
def test_what_a_short_stall_missed_leaves_at_no_more_than_twice_the_rate(
    spacing: str, rate: float, stall: float
) -> None:
    """Nothing is dropped, each keeps the time that it was due at, and after less than twice the stall all are on time."""
    time = VirtualTime(1000.0)
    sent: list[tuple[float, float]] = []
    schedule = Schedule(
        lambda due: sent.append((time.at, due)), spacing, random.Random(1), 10_000, max_late=2.0, clock=time.clock
    )
    schedule.set_rate(rate)
    time.run(2.0)
    time.stall(stall)
    time.run(2 * stall + 1.0)
    schedule.stop()
    assert schedule.dropped == 0
    assert [due for _, due in sent] == sorted(due for _, due in sent)
    late = [at for at, due in sent if at - due > 0.1]
    assert len(late) > 0.6 * (stall - 0.1) * rate
    for begin in late:
        assert sum(begin <= at < begin + 0.2 for at in late) <= 2 * rate * 0.2 + 2 * rate * 0.01 + 2
    assert max(at - due for at, due in sent if at > 1002.0 + 2.2 * stall + 0.5) <= 0.11


def test_the_spacing_of_arrivals_that_are_on_time_is_their_own() -> None:
    """Poisson arrivals that fall close together leave so: only what is late is spaced."""
    time = VirtualTime(1000.0)
    sent: list[tuple[float, float]] = []
    schedule = Schedule(
        lambda due: sent.append((time.at, due)), "poisson", random.Random(2), 10_000, max_late=2.0, clock=time.clock
    )
    schedule.set_rate(100.0)
    time.run(20.0)
    schedule.stop()
    assert len(sent) > 1800
    assert max(at - due for at, due in sent) < 1e-6


class _Turns:
    """Notes the rates that it is told, and how many turns there were."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.turns = 0

    def offer(self, rate: float) -> None:
        self.rates.append(rate)

    def turn(self, make_calls: Callable[[], None]) -> None:
        self.turns += 1
        make_calls()


def test_turns_are_told_the_rate_and_take_what_is_due() -> None:
    """Every arrival leaves in a turn: in one of its own, since in virtual time the alarm rings when it is due."""
    time, turns = VirtualTime(1000.0), _Turns()
    sent: list[float] = []
    schedule = Schedule(sent.append, "poisson", random.Random(2), 10_000, clock=time.clock, turns=turns)
    schedule.set_rate(300.0)
    time.run(5.0)
    schedule.stop()
    assert turns.rates == [300.0, 0.0]
    assert len(sent) > 1300
    assert len(sent) <= turns.turns < 1.1 * len(sent)
