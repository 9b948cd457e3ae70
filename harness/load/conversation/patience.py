"""How long customers wait for the other side."""

from harness.load.options.options import Manner

LISTEN = 2.0
"""Seconds in which the first customers of a process wait for an answer before it is taken that nobody gives one."""


class Patience:
    """Whether a customer waits for a greeting or a reply before going on, and for how long.

    With the manner `yes` each wait is `seconds` long, with `no` nobody waits. With `auto` customers wait where anybody in
    this process has been answered: a flow that says nothing would otherwise delay every message by the whole patience.
    """

    def __init__(self, manner: Manner, seconds: float) -> None:
        self._manner = manner
        self.seconds = seconds
        self._heard: set[str] = set()
        self._first: dict[str, float] = {}

    def heard(self, operation: str) -> None:
        """Somebody was answered."""
        self._heard.add(operation)

    def until(self, operation: str, begun: float) -> float:
        """Until when (unix s) a customer waits whose wait began at `begun`. May be later when asked again."""
        if self._manner == "no":
            return begun
        if self._manner == "yes" or operation in self._heard:
            return begun + self.seconds
        return min(self._first.setdefault(operation, begun) + LISTEN, begun + self.seconds)
