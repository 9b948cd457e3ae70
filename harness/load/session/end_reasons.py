"""Why chats ended that somebody else ended: each is looked up with DescribeContact, under that operation's quota.

The reasons are AWS's words (https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html, DisconnectReason):
CUSTOMER_CONNECTION_NOT_ESTABLISHED is a chat that nobody connected to within five minutes, EXPIRED one that reached its
ChatDurationInMinutes, AGENT_DISCONNECT one that an agent ended.
"""

from collections import Counter, deque
from collections.abc import Callable

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.load.arrivals.clock import CLOCK, Clock
from harness.recording.redact import redact_field
from harness.vocabulary import OK

NOT_ASKED = "not_asked"
"""Counts the chats whose reason was not looked up, or not told."""
FURTHER = "(further reasons)"
MOST_REASONS = 100
"""Different reasons that are counted; AWS knows about fifteen."""

MOST_ASKED = 2_000
_LONGEST_FINISH = 30.0  # seconds
_ATTEMPTS = 3


class EndReasons:
    """Looks up one chat after another, at most `rate` calls per second. `describe(contact_id)` makes one attempt."""

    def __init__(self, describe: Callable[[str], Reply], rate: float, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._describe = describe
        self._spacing = 1 / rate
        self._waiting: deque[str] = deque()
        self._asked = 0
        self._idle = Event()
        self._idle.set()
        self._greenlet: gevent.Greenlet | None = None
        self.counts: Counter[str] = Counter()

    def ask(self, contact_id: str) -> None:
        """Find out why this chat has ended; beyond MOST_ASKED chats of a run nobody is asked."""
        if self._asked >= MOST_ASKED:
            self.counts[NOT_ASKED] += 1
            return
        self._asked += 1
        self._waiting.append(contact_id)
        self._idle.clear()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def found(self, reason: str) -> None:
        """Note that a chat was ended for this reason."""
        reason = redact_field(reason)
        self.counts[reason if reason in self.counts or len(self.counts) < MOST_REASONS else FURTHER] += 1

    def finish(self) -> None:
        """Wait until every question is answered, for half a minute at most."""
        self._clock.wait(self._idle, _LONGEST_FINISH)

    def close(self) -> None:
        """Ask nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._waiting:
            self.counts[NOT_ASKED] += len(self._waiting)
            self._waiting.clear()

    def _run(self) -> None:
        while self._waiting:
            self._look_up(self._waiting[0])
            self._waiting.popleft()
        self._greenlet = None
        self._idle.set()

    def _look_up(self, contact_id: str) -> None:
        told = self.counts.total()
        for _ in range(_ATTEMPTS):
            self._clock.sleep(self._spacing)
            if self._describe(contact_id).outcome == OK:
                break
        if self.counts.total() == told:
            self.counts[NOT_ASKED] += 1
