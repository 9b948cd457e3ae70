"""Attempts are samples at once, and are reported to Locust together a moment later."""

from collections.abc import Sequence
from pathlib import Path

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.load.session.attempts import Attempts
from harness.load.session.recorder import Recorder
from harness.vocabulary import OK, STOP_CONTACT
from tests.support.virtual_time import VirtualTime

HEADER = {"run_id": "r", "endpoint": "e", "region": "r", "instance_id": "i"}


class _Watched:
    """Attempts on a recorder in virtual time, and what was reported of them."""

    def __init__(self, directory: Path) -> None:
        self.time = VirtualTime()
        self.recorder = Recorder(directory, "local", HEADER, lambda sentence: None, clock=self.time.clock)
        self.reported: list[int] = []
        self.hold: Event | None = None
        self.attempts = Attempts(self.recorder, "local", self._report, lambda reply: None, self.time.clock)

    def make(self, count: int) -> None:
        for number in range(count):
            self.recorder.begun()
            at = self.time.at
            self.attempts.other(STOP_CONTACT, at, Reply(outcome=OK, sent=at, received=at, status=number), "c")

    def _report(self, attempts: Sequence[tuple[str, Reply]]) -> None:
        if self.hold is not None:
            self.hold.wait()
        self.reported += [reply.status for _, reply in attempts]

    def close(self) -> None:
        self.attempts.close()
        closing = gevent.spawn(self.recorder.close)
        self.time.finish(closing)


def test_attempts_are_samples_at_once_and_reported_soon_in_their_order(tmp_path: Path) -> None:
    """The summary counts an attempt before Locust hears of it, which it does within half a second."""
    watched = _Watched(tmp_path)
    watched.make(3)
    assert sum(each.count for each in watched.recorder.summary().outcomes) == 3
    assert watched.reported == []
    watched.time.run(0.5)
    assert watched.reported == [0, 1, 2]
    watched.close()


def test_many_attempts_do_not_wait(tmp_path: Path) -> None:
    """A full batch is reported before any time has passed."""
    watched = _Watched(tmp_path)
    watched.make(256)
    watched.time.run(0.0)
    assert watched.reported == list(range(256))
    watched.close()


def test_what_is_left_is_reported_at_the_end(tmp_path: Path) -> None:
    """The last attempts of a run are in Locust's statistics too."""
    watched = _Watched(tmp_path)
    watched.make(2)
    watched.close()
    assert watched.reported == [0, 1]


def test_a_listener_that_waits_holds_up_no_later_batch(tmp_path: Path) -> None:
    """Locust's listeners are anybody's: one that writes to a database may take its time."""
    watched = _Watched(tmp_path)
    watched.hold = held = Event()
    watched.make(1)
    watched.time.run(0.5)
    watched.hold = None
    watched.make(2)
    watched.time.run(0.5)
    assert watched.reported == [0, 1]
    held.set()
    watched.time.run(0.5)
    assert watched.reported == [0, 1, 0]
    watched.close()
