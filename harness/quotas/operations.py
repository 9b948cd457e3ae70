"""Which operation's limit binds first: what a chat costs of each quota, and how many chats that leaves room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.quotas.estimates import Interval, TpsEstimate
from harness.quotas.record import Attempts, Floats
from harness.quotas.tps import infer_tps

OK = "ok"
"""What samples call the success of any operation but StartChatContact, whose success is `started`."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What one operation allows: `calls_per_chat` calls of it at a limit of `rate` a second are `chats` chats a second.

    `chats` has the bounds of the rate; a limit that was not met has a lower bound only.
    """

    operation: str
    calls_per_chat: float
    rate: Interval
    chats: Interval

    @property
    def at_least(self) -> float:
        """Chats a second that the operation allows for certain; the estimate where that is all there is."""
        known = self.chats.estimate if self.chats.estimate is not None else self.chats.low
        return known if known is not None else 0.0


def infer_operation(
    sent: Sequence[float] | Floats, received: Sequence[float] | Floats, outcome: Sequence[str], *, seed: int = 0
) -> TpsEstimate:
    """The limit on calls a second of any one operation, from its attempts as `Attempts.of` takes them.

    An attempt that ended `ok` was admitted, as one that `started` a chat.
    """
    admitted = ["started" if name == OK else name for name in outcome]
    return infer_tps(Attempts.of(sent, received, admitted), seed=seed)


def binding_order(estimates: Mapping[str, TpsEstimate], calls_per_chat: Mapping[str, float]) -> list[Binding]:
    """The operations with a known limit, the one that binds first in front.

    `calls_per_chat`: calls of each operation that one started chat makes (1 for StartChatContact itself). Operations without
    a number there, or whose limit was never met, cannot be said to bind and are left out.
    """
    bindings = []
    for operation, estimate in estimates.items():
        cost = calls_per_chat.get(operation, 0.0)
        if cost > 0 and estimate.verdict == "explained" and estimate.rate.estimate is not None:
            rate = estimate.rate
            chats = Interval(
                *(None if value is None else value / cost for value in (rate.estimate, rate.low, rate.high))
            )
            bindings.append(Binding(operation, cost, rate, chats))
    return sorted(bindings, key=lambda binding: binding.at_least)
