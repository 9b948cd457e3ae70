"""The mechanics of the quota probe: one action at a time, under its ceilings of calls and chats. Pure: time comes in."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.load.probe.actions import Action, Done, Known, Pause, ProbeOptions, Send, StopChats
from harness.quotas.attempts import Attempts
from harness.vocabulary import ACTIVE_CHAT_LIMIT, STARTED, TPS_THROTTLED


@dataclass
class ProbeMoves:
    """Carries out a script of moves call by call, keeps count, and keeps the ceilings. What the script is, subclasses say.

    The driver asks `act`, does what it says, and reports `answered` and `ended`.
    """

    options: ProbeOptions
    known: Known = field(default_factory=Known)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.options.seed)
        self._chances = random.Random(f"stops/{self.options.seed}")  # apart, so that stops change no moment of a call
        self._sent: list[float] = []
        self._received: list[float] = []
        self._outcome: list[str] = []
        self._ends: list[float] = []
        self._gone = 0
        self._recent: deque[float] = deque()
        self._asked = 0
        self._unanswered: dict[int, float] = {}
        self._stopping = 0
        self._now = 0.0
        self._begin: float | None = None
        self._open = 0
        self._rate = 0.0
        self._script = self._run()
        self._waiting: tuple[float, Callable[[], bool]] | None = None
        self._trip = 0.1
        self._withheld = False
        self._held = False
        self._quota = 0
        self._costless = False
        self._full_streak = 0
        self._full_since = 0.0

    # -- what the driver calls ------------------------------------------------------------------------------------

    def act(self, now: float) -> Action:
        """Return the next thing to do at `now`. A `Send` has to be followed by `answered` some time later."""
        self._now = now
        if self._begin is None:
            self._begin = now
        while True:
            if (waited := self._waited(now)) is not None:
                return waited
            try:
                action = next(self._script)
            except StopIteration:
                return Done(self._over() or "done")
            if isinstance(action, Send):
                if self._room_in_budget():
                    return self._sending(now)
                if not self._over():  # calls on the wire hold the last places: some will be refused and give them back
                    self._held = True
                    self._waiting = (now + 60.0, lambda: bool(self._room_in_budget() or self._over()))
            elif not isinstance(action, Pause):
                return action

    def _waited(self, now: float) -> Action | None:
        """Return what is to be done for a wait: it goes on, or the call that was held back is sent; None for neither."""
        if self._waiting is None:
            return None
        until, over = self._waiting
        if now < until and not over():
            return Pause(until)
        self._waiting = None
        held, self._held = self._held, False
        return self._sending(now) if held and self._room_in_budget() else None

    def _sending(self, now: float) -> Send:
        self._asked += 1
        self._unanswered[self._asked] = now
        self._recent.append(now)
        return Send(self._asked)

    def _room_in_budget(self) -> bool:
        most = self.options.max_chats
        return not self._withheld and (most is None or self.known.started + self._in_flight < most)

    def answered(self, number: int, sent: float, received: float, outcome: str) -> None:
        """Take the answer of the call that had this `number`: its outcome as in `harness.vocabulary.START_OUTCOMES`."""
        self._unanswered.pop(number, None)
        self._sent.append(sent)
        self._received.append(received)
        self._outcome.append(outcome)
        self._trip += 0.1 * (received - sent - self._trip)
        if outcome == STARTED:
            self.known.started += 1
            self._open += 1
            self._full_streak = 0
        elif outcome == TPS_THROTTLED:
            self.known.throttled += 1
            self._full_streak = 0
        elif outcome == ACTIVE_CHAT_LIMIT:
            self.known.full_refusals += 1
            if not self._full_streak:
                self._full_since = sent
            self._full_streak += 1
            self._quota = self._quota or self._open

    def ended(self, at: float) -> None:
        """One of the probe's chats was ended at `at`."""
        self._ends.append(at)
        self._open -= 1
        self._stopping -= 1

    def found_gone(self, chats: int) -> None:
        """Note that so many chats of the run were found to have ended without being stopped, in all."""
        self._gone = chats

    def withheld(self, number: int) -> None:
        """Note that the `Send` of this `number` was not carried out: the budget of chats is spent."""
        self._unanswered.pop(number, None)
        self._withheld = True

    def findings(self) -> list[str]:
        """Return what was found, in sentences."""
        told: list[str] = []
        if self.known.tps is not None and self.options.goal != "active-chats":
            told.append(self.known.tps.sentence())
        if self.known.active_chats is not None and self.options.goal != "tps":
            told.append(self.known.active_chats.sentence())
        return told

    @property
    def _in_flight(self) -> int:
        return len(self._unanswered)

    @property
    def _settled(self) -> float:
        """The moment up to which every call is answered: later answers are mostly refusals, where admitted calls wait."""
        return next(iter(self._unanswered.values()), self._now)

    @property
    def open_chats(self) -> int:
        """Chats that the probe holds open."""
        return self._open

    def attempts(self) -> Attempts:
        """All answered calls so far."""
        return Attempts.of(self._sent, self._received, self._outcome)

    # -- what scripts are made of -----------------------------------------------------------------------------------

    def _run(self) -> Iterator[Action]:
        raise NotImplementedError

    def _over(self) -> str | None:
        """Why the probe may send no more, or None."""
        options = self.options
        if self._withheld:
            return "max_chats"
        if options.max_chats is not None and self.known.started >= options.max_chats:
            return "max_chats"
        if self._begin is not None and self._now - self._begin > options.max_seconds:
            return "max_seconds"
        return None

    def _within_time(self, due: float) -> float:
        """`due`, or the end of the probe's time where that is earlier."""
        return min(due, (self._begin if self._begin is not None else self._now) + self.options.max_seconds + 1e-3)

    def _pace(self, interval: float, dither: bool = False) -> Iterator[Action]:
        """Wait for the next call's moment, and for the ceiling of calls a second."""
        last = self._recent[-1] if self._recent else self._now - interval
        due = last + interval * (self._rng.uniform(0.5, 1.5) if dither else 1.0)
        yield from self._sleep(due - self._now)

    def _sleep(self, seconds: float) -> Iterator[Action]:
        due = self._within_time(self._now + seconds)
        if seconds > 0:
            self._waiting = (due, lambda: False)
            yield Pause(due)
        while self._recent and self._recent[0] <= self._now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= self.options.max_rate:
            due = self._recent[0] + 1.0
            self._waiting = (due, lambda: False)
            yield Pause(due)
        if self._in_flight > 900:
            self._waiting = (self._now + 5.0, lambda: self._in_flight < 600)
            yield Pause(self._now + 5.0)

    def _quiet(self, longest: float = 30.0) -> Iterator[Action]:
        """Wait until every call is answered."""
        if self._in_flight:
            self._waiting = (self._now + longest, lambda: not self._in_flight)
            yield Pause(self._now + longest)

    def _stop(self, count: int) -> Iterator[Action]:
        self._stopping += count
        self._full_streak = 0
        yield StopChats(count)
        self._waiting = (self._now + 30.0, lambda: not self._stopping)
        yield Pause(self._now + 30.0)
