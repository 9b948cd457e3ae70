"""Which operation's limit binds first: what a chat costs of each quota, and how many chats that leaves room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.quotas.attempts import Attempts, Floats
from harness.quotas.estimates import Interval, TpsEstimate
from harness.quotas.tps.infer import infer_tps
from harness.vocabulary import OK, SERVED, STARTED


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


class JourneyCost:
    """How many calls of each operation one chat makes, learned from chats that went their way unhindered.

    A throttled message is lost and a throttled connection is tried again, so the calls of a hindered chat say little of what
    its customer wanted. Add every attempt of every chat, in the order of each chat; memory is that of the open chats.
    """

    def __init__(self) -> None:
        self._open: dict[str, Counter[str]] = {}
        self._hindered: set[str] = set()
        self._calls: Counter[str] = Counter()
        self._chats = 0

    def add(self, contact_id: str, operation: str, outcome: str) -> None:
        """One attempt of a customer."""
        self._open.setdefault(contact_id, Counter())[operation] += 1
        if outcome not in SERVED:
            self._hindered.add(contact_id)

    def ended(self, contact_id: str, by_customer: bool) -> None:
        """Note that the chat has ended; only a chat that its customer left had all of its journey."""
        calls = self._open.pop(contact_id, None)
        if calls is not None and by_customer and contact_id not in self._hindered:
            self._calls.update(calls)
            self._chats += 1
        self._hindered.discard(contact_id)

    def calls_per_chat(self) -> dict[str, float]:
        """Mean calls of each operation; empty until a chat went all of its way unhindered."""
        return {name: count / self._chats for name, count in self._calls.items()} if self._chats else {}


def infer_operation(
    sent: Sequence[float] | Floats, received: Sequence[float] | Floats, outcome: Sequence[str], *, seed: int = 0
) -> TpsEstimate:
    """Return the limit on calls a second of any one operation, from its attempts as `Attempts.of` takes them.

    An attempt that ended `ok` was admitted, as one that `started` a chat.
    """
    admitted = [STARTED if name == OK else name for name in outcome]
    return infer_tps(Attempts.of(sent, received, admitted), seed=seed)


def binding_order(estimates: Mapping[str, TpsEstimate], calls_per_chat: Mapping[str, float]) -> list[Binding]:
    """Return the operations with a known limit, the one that binds first in front.

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
