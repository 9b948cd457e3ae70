"""Time as the emulator sees it: seconds since it started, possibly faster than a wall clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What everything in the emulator asks for the time."""

    def now(self) -> float:
        """Seconds since the emulator started."""

    def unix(self, at: float) -> float:
        """Return the unix time, in seconds, of the moment `at` (seconds since the start)."""


class ScaledClock:
    """A clock that runs `scale` times faster than real time.

    Small numbers (seconds since the start, not unix seconds) keep the limiters' float arithmetic exact to well
    below a microsecond over days.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.restart()

    def restart(self) -> None:
        """Begin again at 0, which is now in real time too: what was advanced is taken back."""
        self._origin = time.monotonic()
        self._epoch = time.time()
        self._advanced = 0.0

    def now(self) -> float:
        return (time.monotonic() - self._origin) * self.scale + self._advanced

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._advanced += seconds

    def unix(self, at: float) -> float:
        return self._epoch + at


_LAST = 253_402_300_799.0


def iso8601(unix: float) -> str:
    """`unix` seconds as Amazon Connect writes a time: `yyyy-MM-ddThh:mm:ss.SSSZ`, at most the end of the year 9999."""
    return datetime.fromtimestamp(min(unix, _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
