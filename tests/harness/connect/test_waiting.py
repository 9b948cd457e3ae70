"""Signals that greenlets wait for, and calls at deadlines."""

import weakref

import gevent
import pytest

from harness.connect.client import now
from harness.connect.transport import Deadlines
from harness.connect.waiting import Signal, TimedCalls

PATIENCE = 10.0


def _waiting(signal: Signal, seconds: float | None) -> "gevent.Greenlet[..., bool]":
    greenlet = gevent.spawn(signal.wait, seconds)
    gevent.sleep(0)
    return greenlet


def test_a_signal_wakes_all_that_wait_and_lets_pass_who_comes_later() -> None:
    """Once it is set nobody waits, until it is cleared."""
    signal = Signal()
    greenlets = [_waiting(signal, None), _waiting(signal, PATIENCE)]
    assert not any(greenlet.ready() for greenlet in greenlets)
    signal.set()
    assert [greenlet.get(timeout=PATIENCE) for greenlet in greenlets] == [True, True]
    assert signal.wait()
    signal.clear()
    assert not signal.wait(0.0)


def test_who_waited_in_vain_or_was_killed_is_not_woken_any_more() -> None:
    """A wait that is over for another reason takes no later wake-up, in whatever its greenlet does next."""
    signal, done = Signal(), []

    def wait_twice() -> None:
        done.append(signal.wait(0.0))
        signal.clear()
        done.append(signal.wait(PATIENCE))

    twice, killed = gevent.spawn(wait_twice), _waiting(signal, None)
    signal.set()
    killed.kill()
    gevent.sleep(0.01)
    assert killed.ready()
    assert done[:1] == [True]
    assert not twice.ready()
    signal.set()
    twice.get(timeout=PATIENCE)
    assert done == [True, True]


def test_a_wake_up_for_a_wait_that_was_over_does_not_end_the_next_one() -> None:
    """Its time is over in the moment in which it is set: the wake-up under way is for that wait alone."""
    signal, done = Signal(), []

    def wait_twice() -> None:
        done.append(signal.wait())
        signal.clear()
        done.append(signal.wait(PATIENCE))

    twice = gevent.spawn(wait_twice)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(twice.switch)  # as its timer does
    signal.set()
    gevent.sleep(0)
    gevent.sleep(0)
    assert done == [True]
    signal.set()
    twice.get(timeout=PATIENCE)
    assert done == [True, True]


def test_calls_come_at_their_deadlines_in_their_order_and_one_that_fails_stops_no_other() -> None:
    """Those that are due are called, with the time; what one raises is logged."""
    calls, called, over = TimedCalls(), list[str](), Signal()

    def fail(at: float) -> None:
        called.append("fails")
        raise RuntimeError("one conversation's fault")

    begun = now()
    calls.add(begun + 0.01, fail)
    calls.add(begun + 0.01, lambda at: called.append("second"))
    calls.add(begun + 0.02, lambda at: over.set())
    assert over.wait(PATIENCE)
    assert called == ["fails", "second"]
    assert now() - begun >= 0.02


class _Call:
    """Notes that it was called."""

    def __init__(self, called: list[str]) -> None:
        self.called = called

    def __call__(self, at: float) -> None:
        self.called.append("cancelled")


def test_a_call_that_is_due_before_the_others_comes_first_and_a_cancelled_one_never() -> None:
    """Whatever the order in which they were added; of those that were cancelled nothing is kept."""
    calls, called, over = TimedCalls(), list[str](), Signal()
    calls.add(now() + 0.03, lambda at: over.set())
    calls.add(now() + 0.01, lambda at: called.append("first"))
    cancelled = [_Call(called) for _ in range(3_000)]
    kept = [weakref.ref(call) for call in cancelled]
    for number in [calls.add(now() + 0.02, call) for call in cancelled]:
        calls.cancel(number)
    cancelled.clear()
    assert not any(reference() for reference in kept)
    assert over.wait(PATIENCE)
    assert called == ["first"]


def test_calls_may_be_late_to_come_together() -> None:
    """One that is due at once waits as long as it may, and those that are due by then come with it."""
    calls, called, over = TimedCalls(0.05), list[str](), Signal()
    begun = now()
    calls.add(begun, lambda at: called.append("first"))
    calls.add(begun + 0.04, lambda at: called.append("second"))
    calls.add(begun + 0.04, lambda at: over.set())
    assert over.wait(PATIENCE)
    assert called == ["first", "second"]
    assert now() - begun >= 0.05


def test_nothing_is_called_after_the_end() -> None:
    """What is still due at `close` is dropped, and what is added later."""
    calls, called, over = TimedCalls(), list[float](), Signal()
    calls.add(now(), called.append)
    calls.close()
    calls.add(now(), called.append)
    later = TimedCalls()
    later.add(now() + 0.02, lambda at: over.set())
    assert over.wait(PATIENCE)
    assert called == []


def test_a_wait_that_begins_while_another_runs_out_has_the_same_timer(capsys: pytest.CaptureFixture[str]) -> None:
    """Who is told that its time is over begins the next wait at once, and every wait still ends, each with nothing said."""
    deadlines, ended, over = Deadlines(0.01), [], Signal()

    def expire(name: str, then: list[str]) -> None:
        ended.append(name)
        if then:
            deadlines.begin(lambda: expire(then[0], then[1:]))
        if len(ended) == 6:
            over.set()

    deadlines.begin(lambda: expire("first", ["second", "third"]))
    gevent.sleep(0.005)
    deadlines.begin(lambda: expire("later", ["later still", "last"]))
    assert over.wait(PATIENCE)
    assert sorted(ended) == ["first", "last", "later", "later still", "second", "third"]
    deadlines.begin(expire_nothing)
    deadlines.end(expire_nothing)
    gevent.sleep(0.03)  # until what was armed has rung
    assert capsys.readouterr().err == ""


def expire_nothing() -> None:
    """Be called for a wait that nobody waits for."""
