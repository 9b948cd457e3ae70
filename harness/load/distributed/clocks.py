"""How far each worker's clock is from the master's, measured by exchanges of messages, so that a run has one clock.

The master asks a worker for its time. The answer was written at some moment between the question and its arrival here, so
the difference from the middle of the two is right to half the way there and back; the quickest of several exchanges is
taken. Workers move their times by it before the load begins, and it is measured again when the load has ended.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from gevent.event import Event

from harness.load.arrivals.clock import CLOCK, Clock
from harness.load.distributed.messages import Message, Tick, Tock
from harness.recording.format.manifest import WorkerClock

EXCHANGES = 8
PATIENCE = 2.0
"""Seconds that all workers together have to answer."""
MOST_OFF = 0.02
"""Seconds by which a worker's times may surely be off the master's before the run is not valid: a tenth of the
0.2 s in which the documented bucket gets a token."""


class Difference(NamedTuple):
    """A worker's clock is `ahead` seconds before the master's, give or take `error` seconds."""

    ahead: float
    error: float

    @property
    def surely(self) -> float:
        """The seconds by which the clocks differ at the least."""
        return max(abs(self.ahead) - self.error, 0.0)

    @property
    def at_most(self) -> float:
        """The seconds by which the clocks may differ."""
        return abs(self.ahead) + self.error


class WorkerClocks:
    """Measures the clocks of workers, who are known by Locust's ids."""

    def __init__(self, send: Callable[[Message, str], None], clock: Clock = CLOCK) -> None:
        self._send = send
        self._clock = clock
        self._run_id = ""
        self._asked: dict[str, tuple[int, float]] = {}
        self._best: dict[str, Difference] = {}
        self._news = Event()
        self._number = 0
        self._left: dict[str, int] = {}

    def measure(self, run_id: str, workers: Iterable[str]) -> dict[str, Difference]:
        """Ask each worker several times and return what is known of each that answered, `PATIENCE` seconds later at most."""
        self._run_id, self._best = run_id, {}
        self._left = dict.fromkeys(workers, EXCHANGES)
        self._asked = {}
        for worker in list(self._left):
            self._ask(worker)
        give_up = self._clock.now() + PATIENCE
        while any(self._left.values()) and (rest := give_up - self._clock.now()) > 0:
            self._news.clear()
            self._clock.wait(self._news, rest)
        self._left = {}
        return self._best

    def answered(self, worker: str, said: Tock) -> None:
        """Take a worker's answer; one to no question of the present measurement is passed over."""
        number, asked_at = self._asked.get(worker, (0, 0.0))
        if said.run_id != self._run_id or said.number != number or not self._left.get(worker):
            return
        now = self._clock.now()
        found = Difference(said.at - (asked_at + now) / 2, (now - asked_at) / 2)
        if worker not in self._best or found.error < self._best[worker].error:
            self._best[worker] = found
        self._left[worker] -= 1
        if self._left[worker]:
            self._ask(worker)
        else:
            self._news.set()

    def _ask(self, worker: str) -> None:
        self._number += 1
        self._asked[worker] = (self._number, self._clock.now())
        self._send(Tick(run_id=self._run_id, number=self._number), worker)


def correction(found: Difference) -> float:
    """Return the seconds by which a worker is to move its times.

    0 where the clocks may be one and the same: a machine's processes agree better than messages can tell.
    """
    return -found.ahead if found.surely else 0.0


def begun(found: Difference | None, moved_before: float) -> WorkerClock:
    """Return the record of a worker's clock as a run begins; `moved_before` is what earlier runs moved it by."""
    if found is None:
        return WorkerClock(moved=moved_before)
    move = correction(found)
    return WorkerClock(moved=moved_before + move, within=found.error if move else found.at_most)


def ended(clock: WorkerClock, found: Difference | None) -> WorkerClock:
    """Return the record as the run has ended, with what was measured then."""
    if found is None:
        return clock
    within = found.at_most if clock.within is None else max(clock.within, found.surely)
    return msgspec.structs.replace(clock, off_at_end=found.ahead, off_at_end_within=found.error, within=within)


def trouble(name: str, clock: WorkerClock, *, elsewhere: bool) -> str | None:
    """Return why a worker's times make the run invalid, None where they do not. `elsewhere`: it has another disk."""
    if clock.within is None and elsewhere:
        return f"the clock of {name} could not be measured against the master's, so its times may be of another clock"
    if clock.off_at_end is not None and abs(clock.off_at_end) - clock.off_at_end_within > MOST_OFF:
        return (
            f"the times of {name} were {abs(clock.off_at_end):.3g} s {'ahead of' if clock.off_at_end > 0 else 'behind'} the "
            "master's at the end of the run: see that the clocks of both machines keep time"
        )
    return None
