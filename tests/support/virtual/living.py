"""A virtual service whose chats end by themselves, and on which others hold some."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from tests.support.virtual.services import Service


@dataclass
class Living(Service):
    """A service whose chats end by themselves after about `lives` seconds (0: never), and on which others hold about
    `others` chats at a time, each for about `stay` seconds.
    """

    lives: float = 0.0
    others: float = 0.0
    stay: float = 60.0
    ending: list[tuple[float, int]] = field(default_factory=list)
    leaving: list[float] = field(default_factory=list)
    next_other: float = 0.0

    def start(self, now: float) -> tuple[str, int]:
        """Let what is over end, and what others do happen, then decide."""
        rng = self.latency.rng
        while self.ending and self.ending[0][0] <= now:
            at, chat = heapq.heappop(self.ending)
            self.stop(chat, at)
        while self.others and self.next_other <= now:
            if self._others_open(self.next_other) + len(self.chats) < self.active_chats:
                heapq.heappush(self.leaving, self.next_other + rng.expovariate(1 / self.stay))
            self.next_other += rng.expovariate(self.others / self.stay)
        if self.others:
            self.others_hold = self._others_open(now)
        outcome, chat = super().start(now)
        if outcome == "started" and self.lives:
            heapq.heappush(self.ending, (now + rng.expovariate(1 / self.lives), chat))
        return outcome, chat

    def _others_open(self, now: float) -> int:
        while self.leaving and self.leaving[0] <= now:
            heapq.heappop(self.leaving)
        return len(self.leaving)
