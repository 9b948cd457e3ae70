"""Stops chats: those whose hold is over, and at an end all that are open, this process's own or another's."""

import heapq
from collections.abc import Callable, Iterable
from math import inf

from harness.connect.client import Reply
from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.arrivals.greenlets import Crew
from harness.load.stopping.pace import Pace
from harness.recording.ledger import ALREADY_ENDED, STOPPED
from harness.vocabulary import ACCESS_DENIED, INVALID_REQUEST, NOT_FOUND, OK, SERVICE_ERROR, TPS_THROTTLED

MAX_ATTEMPTS = 8
"""Attempts at one chat that fail for another reason than a throttle, before it is given up as left open."""

MAX_IN_FLIGHT = 100
"""StopContact calls on the wire at once: a pace that may grow must not outrun the target."""

FAILURES_TO_GIVE_UP = 25
SECONDS_TO_GIVE_UP = 15.0
"""A drain gives up once so many calls in a row have failed and no call has been answered for so many seconds."""

REFUSALS_TO_GIVE_UP = 5
"""A drain of which no call was ever served gives up at so many refusals that no repetition cures."""

_REFUSED = frozenset({ACCESS_DENIED, INVALID_REQUEST})
_RETRY_AFTER = 1.0
_AT_ONCE = 32  # calls that are overdue together; then the answers that have come in have their turn
_LOOK_EVERY = 0.1  # seconds


