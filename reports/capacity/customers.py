"""What customers did in a run, gathered in the one pass over its samples beside the totals."""

from dataclasses import dataclass, field

from reports.capacity.answered.messages import MessagesSeen
from reports.capacity.journey import Survey, is_journey
from reports.run.fold import Aggregates
from reports.run.samples import Batch, Samples

_COLUMNS = ("operation", "outcome", "contact_id", "scheduled", "sent", "received")


@dataclass(frozen=True)
class Customers:
    """The calls of chats, and the messages that customers waited for."""

    survey: Survey = field(default_factory=Survey)
    messages: MessagesSeen = field(default_factory=MessagesSeen)

    def add(self, batch: Batch) -> None:
        """Take a batch in that has ids of chats."""
        self.survey.add(batch)
        self.messages.add(batch)

    def add_kept(self, samples: Samples, total: Aggregates) -> None:
        """Take in the rows of a run, if it had customers, after the pass: those of a short one are kept."""
        if is_journey(total.operations.numbers):
            for part in samples.read(_COLUMNS):
                if isinstance(part, Batch) and len(part):
                    self.add(part)
