"""What `QuotaProbe --probe journey` found, as run.json has it under `journey_probe`."""

from typing import Annotated

from msgspec import Meta, Struct

Label = Annotated[str, Meta(max_length=300)]
Count = Annotated[int, Meta(ge=0)]


class Bounds(Struct, frozen=True):
    """A number and what it lies between; None where nothing is known."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


class OperationLimit(Struct, frozen=True):
    """The limit of one operation: calls a second and at once, and how it was found, as for StartChatContact."""

    rate: Bounds = Bounds()
    burst: Bounds = Bounds()
    limiter: Label = "unknown"
    verdict: Label = "not_explained"
    sentence: Label = ""


class SharedBucket(Struct, frozen=True):
    """Whether two are counted in one bucket (yes, no, unclear, not asked): of `calls` after the other had drained it,
    `admitted` were admitted.
    """

    one_bucket: Label = "not asked"
    calls: Count = 0
    admitted: Count = 0


class BindsFirst(Struct, frozen=True):
    """The operation that the workload's journey meets first, and the chats a second that it allows."""

    operation: Label
    chats_per_s: float


class JourneyProbe(Struct, frozen=True):
    """All of it. `chats_share` is by operation; `calls_per_chat` is what options and scripts of the workload say."""

    operations: dict[Label, OperationLimit] = {}
    messages_and_events_share: SharedBucket = SharedBucket()
    chats_share: dict[Label, SharedBucket] = {}
    calls_per_chat: dict[Label, float] = {}
    binds_first: BindsFirst | None = None
