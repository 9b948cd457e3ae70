"""How many chats the whole instance holds is followed minute by minute, in virtual time."""

import logging

import pytest

from harness.load.run.instance_watch import Watch
from harness.preflight.model.minutes import Minute, NoMinutes, merged

EPOCH = 1_795_000_020.0
UNKNOWN = "how many chats others hold is not known"


class Ended(Exception):
    """The test's time is over."""


class Clock:
    """A clock that sleeping moves on, until it has been moved on `looks` times."""

    def __init__(self, looks: int) -> None:
        self.at, self._looks = EPOCH, looks

    def now(self) -> float:
        """Unix seconds."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._looks -= 1
        if self._looks < 0:
            raise Ended
        self.at += seconds


def test_each_minute_is_kept_and_a_late_correction_replaces_it() -> None:
    """CloudWatch is two minutes behind and corrects what it said: the record has each minute once, as it was said last."""
    asked = []
    clock = Clock(looks=8)

    def fetch(begin: float, end: float) -> list[Minute]:
        asked.append((begin, end))
        known = range(int(EPOCH), int(end) - 120, 60)
        return [Minute(at, most_open=100.0 if at < end - 200 else 1.0) for at in known if at >= begin - 60]

    watch = Watch(fetch, merged, UNKNOWN, clock.now, clock.sleep)
    with pytest.raises(Ended):
        watch.follow()
    assert [minute.at for minute in watch.known] == [int(EPOCH) + 60 * n for n in range(6)]
    assert [minute.most_open for minute in watch.known] == [100.0] * 5 + [1.0]
    assert all(begin >= EPOCH for begin, _ in asked)
    assert max(end - begin for begin, end in asked) <= 300


def test_a_failure_is_said_once_and_what_was_known_stays(caplog: pytest.LogCaptureFixture) -> None:
    """A missing permission is one warning, however often it is met."""
    clock = Clock(looks=5)
    answers = [[Minute(int(EPOCH), most_open=7.0)]]

    def fetch(begin: float, end: float) -> list[Minute]:
        if not answers:
            raise NoMinutes("CloudWatch answered AccessDenied")
        return answers.pop()

    watch = Watch(fetch, merged, UNKNOWN, clock.now, clock.sleep)
    with caplog.at_level(logging.WARNING), pytest.raises(Ended):
        watch.follow()
    assert watch.known == [Minute(int(EPOCH), most_open=7.0)]
    assert [record.getMessage() for record in caplog.records] == [
        "how many chats others hold is not known: CloudWatch answered AccessDenied"
    ]
