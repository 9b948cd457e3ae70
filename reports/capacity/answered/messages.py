"""Reads the messages of a run's customers: whether they were answered, how soon, and under which load."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.vocabulary import NO_REPLY, REPLY, ends_chat
from reports.capacity.answered.agents import AgentsSeen
from reports.capacity.answered.knee import Bools, Ints
from reports.run.samples import Batch
from reports.wording.vocabulary import OK, START, STARTED

_WINDOW = 10.0
"""Seconds before a message in which chat starts are counted for its arrival rate."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Messages:
    """The messages of customers that were answered or not, one an element.

    `took` is seconds from when a message was due to its answer, or to when it was given up; `chat` numbers its chat;
    `open_chats` and `start_rate` (1/s) are the load when it was accepted, at `sent` (unix s).
    """

    took: Floats
    answered: Bools
    chat: Ints
    open_chats: Ints
    start_rate: Floats
    sent: Floats


@dataclass
class MessagesSeen:
    """Rows of the kinds that count, gathered as batches are read: numbers of chats and times (unix s)."""

    numbers: dict[str, int] = field(default_factory=dict)
    starts: list[tuple[Ints, Floats]] = field(default_factory=list)
    ends: list[tuple[Ints, Floats]] = field(default_factory=list)
    due: list[Floats] = field(default_factory=list)
    replies: list[tuple[Ints, Floats, Floats, Bools]] = field(default_factory=list)
    agents: AgentsSeen = field(default_factory=AgentsSeen)

    def add(self, batch: Batch) -> None:
        """Take what counts of a batch."""
        operation, outcome = batch.codes["operation"], batch.codes["outcome"]
        names = batch.words["outcome"]
        is_start, is_reply = (
            np.array([name == wanted for name in batch.words["operation"]])[operation] for wanted in (START, REPLY)
        )
        served = np.array([name in (OK, STARTED) for name in names])[outcome]
        ended = np.array([[ends_chat(what, became) for became in names] for what in batch.words["operation"]])
        decided = np.array([name in (OK, NO_REPLY) for name in names])[outcome]
        # Numbered for the words of the batch, which are far fewer than its rows.
        chats = np.array([self.numbers.setdefault(word, len(self.numbers)) for word in batch.words["contact_id"]])
        chat = chats[batch.codes["contact_id"]]
        self.agents.add(batch, chat)
        scheduled, sent, received = (batch.times[name] for name in ("scheduled", "sent", "received"))
        placed = np.isfinite(scheduled) & np.isfinite(sent) & np.isfinite(received)
        self.due.append(scheduled[is_start & placed])
        for found, rows in (
            (self.starts, is_start & served & placed),
            (self.ends, ended[operation, outcome] & placed),
        ):
            found.append((chat[rows], received[rows]))
        rows = is_reply & decided & placed
        took = received[rows] - scheduled[rows]
        self.replies.append((chat[rows], sent[rows], took, served[rows]))

    def messages(self) -> Messages:
        """Return the messages of which it is known whether they were answered."""
        ended = np.full(len(self.numbers) + 1, np.inf)
        for chat, at in self.ends:
            np.minimum.at(ended, chat, at)
        started = np.concatenate([at for _, at in self.starts] or [np.empty(0)])
        starts = np.sort(started)
        ends = np.sort(ended[np.concatenate([chat for chat, _ in self.starts] or [np.empty(0, np.int64)])])
        due = np.sort(np.concatenate(self.due or [np.empty(0)]))
        columns = [np.concatenate(parts) for parts in zip(*self.replies, strict=True)] if self.replies else []
        if not columns:
            empty = np.empty(0)
            nothing = np.empty(0, np.int64)
            return Messages(empty, np.empty(0, np.bool_), nothing, nothing, empty, empty)
        chat, sent, took, answered = columns
        open_chats = np.searchsorted(starts, sent, "right") - np.searchsorted(ends, sent, "right")
        begun = due[0] if len(due) else 0.0
        window = np.clip(sent - begun, 1.0, _WINDOW)
        rate = (np.searchsorted(due, sent, "right") - np.searchsorted(due, sent - window, "right")) / window
        return Messages(took, answered, chat, np.maximum(open_chats, 1), rate, sent)
