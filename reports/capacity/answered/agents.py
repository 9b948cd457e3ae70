"""Puts what each customer saw of agents in order: when one joined, left or handed the chat on, and how long that took."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.vocabulary import AGENT_JOINED, AGENT_LEFT, TRANSFER, WEBSOCKET_SUBSCRIBE
from reports.capacity.answered.model import Agents
from reports.capacity.answered.ranks import quantiles_of
from reports.run.samples import Batch
from reports.wording.vocabulary import OK

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_KINDS = (AGENT_JOINED, AGENT_LEFT, TRANSFER, WEBSOCKET_SUBSCRIBE)
_JOINED, _LEFT, _TRANSFERRED, _SUBSCRIBED = range(len(_KINDS))


@dataclass
class AgentsSeen:
    """Rows of agents' coming and going, gathered as batches are read: numbers of chats, kinds, and times (unix s)."""

    rows: list[tuple[Ints, Ints, Floats, Floats]] = field(default_factory=list)

    def add(self, batch: Batch, chat: Ints) -> None:
        """Take what counts of a batch, whose rows belong to the chats of these numbers."""
        words = batch.words["operation"]
        kind = np.array([_KINDS.index(name) if name in _KINDS else -1 for name in words], np.int64)
        kinds = kind[batch.codes["operation"]]
        came = np.array([name == OK for name in batch.words["outcome"]], np.bool_)[batch.codes["outcome"]]
        begun, at = batch.times["scheduled"], batch.times["received"]
        rows = (kinds >= 0) & came & np.isfinite(begun) & np.isfinite(at)
        if rows.any():
            self.rows.append((chat[rows], kinds[rows], begun[rows], at[rows]))

    def agents(self) -> Agents | None:
        """Return what customers saw of agents; None where they saw none."""
        if not self.rows:
            return None
        chat, kind, begun, at = (np.concatenate(parts) for parts in zip(*self.rows, strict=True))
        subscribed = len(np.unique(chat[kind == _SUBSCRIBED]))
        order = np.lexsort((at, chat))
        order = order[kind[order] != _SUBSCRIBED]
        if not len(order):
            return None
        return _agents(subscribed, chat[order], kind[order], begun[order], at[order])


def _agents(subscribed: int, chat: Ints, kind: Ints, begun: Floats, at: Floats) -> Agents:
    """Count what happened in chats; the rows are in order of chat and time."""
    here = np.arange(len(chat))
    joined, transferred = kind == _JOINED, kind == _TRANSFERRED
    before = _last_before(joined, chat)
    after = len(chat) - 1 - _last_before(joined[::-1], chat[::-1])[::-1]
    served, followed = before >= 0, after < len(chat)
    since = at - at[np.maximum(before, 0)]
    first = joined & ~served
    # The next agent's row, where something lies between it and the last agent's: that agent left, or handed the chat on.
    again = joined & served & (before < here - 1)
    gap = at - at[np.minimum(np.maximum(before, 0) + 1, len(chat) - 1)]
    return Agents(
        subscribed=max(subscribed, len(np.unique(chat[first]))),
        joined_chats=int(np.count_nonzero(first)),
        joined=int(np.count_nonzero(joined)),
        left=int(np.count_nonzero(kind == _LEFT)),
        transfers=int(np.count_nonzero(transferred)),
        transferred_chats=len(np.unique(chat[transferred])),
        not_taken_over=int(np.count_nonzero(transferred & ~followed)),
        first_joined_ms=quantiles_of((at - begun)[first]),
        until_transfer_ms=quantiles_of(since[transferred & served]),
        next_joined_ms=quantiles_of(gap[again]),
        until_left_ms=quantiles_of(since[(kind == _LEFT) & served]),
    )


def _last_before(wanted: Bools, chat: Ints) -> Ints:
    """Return the place of the last wanted row before each row, of the same chat; -1 for none."""
    places = np.where(wanted, np.arange(len(chat)), -1)
    found = np.concatenate(([-1], np.maximum.accumulate(places)[:-1]))
    return np.where((found >= 0) & (chat[np.maximum(found, 0)] == chat), found, -1)
