"""The budget of chats: `--max-chats` is never overshot, not even by calls that are on the wire together.

Over many workers the master keeps the places that nobody has asked for yet (`Pool`) and each worker leases a few at a time
(`LeasedBudget`), so that the whole budget is spent whichever worker the load falls on. Both sides speak in totals since the
run began (wanted, granted, returned), so a message that is lost or comes twice changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gevent.event import Event

from harness.counting import counted
from harness.load.arrivals.clock import CLOCK, Clock

_ASK_AGAIN = 2.0  # seconds without an answer


class Budget:
    """Counts chats against a maximum. A place is reserved before a call and given back when no chat can have started.

    A call without an answer keeps its place, since its chat may exist.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._reserved = 0
        self._kept = 0
        self._closed = False

    def reserve(self) -> bool:
        """Take a place for one call; False when every place is taken, by chats or by calls on the wire."""
        if self._closed or (self.most is not None and self._reserved + self._kept >= self.most):
            return False
        self._reserved += 1
        return True

    def settle(self, may_have_started: bool) -> None:
        """Note that the reserved call has ended: keep its place or give it back."""
        self._reserved -= 1
        self._kept += may_have_started

    @property
    def taken(self) -> int:
        """Places taken, by chats and by calls on the wire."""
        return self._reserved + self._kept

    @property
    def spent(self) -> bool:
        """Whether no further chat can ever be started because every place is spent."""
        return self.most is not None and self._kept >= self.most

    @property
    def kept(self) -> int:
        """Places that are spent: a chat was started in each, or may have been."""
        return self._kept

    def expect(self, rate: float) -> None:
        """Expect that the load is `rate` starts per second from now on."""

    def close(self) -> None:
        """No further place is given; nobody waits for one any longer."""
        self._closed = True


class LeasedBudget(Budget):
    """One worker's part of a budget. `ask(wanted, returned)` tells the master how many places it wants in total, and how
    many of those granted it has given back; the answer comes to `grant`. `reserve` waits for an answer where it must.
    """

    most: int

    def __init__(self, ask: Callable[[int, int], None], clock: Clock = CLOCK) -> None:
        super().__init__(0)
        self._clock = clock
        self._ask = ask
        self.granted = 0
        self.returned = 0
        self._ahead = 1
        self._asked_for = 0
        self._changed = Event()
        self.exhausted = False

    def reserve(self) -> bool:
        """Take a place for one call, asking the master for more when few are left; False when the budget has no more."""
        while not super().reserve():
            if self.exhausted or self._closed:
                return False
            self._changed.clear()
            self._want(again=True)
            self._clock.wait(self._changed, _ASK_AGAIN)
        self._want()
        return True

    def grant(self, granted: int, more: bool) -> None:
        """Take the master's answer: `granted` places in total, and whether it has `more`."""
        self.granted = max(self.granted, granted)
        self.most = self.granted - self.returned
        self.exhausted = not more
        self._asked_for = min(self._asked_for, self.granted) if more else self.granted
        self._changed.set()

    def expect(self, rate: float) -> None:
        """Keep places for two seconds of `rate` starts at hand; give back what a worker without load does not need."""
        self._ahead = max(1, min(round(rate * 2), 10_000))
        if rate <= 0:
            self.give_back()

    def give_back(self) -> None:
        """Return the places that are not taken."""
        free = self.most - self.taken
        if free > 0:
            self.returned += free
            self.most -= free
            self._asked_for = self.granted
            self._ask(self.granted, self.returned)

    @property
    def spent(self) -> bool:
        """Whether this worker can start no further chat because every place is spent."""
        return self.exhausted and self._kept >= self.most

    def close(self) -> None:
        """Give back what is not taken and wait for nothing more."""
        super().close()
        self._changed.set()
        self.give_back()

    def _want(self, again: bool = False) -> None:
        free = self.most - self.taken
        if self.exhausted or free * 2 >= self._ahead + 1:
            return
        wanted = self.granted + self._ahead - free
        if wanted > self._asked_for or again:
            self._asked_for = wanted
            self._ask(wanted, self.returned)


@dataclass
class _Lease:
    granted: int = 0
    returned: int = 0
    kept: int = 0
    written_off: bool = False

    @property
    def held(self) -> int:
        return self.granted - self.returned


class Pool:
    """The master's side of a budget of `most` chats. Workers are known by any name."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._leases: dict[str, _Lease] = {}

    @property
    def left(self) -> int:
        """Places that no worker holds."""
        return self._left

    def ask(self, worker: str, wanted: int, returned: int, kept: int) -> tuple[int, bool]:
        """Take in what a worker says and return (places granted to it in total, whether there are more).

        `kept` is how many of its places are spent. No worker gets more than its fair part of what is left at once. Raises
        ValueError, and changes nothing, for a worker that gives back or has spent what it was never granted.
        """
        lease = self._leases.get(worker, _Lease())
        if min(wanted, returned, kept) < 0 or returned + kept > lease.granted:
            raise ValueError(f"{counted(returned, 'place')} given back and {kept} spent, of {lease.granted} granted")
        self._leases[worker] = lease
        if returned > lease.returned:
            self._left += returned - lease.returned
            lease.returned = returned
        lease.kept = max(lease.kept, kept)
        lease.written_off = False
        fair = -(-self._left // max(len(self._leases), 2))
        more = max(0, min(wanted - lease.granted, fair))
        lease.granted += more
        self._left -= more
        return lease.granted, self._left > 0

    def write_off(self, worker: str, taken: int | None) -> None:
        """Note that the worker is dead. `taken` is how many places it had taken for certain; None when nobody knows:
        all of them.
        """
        lease = self._leases.setdefault(worker, _Lease())
        if lease.written_off:
            return
        lease.written_off = True
        if taken is not None and taken < lease.held:
            self._left += lease.held - taken
            lease.returned = lease.granted - taken

    @property
    def spent(self) -> bool:
        """Whether every place is spent, or lost with the worker that held it."""
        return self._left == 0 and all(lease.written_off or lease.kept >= lease.held for lease in self._leases.values())
