"""What the quota probe may be asked, may do, and knows: the words that its plan and its drivers share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.quotas.cost import Goal
from harness.quotas.estimates import ActiveChatsEstimate, TpsEstimate


@dataclass(frozen=True, slots=True)
class Send:
    """Send one StartChatContact now; report its answer with `answered` and this `number`."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing until `until`, or until the next answer."""

    until: float


@dataclass(frozen=True, slots=True)
class StopChats:
    """Stop `count` of the open chats; report each with `ended`."""

    count: int


@dataclass(frozen=True, slots=True)
class Think:
    """Nothing is on the wire: run `steps` to their end, letting others work in between."""

    steps: Iterator[object]


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Nothing is on the wire: close the connections, so that the next calls open new ones."""


@dataclass(frozen=True, slots=True)
class Done:
    """The probe is over; `why` is a short reason."""

    why: str


Action = Send | Pause | StopChats | Think | Reconnect | Done


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What to look for, and how much it may cost.

    `goal`: see `harness.quotas.cost.Goal`; a `ProbePlan` looks for the exact limiter alone and takes `safe` as `both`.
    `max_rate`: most calls in any one second; `max_chats`: most chats to start, None for no bound; `max_seconds`: longest
    time to spend.
    """

    goal: Goal = "both"
    max_rate: float = 500.0
    max_chats: int | None = None
    max_seconds: float = 1500.0
    seed: int = 0


@dataclass
class Known:
    """What the probe knows so far, for the progress line and for its own decisions."""

    doing: str = "starting"
    rate: tuple[float, float] | None = None
    burst: tuple[float, float] | None = None
    started: int = 0
    throttled: int = 0
    full_refusals: int = 0
    tps: TpsEstimate | None = None
    active_chats: ActiveChatsEstimate | None = None

    def line(self, open_chats: int) -> str:
        """One line: rate, burst and chats as far as they are known."""
        rate = "?" if self.rate is None else _span(*self.rate)
        burst = "?" if self.burst is None else _span(*self.burst)
        met = " (quota met)" if self.full_refusals else ""
        return f"rate {rate}, burst {burst}, chats {open_chats}{met}, throttled {self.throttled}: {self.doing}"


def _span(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g}..{high:.4g}"