class Hopeless(Exception):
    """Every call of a drain is refused or fails. `reply` is the last one."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.message)
        self.reply = reply


class Stopper:
    """Stops chats in the order of their due times, spaced by `pace`, each call in a greenlet of its own.

    `stop(contact_id)` makes one StopContact attempt; `ended(contact_id, how)` is told of each chat that has ended. A
    throttled call comes again later and slows the pace; a chat that is gone already counts as ended; any other failure
    is tried again up to MAX_ATTEMPTS times. A drain that nobody serves gives up all that is left; `refusal` is then the
    last answer, if none was ever served. Times are unix seconds.
    """

    def __init__(
        self,
        stop: Callable[[str], Reply],
        ended: Callable[[str, str], None],
        pace: Pace,
        clock: Clock = CLOCK,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._ended = ended
        self._pace = pace
        self._due: list[tuple[float, int, str]] = []
        self._order = 0
        self._latest: dict[str, int] = {}
        self._attempts: dict[str, int] = {}
        self._in_flight = 0
        self._draining = False
        self._served = False
        self._failures = 0
        self._refusals = 0
        self._answered_at = 0.0
        self.refusal: Reply | None = None
        self.open: set[str] = set()
        self.given_up: set[str] = set()
        self._place: float | None = None  # when the pace allows the call that is next
        self._rings_at = inf
        self._alarm = clock.alarm(self._ring)
        self._crew = Crew(self._call)

    def add(self, contact_id: str, due: float) -> None:
        """Take an open chat, to be stopped at `due` (unix seconds); added again, its new due time replaces the old one."""
        self.open.add(contact_id)
        self.given_up.discard(contact_id)
        self._push(contact_id, due)

    def forget(self, contact_id: str) -> None:
        """Note that the chat has ended by itself."""
        self.open.discard(contact_id)
        self.given_up.discard(contact_id)
        self._latest.pop(contact_id, None)

    def drain(self, progress: Callable[[int, int], None], abandoned: Callable[[], bool] = lambda: False) -> None:
        """Stop every open chat now, until none is left but those given up, or until `abandoned()`.

        `progress(done, of)` is told as it goes on.
        """
        total = self.remaining()
        self._expedite()
        while (remaining := self.remaining()) and not abandoned():
            progress(total - remaining, total)
            self._clock.sleep(_LOOK_EVERY)
        progress(total - self.remaining(), total)

    def remaining(self) -> int:
        """Chats that are open and have not been given up."""
        return len(self.open) - len(self.given_up)

    def wait_idle(self, timeout: float) -> None:
        """Wait until no call is on the wire, `timeout` seconds at most."""
        give_up = self._clock.now() + timeout
        while self._in_flight and self._clock.now() < give_up:
            self._clock.sleep(0.02)

    def close(self) -> None:
        """Stop stopping."""
        self._alarm.close()
        self._crew.dismiss()

    def _expedite(self) -> None:
        """Let every chat be due now."""
        self._draining = True
        at = self._answered_at = self._clock.now()
        self._failures = self._refusals = 0
        self._due = [(min(due, at), order, contact) for due, order, contact in self._due]
        heapq.heapify(self._due)
        self._ring_at(at)

    def _push(self, contact_id: str, due: float) -> None:
        if self._draining:
            due = self._clock.now()
        self._order += 1
        self._latest[contact_id] = self._order
        heapq.heappush(self._due, (due, self._order, contact_id))
        if len(self._due) > 2 * len(self._latest) + 1000:  # mostly chats that ended by themselves, before their time
            self._due = [entry for entry in self._due if self._latest.get(entry[2]) == entry[1]]
            heapq.heapify(self._due)
        self._ring_at(max(due, self._place or due))

    def _ring_at(self, at: float) -> None:
        if at < self._rings_at:
            self._rings_at = at
            self._alarm.set(at - self._clock.now())

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
            at = self._clock.now()
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
        return self._clock.now()

    def _waiting(self, at: float) -> int:
        """About how many calls are due: all of a drain; before it, what the oldest one's lateness at this pace makes."""
        return len(self._latest) if self._draining else int((at - self._due[0][0]) * self._pace.rate)

    def _call(self, contact_id: str) -> None:
        try:
            reply = self._stop(contact_id)
        finally:
            self._in_flight -= 1
            if self._in_flight == MAX_IN_FLIGHT - 1:
                self._ring_at(self._clock.now())
        if reply.outcome in (OK, NOT_FOUND):
            self._serve()
            self.open.discard(contact_id)
            self.given_up.discard(contact_id)
            self._attempts.pop(contact_id, None)
            self._ended(contact_id, STOPPED if reply.outcome == OK else ALREADY_ENDED)
        elif reply.outcome == TPS_THROTTLED:
            self._serve()
            self._pace.throttled(self._clock.now())
            self._again(contact_id)
        else:
            self._fail(contact_id, reply)

    def _serve(self) -> None:
        self._served = True
        self._failures = self._refusals = 0
        self._answered_at = self._clock.now()
        self.refusal = None

    def _fail(self, contact_id: str, reply: Reply) -> None:
        if not self._served:
            self.refusal = reply
        if self._is_hopeless(reply):
            self.given_up |= self.open
            self._due, self._latest = [], {}
            return
        tries = self._attempts.get(contact_id, 0) + 1
        self._attempts[contact_id] = tries
        if tries < MAX_ATTEMPTS:
            self._clock.sleep(_RETRY_AFTER * min(tries, 4) * (0.2 if tries == 1 else 1))
            self._again(contact_id)
        elif contact_id in self.open:
            self.given_up.add(contact_id)

    def _is_hopeless(self, reply: Reply) -> bool:
        """Count a failure; whether a drain has seen enough of them to know that nobody will serve it any more."""
        self._failures += 1
        self._refusals += reply.outcome in _REFUSED
        silent = self._clock.now() - self._answered_at
        lost = self._failures >= FAILURES_TO_GIVE_UP and silent >= SECONDS_TO_GIVE_UP
        refused = not self._served and (reply.outcome == ACCESS_DENIED or self._refusals >= REFUSALS_TO_GIVE_UP)
        return self._draining and (lost or refused)

    def _again(self, contact_id: str) -> None:
        if contact_id in self.open and contact_id not in self.given_up:  # it may have ended by itself in the meantime
            self._push(contact_id, self._clock.now())


def stop_all(
    contacts: Iterable[str],
    stop: Callable[[str], Reply],
    pace: Pace,
    progress: Callable[[int, int], None],
    abandoned: Callable[[], bool] = lambda: False,
    clock: Clock = CLOCK,
) -> int:
    """Stop chats that another process left open, and return how many of them still are.

    `stop(contact_id)` makes one StopContact attempt; what it raises is raised here. Raises Hopeless when no call was served.
    """
    failed: list[Exception] = []

    def attempt(contact_id: str) -> Reply:
        try:
            return stop(contact_id)
        except Exception as error:  # it is raised where the drain is waited for, not in a greenlet of its own
            failed.append(error)
            return Reply(outcome=SERVICE_ERROR, sent=clock.now(), received=clock.now())

    stopper = Stopper(attempt, lambda contact_id, how: None, pace, clock)
    try:
        for contact_id in contacts:
            stopper.add(contact_id, clock.now())
        stopper.drain(progress, lambda: bool(failed) or abandoned())
    finally:
        stopper.close()
    if failed:
        raise failed[0]
    if stopper.open and stopper.refusal is not None and not abandoned():
        raise Hopeless(stopper.refusal)
    return len(stopper.open)
