"""The budget of chats: `--max-chats` is never overshot, not even by calls that are on the wire together."""


class Budget:
    """Counts chats against a maximum. A place is reserved before a call and given back when no chat can have started.

    A call without an answer keeps its place, since its chat may exist.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._reserved = 0
        self._kept = 0

    def reserve(self) -> bool:
        """Take a place for one call; False when every place is taken, by chats or by calls on the wire."""
        if self.most is not None and self._reserved + self._kept >= self.most:
            return False
        self._reserved += 1
        return True

    def settle(self, may_have_started: bool) -> None:
        """The reserved call has ended: keep its place or give it back."""
        self._reserved -= 1
        self._kept += may_have_started

    @property
    def spent(self) -> bool:
        """Whether no further chat can ever be started."""
        return self.most is not None and self._kept >= self.most


def share_of(most: int | None, index: int, workers: int) -> int | None:
    """The part of a budget that worker `index` of `workers` may spend; the parts add up to the whole."""
    if most is None:
        return None
    if not 0 <= index < workers:
        return 0
    return most // workers + (1 if index < most % workers else 0)
