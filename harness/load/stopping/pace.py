"""How fast chats are stopped: under StopContact's own quota, with room left for the account's other users.

Documented default: 10/s with a burst of 15 for the account in a Region
(https://docs.aws.amazon.com/connect/latest/adminguide/amazon-connect-service-limits.html).
"""

DEFAULT_STOP_RATE = 9.0
_BACK_OFF = 0.7
_GROWTH = 1.5
_GROW_EVERY = 1.0  # seconds
_PATIENCE = 60.0  # seconds that a backlog may take before the rate grows: the default quota of 500 chats ends in that
_SLOWEST = 0.2  # calls per second
_CATCH_UP = 0.05  # seconds: places missed for less than this, by a timer's grain, are made up for


class Pace:
    """Spaces calls evenly at `rate` per second; slows down at each throttle.

    With `may_grow`, for targets that nobody else uses, a backlog of over a minute lets the rate rise by half each second,
    until the first throttle; then it stays under that. Times are seconds on any one clock.
    """

    def __init__(self, rate: float, may_grow: bool = False) -> None:
        self.rate = rate
        self._ceiling = float("inf") if may_grow else rate
        self._next = 0.0
        self._grown_at: float | None = None  # None until a backlog calls for growth
        self._slowed_at = -1.0

    def reserve(self, now: float, waiting: int = 0) -> float:
        """Take the next place and return the seconds to wait for it; `waiting` calls are due behind this one."""
        if self._grown_at is None:
            if waiting > _PATIENCE * self.rate:
                self._grown_at = now
        elif self.rate < self._ceiling and now - self._grown_at >= _GROW_EVERY:
            self.rate = min(self.rate * _GROWTH, self._ceiling)
            self._grown_at = now
        at = max(now - _CATCH_UP, self._next)
        self._next = at + 1 / self.rate
        return max(at - now, 0.0)

    def throttled(self, now: float) -> None:
        """Note that a call was throttled: slow down, once for all calls that were on their way at the time, and
        leave a pause.
        """
        if now < self._slowed_at:
            return
        self.rate = max(self.rate * _BACK_OFF, _SLOWEST)
        self._ceiling = min(self._ceiling, self.rate)
        self._slowed_at = now + 1.0
        self._next = max(self._next, now + 0.5)
