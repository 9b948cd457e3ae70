"""Why chats ended that somebody else ended: each is looked up with DescribeContact, under that operation's quota.

The reasons are AWS's words (https://docs.aws.amazon.com/connect/latest/adminguide/ctr-data-model.html, DisconnectReason):
CUSTOMER_CONNECTION_NOT_ESTABLISHED is a chat that nobody connected to within five minutes, EXPIRED one that reached its
ChatDurationInMinutes, AGENT_DISCONNECT one that an agent ended.
"""

from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import Event

from harness.connect.client import Reply
from harness.load.arrivals.clock import CLOCK, Clock
from harness.vocabulary import NOT_ASKED, OK

MOST_ASKED = 2_000
_LONGEST_FINISH = 30.0  # seconds
_ATTEMPTS = 3


class EndReasons:
    """Looks up one chat after another, at most `rate` calls per second.

    `describe(contact_id)` makes one attempt and returns the reason too, where the service told one. `tell(contact_id,
    noticed, reason)` is called once for each chat that was asked for, with when its end was noticed (unix s); the reason is
    NOT_ASKED where it was not looked up, or not told.
    """

    def __init__(
        self,
        describe: Callable[[str], tuple[Reply, str | None]],
        rate: float,
        tell: Callable[[str, float, str], None],
        clock: Clock = CLOCK,
    ) -> None:
        self._clock = clock
        self._describe = describe
        self._spacing = 1 / rate
        self._tell = tell
        self._waiting: deque[tuple[str, float]] = deque()
        self._asked = 0
        self._idle = Event()
        self._idle.set()
        self._greenlet: gevent.Greenlet | None = None

    def ask(self, contact_id: str) -> None:
        """Find out why this chat has ended; beyond MOST_ASKED chats of a run nobody is asked."""
        noticed = self._clock.now()
        if self._asked >= MOST_ASKED:
            self._tell(contact_id, noticed, NOT_ASKED)
            return
        self._asked += 1
        self._waiting.append((contact_id, noticed))
        self._idle.clear()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def finish(self) -> None:
        """Wait until every question is answered, for half a minute at most."""
        self._clock.wait(self._idle, _LONGEST_FINISH)

    def close(self) -> None:
        """Ask nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        while self._waiting:
            self._tell(*self._waiting.popleft(), NOT_ASKED)

    def _run(self) -> None:
        while self._waiting:
            reason = self._look_up(self._waiting[0][0])
            self._tell(*self._waiting.popleft(), reason)
        self._greenlet = None
        self._idle.set()

    def _look_up(self, contact_id: str) -> str:
        for _ in range(_ATTEMPTS):
            self._clock.sleep(self._spacing)
            reply, reason = self._describe(contact_id)
            if reply.outcome == OK:
                return reason or NOT_ASKED
        return NOT_ASKED
