"""The type of `answered` in `capacity.json`: whether the other side of the chats answered, and how soon."""

from msgspec import Struct

from harness.recording.format.manifest import Count, Number
from reports.run.latencies import Bounds, Latency, Quantiles, Share


class LoadBand(Struct, frozen=True):
    """The messages that were sent under a load from `low` to `high`: chats open, or chat starts a second.

    `messages` were answered or not; quantiles (ms, from when the message was due) are of those that were, `within_goal` and
    `no_reply` are shares of all. Intervals are of 95 %.
    """

    low: float
    high: float
    messages: Count
    within_goal: Share
    within_goal_interval: Bounds
    no_reply: Share
    no_reply_interval: Bounds
    p50: float | None = None
    p50_interval: Bounds = None
    p95: float | None = None
    p95_interval: Bounds = None


class Knee(Struct, frozen=True):
    """The most open chats at which a `share` of the replies comes within `goal` seconds, with a 95 % interval.

    Null where the run did not show it: where the goal was held throughout, `low` is the most chats that were open; where it
    was held nowhere, `high` is the fewest.
    """

    goal: float
    share: Share
    open_chats: Count | None = None
    low: Count | None = None
    high: Count | None = None


class BehindMinute(Struct, frozen=True):
    """What was counted in the minute that begins at `at` (unix s)."""

    at: Number
    value: Number


class Behind(Struct, frozen=True):
    """What CloudWatch counted of one queue, flow, bot or function during the run, by name (`of`).

    `value` is the sum of errors or throttles, or the largest of a level; `minutes` are those in which it was not 0, of
    `known_minutes` with a data point.
    """

    metric: str
    of: str
    statistic: str
    source: str
    known_minutes: Count
    value: Number
    minutes: list[BehindMinute] = []

    @property
    def is_trouble(self) -> bool:
        """Whether it counts what should not happen: errors, throttles."""
        return self.statistic == "Sum"


class MinuteOfReplies(Struct, frozen=True):
    """The messages that were sent in the minute that begins at `at` (unix s), and the p95 (ms) of those answered."""

    at: Number
    messages: Count
    no_reply: Count
    p95: float | None = None


class QueueWaits(Struct, frozen=True):
    """The waits from the flow's message that the customer is in the queue until an agent `joined`.

    `no_agent` are chats that were ended before one did; `not_awaited` those whose customer left, or the run ended, before.
    """

    joined: Count
    no_agent: Count
    not_awaited: Count
    wait_ms: Latency | None = None


class Agents(Struct, frozen=True):
    """What the customers of `subscribed` chats saw of agents: `joined` and `left` are times, `joined_chats` chats.

    `transferred_chats` were handed on, `transfers` times; after `not_taken_over` of these nobody joined any more. Durations
    (ms): from the subscription until the first agent joined; from when an agent had joined until the transfer, and until an
    agent left; from the transfer, or an agent's leaving, until the next agent joined.
    """

    subscribed: Count
    joined_chats: Count
    joined: Count
    left: Count
    transfers: Count
    transferred_chats: Count
    not_taken_over: Count
    first_joined_ms: Quantiles | None = None
    until_transfer_ms: Quantiles | None = None
    next_joined_ms: Quantiles | None = None
    until_left_ms: Quantiles | None = None


class Answered(Struct, frozen=True):
    """What the customers of the chats felt. Latencies are of what came, from when it was due.

    `greeted` chats and `replied` messages were answered; `*_not_awaited` are those of which nothing can be said. Shares are
    of those that were answered or not, with 95 % intervals. `behind` is what CloudWatch counted behind the chats of a live
    run, `by_minute` the messages of the minutes in which it counted errors or throttles.
    """

    greeted: Count
    no_greeting: Count
    greeting_not_awaited: Count
    replied: Count
    no_reply: Count
    reply_not_awaited: Count
    no_greeting_share: Share | None = None
    no_greeting_interval: Bounds = None
    no_reply_share: Share | None = None
    no_reply_interval: Bounds = None
    greeting_ms: Latency | None = None
    reply_ms: Latency | None = None
    queue: QueueWaits | None = None
    agents: Agents | None = None
    knee: Knee | None = None
    by_open_chats: list[LoadBand] = []
    by_start_rate: list[LoadBand] = []
    behind: list[Behind] = []
    behind_unknown: str | None = None
    by_minute: list[MinuteOfReplies] = []
