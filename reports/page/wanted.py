"""What a quota-increase request asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """Quotas to ask for: chat starts a second, chats at once, and by when; None is left for the reader to fill in."""

    tps: float | None = None
    active_chats: int | None = None
    by: str | None = None
