"""What a run is about to do, as far as the checks need to know it, and who it would do it to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Intent:
    """The load that is planned. Rates are chat starts per second, times seconds, prices US dollars."""

    user_class: str = "QuotaProbe"
    rate: float = 1.0
    """The highest rate of StartChatContact that will be offered."""
    seconds: float | None = None
    """How long load is offered; None where the run ends by itself or by hand."""
    max_chats: int | None = None
    messages_per_chat: float = 2.0
    price_per_message: float = 0.01
    stop_rate: float = 9.0
    """StopContact calls per second with which the chats are stopped at the end."""
    approval: str = ""
    live: bool = True
    """False for the lab, which needs no approval and has no hours."""
    any_hour: bool = False
    shared: bool = False
    """Whether others may be active on the instance meanwhile."""
    emergency_contact: str = ""

    @property
    def drain_seconds(self) -> float | None:
        """Seconds to stop every chat that the budget allows, or None without a budget."""
        return self.max_chats / self.stop_rate if self.max_chats and self.stop_rate > 0 else None

    @property
    def expected_seconds(self) -> float | None:
        """Seconds from the first call until the last chat is stopped, as far as that is known."""
        if self.seconds is None:
            return None
        return self.seconds + (self.drain_seconds or 0.0)

    @property
    def worst_cost(self) -> float | None:
        """US dollars for the messages of every chat that the budget allows, or None without a budget."""
        return self.max_chats * self.messages_per_chat * self.price_per_message if self.max_chats else None
