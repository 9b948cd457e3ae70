"""Why chats ended, looked up in virtual time under an operation's quota."""

from collections import Counter

import gevent
import pytest

from harness.connect.client import Reply
from harness.load.session.end_reasons import MOST_ASKED, EndReasons
from harness.vocabulary import NOT_ASKED, OK, TPS_THROTTLED
from tests.support.virtual_time import VirtualTime


class Describes:
    """Answers DescribeContact with the outcomes given, then OK, and tells the reason of each chat that it knows."""

    def __init__(self, time: VirtualTime, *outcomes: str) -> None:
        self.time = time
        self.outcomes = list(outcomes)
        self.calls: list[float] = []
        self.told: list[tuple[str, float, str]] = []

    def __call__(self, contact_id: str) -> tuple[Reply, str | None]:
        self.calls.append(self.time.at)
        outcome = self.outcomes.pop(0) if self.outcomes else OK
        return Reply(outcome=outcome, sent=self.time.at, received=self.time.at), f"REASON_{contact_id}"

    def tell(self, contact_id: str, noticed: float, reason: str) -> None:
        self.told.append((contact_id, noticed, reason))

    @property
    def reasons(self) -> Counter[str]:
        return Counter(reason for _, _, reason in self.told)


def _asked(time: VirtualTime, describe: Describes, chats: int) -> EndReasons:
    reasons = EndReasons(describe, 2.0, describe.tell, time.clock)
    for number in range(chats):
        reasons.ask(str(number % 3))
    time.finish(gevent.spawn(reasons.finish))
    return reasons


def test_chats_are_looked_up_one_after_another_under_the_rate() -> None:
    """Ten questions at 2/s take five seconds, and each chat's reason is told once, with when its end was noticed."""
    time = VirtualTime(0.0)
    describe = Describes(time)
    _asked(time, describe, 10)
    assert describe.calls == pytest.approx([0.5 * (number + 1) for number in range(10)])
    assert describe.told == [(str(number % 3), 0.0, f"REASON_{number % 3}") for number in range(10)]


def test_a_question_that_gets_no_answer_is_asked_again_and_then_counted() -> None:
    """Two throttles are repeated; three failures in a row count as not asked."""
    time = VirtualTime(0.0)
    describe = Describes(time, TPS_THROTTLED, TPS_THROTTLED, OK, TPS_THROTTLED, TPS_THROTTLED, TPS_THROTTLED)
    _asked(time, describe, 2)
    assert len(describe.calls) == 6
    assert describe.reasons == {"REASON_0": 1, NOT_ASKED: 1}


def test_a_run_waits_no_longer_than_half_a_minute_for_reasons() -> None:
    """What was not looked up until then is told as not asked, not lost."""
    time = VirtualTime(0.0)
    describe = Describes(time)
    reasons = _asked(time, describe, MOST_ASKED + 5)
    assert time.at == pytest.approx(30.0, abs=2.0)
    reasons.close()
    assert len(describe.told) == MOST_ASKED + 5
    assert describe.reasons[NOT_ASKED] >= MOST_ASKED - 70
