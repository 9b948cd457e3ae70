"""Why chats ended, looked up in virtual time under an operation's quota."""

import gevent
import pytest

from harness.connect.client import Reply
from harness.load.session.end_reasons import FURTHER, MOST_ASKED, MOST_REASONS, NOT_ASKED, EndReasons
from harness.vocabulary import OK, TPS_THROTTLED
from tests.support.virtual_time import VirtualTime


class Describes:
    """Answers DescribeContact with the outcomes given, then OK, and tells the reason of each chat that it knows."""

    def __init__(self, time: VirtualTime, *outcomes: str) -> None:
        self.time = time
        self.outcomes = list(outcomes)
        self.calls: list[float] = []
        self.reasons: EndReasons | None = None

    def __call__(self, contact_id: str) -> Reply:
        self.calls.append(self.time.at)
        outcome = self.outcomes.pop(0) if self.outcomes else OK
        if outcome == OK and self.reasons is not None:
            self.reasons.found(f"REASON_{contact_id}")
        return Reply(outcome=outcome, sent=self.time.at, received=self.time.at)


def _asked(time: VirtualTime, describe: Describes, chats: int) -> EndReasons:
    reasons = describe.reasons = EndReasons(describe, 2.0, time.clock)
    for number in range(chats):
        reasons.ask(str(number % 3))
    time.finish(gevent.spawn(reasons.finish))
    return reasons


def test_chats_are_looked_up_one_after_another_under_the_rate() -> None:
    """Ten questions at 2/s take five seconds, and each reason is counted."""
    time = VirtualTime(0.0)
    describe = Describes(time)
    reasons = _asked(time, describe, 10)
    assert describe.calls == pytest.approx([0.5 * (number + 1) for number in range(10)])
    assert reasons.counts == {"REASON_0": 4, "REASON_1": 3, "REASON_2": 3}


def test_a_question_that_gets_no_answer_is_asked_again_and_then_counted() -> None:
    """Two throttles are repeated; three failures in a row count as not asked."""
    time = VirtualTime(0.0)
    describe = Describes(time, TPS_THROTTLED, TPS_THROTTLED, OK, TPS_THROTTLED, TPS_THROTTLED, TPS_THROTTLED)
    reasons = _asked(time, describe, 2)
    assert len(describe.calls) == 6
    assert reasons.counts == {"REASON_0": 1, NOT_ASKED: 1}


def test_a_run_waits_no_longer_than_half_a_minute_for_reasons() -> None:
    """What was not looked up until then is counted, not lost."""
    time = VirtualTime(0.0)
    describe = Describes(time)
    reasons = _asked(time, describe, MOST_ASKED + 5)
    assert time.at == pytest.approx(30.0, abs=2.0)
    reasons.close()
    assert reasons.counts.total() == MOST_ASKED + 5
    assert reasons.counts[NOT_ASKED] >= MOST_ASKED - 70


def test_reasons_without_bound_fill_no_memory() -> None:
    """A service that answers each time with another reason is counted under one name from the hundredth on."""
    reasons = EndReasons(lambda contact: Reply(outcome=OK, sent=0.0, received=0.0), 1.0, VirtualTime().clock)
    for number in range(3 * MOST_REASONS):
        reasons.found(f"R{number}")
    assert len(reasons.counts) == MOST_REASONS + 1
    assert reasons.counts[FURTHER] == 2 * MOST_REASONS
