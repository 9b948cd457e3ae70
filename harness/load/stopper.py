"""Stops chats: those whose hold is over, and at the end of a run all that are open."""

import heapq
from collections.abc import Callable

import gevent
from gevent.event import Event

from harness.connect.client import Reply, now
from harness.connect.outcome import NOT_FOUND, OK, TPS_THROTTLED
from harness.load.pace import Pace
from harness.recording.ledger import ALREADY_ENDED, STOPPED

MAX_ATTEMPTS = 8
"""Attempts at one chat that fail for another reason than a throttle, before it is given up as left open."""

_RETRY_AFTER = 1.0


class Stopper:
    """Stops chats in the order of their due times, spaced by `pace`, each call in a greenlet of its own.

    `stop(contact_id)` makes one StopContact attempt; `ended(contact_id, how)` is told of each chat that has ended. A
    throttled call comes again later and slows the pace; a chat that is gone already counts as ended; any other failure
    is tried again up to MAX_ATTEMPTS times.
    """

    def __init__(self, stop: Callable[[str], Reply], ended: Callable[[str, str], None], pace: Pace) -> None:
        self._stop = stop
        self._ended = ended
        self._pace = pace
        self._due: list[tuple[float, int, str]] = []
        self._order = 0
        self._latest: dict[str, int] = {}
        self._attempts: dict[str, int] = {}
        self._in_flight = 0
        self._changed = Event()
        self._draining = False
        self.open: set[str] = set()
        self.given_up: set[str] = set()
        self._greenlet = gevent.spawn(self._run)

    def add(self, contact_id: str, due: float) -> None:
        """An open chat, to be stopped at `due` (unix seconds); added again, its new due time replaces the old one."""
        self.open.add(contact_id)
        self._push(contact_id, due)

    def forget(self, contact_id: str) -> None:
        """The chat has ended by itself."""
        self.open.discard(contact_id)
        self._latest.pop(contact_id, None)

    def expedite(self) -> None:
        """Let every chat be due now: the run is over."""
        self._draining = True
        at = now()
        self._due = [(min(due, at), order, contact) for due, order, contact in self._due]
        heapq.heapify(self._due)
        self._changed.set()

    def remaining(self) -> int:
        """Chats that are open and have not been given up."""
        return len(self.open) - len(self.given_up & self.open)

    def close(self) -> None:
        """Stop stopping."""
        self._greenlet.kill()

    def _push(self, contact_id: str, due: float) -> None:
        self._order += 1
        self._latest[contact_id] = self._order
        heapq.heappush(self._due, (now() if self._draining else due, self._order, contact_id))
        if (
            len(self._due) > 2 * len(self._latest) + 1000
        ):  # mostly chats that ended by themselves long before their time
            self._due = [entry for entry in self._due if self._latest.get(entry[2]) == entry[1]]
            heapq.heapify(self._due)
        self._changed.set()

    def _run(self) -> None:
        while True:
            while self._due and self._latest.get(self._due[0][2]) != self._due[0][1]:
                heapq.heappop(self._due)  # ended by itself, or due at another time since
            wait = self._due[0][0] - now() if self._due else None
            if wait is None or wait > 0:
                self._changed.clear()
                self._changed.wait(wait)
                continue
            pause = self._pace.reserve(now())
            if pause > 0:
                gevent.sleep(pause)
            if self._due:
                _, order, contact_id = heapq.heappop(self._due)
                if self._latest.get(contact_id) == order:
                    del self._latest[contact_id]
                    gevent.spawn(self._call, contact_id)

    def _call(self, contact_id: str) -> None:
        outcome = self._stop(contact_id).outcome
        if outcome in (OK, NOT_FOUND):
            self.open.discard(contact_id)
            self._attempts.pop(contact_id, None)
            self._ended(contact_id, STOPPED if outcome == OK else ALREADY_ENDED)
        elif outcome == TPS_THROTTLED:
            self._pace.throttled(now())
            self._push(contact_id, now())
        else:
            tries = self._attempts.get(contact_id, 0) + 1
            self._attempts[contact_id] = tries
            if tries < MAX_ATTEMPTS:
                gevent.sleep(_RETRY_AFTER * min(tries, 4) * (0.2 if tries == 1 else 1))
                self._push(contact_id, now())
            else:
                self.given_up.add(contact_id)
