"""Stops chats: those whose hold is over, and at the end of a run all that are open."""

import heapq
from collections.abc import Callable
from math import inf

import gevent

from harness.connect.client import Reply, now
from harness.load.arrivals.greenlets import Alarm, Crew
from harness.load.stopping.pace import Pace
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import NOT_FOUND, OK, TPS_THROTTLED

MAX_ATTEMPTS = 8
"""Attempts at one chat that fail for another reason than a throttle, before it is given up as left open."""

MAX_IN_FLIGHT = 100
"""StopContact calls on the wire at once: a pace that may grow must not outrun the target."""

FAILURES_TO_GIVE_UP = 25
SECONDS_TO_GIVE_UP = 15.0
"""A drain gives up once so many calls in a row have failed and no call has been answered for so many seconds."""

_RETRY_AFTER = 1.0
_AT_ONCE = 32  # calls that are overdue together; then the answers that have come in have their turn


class Stopper:
    """Stops chats in the order of their due times, spaced by `pace`, each call in a greenlet of its own.

    `stop(contact_id)` makes one StopContact attempt; `ended(contact_id, how)` is told of each chat that has ended. A
    throttled call comes again later and slows the pace; a chat that is gone already counts as ended; any other failure
    is tried again up to MAX_ATTEMPTS times. A drain that nobody answers gives up all that is left. `clock` gives unix
    seconds, `sleep` waits.
    """

    def __init__(
        self,
        stop: Callable[[str], Reply],
        ended: Callable[[str, str], None],
        pace: Pace,
        clock: Callable[[], float] = now,
        sleep: Callable[[float], object] = gevent.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._stop = stop
        self._ended = ended
        self._pace = pace
        self._due: list[tuple[float, int, str]] = []
        self._order = 0
        self._latest: dict[str, int] = {}
        self._attempts: dict[str, int] = {}
        self._in_flight = 0
        self._draining = False
        self._failures = 0
        self._answered_at = 0.0
        self.open: set[str] = set()
        self.given_up: set[str] = set()
        self._place: float | None = None  # when the pace allows the call that is next
        self._rings_at = inf
        self._alarm = Alarm(self._ring)
        self._crew = Crew(self._call)

    def add(self, contact_id: str, due: float) -> None:
        """An open chat, to be stopped at `due` (unix seconds); added again, its new due time replaces the old one."""
        self.open.add(contact_id)
        self.given_up.discard(contact_id)
        self._push(contact_id, due)

    def forget(self, contact_id: str) -> None:
        """The chat has ended by itself."""
        self.open.discard(contact_id)
        self.given_up.discard(contact_id)
        self._latest.pop(contact_id, None)

    def expedite(self) -> None:
        """Let every chat be due now: the run is over."""
        self._draining = True
        at = self._answered_at = self._clock()
        self._failures = 0
        self._due = [(min(due, at), order, contact) for due, order, contact in self._due]
        heapq.heapify(self._due)
        self._ring_at(at)

    def remaining(self) -> int:
        """Chats that are open and have not been given up."""
        return len(self.open) - len(self.given_up)

    def wait_idle(self, timeout: float) -> None:
        """Wait until no call is on the wire, `timeout` seconds at most."""
        give_up = self._clock() + timeout
        while self._in_flight and self._clock() < give_up:
            self._sleep(0.02)

    def close(self) -> None:
        """Stop stopping."""
        self._alarm.close()
        self._crew.dismiss()

    def _push(self, contact_id: str, due: float) -> None:
        if self._draining:
            due = self._clock()
        self._order += 1
        self._latest[contact_id] = self._order
        heapq.heappush(self._due, (due, self._order, contact_id))
        if (
            len(self._due) > 2 * len(self._latest) + 1000
        ):  # mostly chats that ended by themselves, long before their time
            self._due = [entry for entry in self._due if self._latest.get(entry[2]) == entry[1]]
            heapq.heapify(self._due)
        self._ring_at(max(due, self._place or due))

    def _ring_at(self, at: float) -> None:
        if at < self._rings_at:
            self._rings_at = at
            self._alarm.set(at - self._clock())

    def _ring(self) -> None:
        self._rings_at = inf
        self._ring_at(self._stop_due())

    def _stop_due(self) -> float:
        """Make the calls that may be made now; return when to look again, infinity for not before something changes."""
        for _ in range(_AT_ONCE):
            while self._due and self._latest.get(self._due[0][2]) != self._due[0][1]:
                heapq.heappop(self._due)  # ended by itself, or due at another time since
            if not self._due or self._in_flight >= MAX_IN_FLIGHT:
                return inf
            at = self._clock()
            if self._due[0][0] > at:
                return self._due[0][0]
            if self._place is None:
                self._place = at + self._pace.reserve(at, self._waiting(at))
            if self._place > at:
                return self._place
            self._place = None
            contact_id = heapq.heappop(self._due)[2]
            del self._latest[contact_id]
            self._in_flight += 1
            self._crew.hand(contact_id)
        return self._clock()

    def _waiting(self, at: float) -> int:
        """About how many calls are due: all of a drain; before it, what the oldest one's lateness at this pace makes."""
        return len(self._latest) if self._draining else int((at - self._due[0][0]) * self._pace.rate)

    def _call(self, contact_id: str) -> None:
        try:
            outcome = self._stop(contact_id).outcome
        finally:
            self._in_flight -= 1
            if self._in_flight == MAX_IN_FLIGHT - 1:
                self._ring_at(self._clock())
        if outcome in (OK, NOT_FOUND):
            self._answered()
            self.open.discard(contact_id)
            self.given_up.discard(contact_id)
            self._attempts.pop(contact_id, None)
            self._ended(contact_id, STOPPED if outcome == OK else ALREADY_ENDED)
        elif outcome == TPS_THROTTLED:
            self._answered()
            self._pace.throttled(self._clock())
            self._again(contact_id)
        elif self._is_hopeless():
            self.given_up |= self.open
            self._due, self._latest = [], {}
        else:
            tries = self._attempts.get(contact_id, 0) + 1
            self._attempts[contact_id] = tries
            if tries < MAX_ATTEMPTS:
                self._sleep(_RETRY_AFTER * min(tries, 4) * (0.2 if tries == 1 else 1))
                self._again(contact_id)
            elif contact_id in self.open:
                self.given_up.add(contact_id)

    def _answered(self) -> None:
        self._failures = 0
        self._answered_at = self._clock()

    def _is_hopeless(self) -> bool:
        """Count a failure; whether a drain has seen so many in a row, for so long, that nobody will answer any more."""
        self._failures += 1
        silent = self._clock() - self._answered_at
        return self._draining and self._failures >= FAILURES_TO_GIVE_UP and silent >= SECONDS_TO_GIVE_UP

    def _again(self, contact_id: str) -> None:
        if contact_id in self.open and contact_id not in self.given_up:  # it may have ended by itself in the meantime
            self._push(contact_id, self._clock())
