"""Actions that are due at a time of the emulator's clock, run in the order of their times."""

import heapq
import math
from collections.abc import Callable

Action = Callable[[float], None]


class Schedule:
    """A queue of actions; `wake` is called when an action becomes the next one due."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Action]] = []
        self._serial = 0
        self.wake: Callable[[], None] = lambda: None

    def at(self, due: float, action: Action) -> None:
        """Run `action(due)` when the clock has reached `due`."""
        self._serial += 1
        heapq.heappush(self._queue, (due, self._serial, action))
        if self._queue[0][1] == self._serial:
            self.wake()

    @property
    def next(self) -> float:
        """When the next action is due; infinity: there is none."""
        return self._queue[0][0] if self._queue else math.inf

    def is_due(self, now: float) -> bool:
        """Whether an action is due at `now`."""
        return bool(self._queue) and self._queue[0][0] <= now

    def pop(self) -> Action:
        """Take the next action out."""
        return heapq.heappop(self._queue)[2]
