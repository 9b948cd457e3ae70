"""The type of `capacity.json`, from which its published schema and the names of its metrics are made."""

import contextlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from harness.errors import one_line
from harness.quotas.any_limiter.estimates import LimiterClass
from harness.quotas.estimates import Limiter, Verdict
from harness.recording.format.journey_probe import JourneyProbe
from harness.recording.format.manifest import Count, SdkRetries, Table, Workload
from reports.capacity.answered.model import Answered
from reports.run.latencies import Latency, Share

SCHEMA = 2
"""What this version writes; it reads schema 1 as well, whose answers lack what came with schema 2."""


class Interval(Struct, frozen=True):
    """A number and the bounds that it lies between; null where nothing is known."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None


TargetKind = Literal["lab", "live"]
FirstLimit = Literal["tps", "active_chats"]


class Target(Struct, frozen=True):
    """What was tested: an emulator or stand-in on loopback ("lab"), or an Amazon Connect instance ("live")."""

    kind: TargetKind | None = None
    endpoint: str | None = None
    account: str | None = None
    region: str | None = None
    instance_id: str | None = None


class Run(Struct, frozen=True):
    """The run that the answer is about. Times are unix seconds, `measured_s` is from the first call to the last answer."""

    id: str
    user_class: str | None = None
    status: str | None = None
    ended_by: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    first_call_at: float | None = None
    measured_s: float | None = None
    samples: Count = 0
    endpoint: str | None = None
    region: str | None = None
    instance_id: str | None = None
    live: bool | None = None
    emulator: str | None = None
    options: Table = {}
    workload: Workload = Workload()
    versions: Table = {}


class FirstSeen(Struct, frozen=True):
    """When the first call that met a limit was sent: unix seconds, and seconds after the run's first call was due."""

    at: float
    after_s: float


class Sustained(Struct, frozen=True):
    """Calls admitted a second under constant `pressure` (the offered rate over the admitted one), with a 95 % interval."""

    estimate: float
    low: float
    high: float
    pressure: float | None = None
    seconds: float | None = None
    admitted: Count | None = None


class BurstFromRest(Struct, frozen=True):
    """Calls that volleys after a rest of `rest_s` got admitted, corrected for the refill; `mean_*` is a 95 % interval."""

    median: float
    low: float
    high: float
    mean_low: float | None = None
    mean_high: float | None = None
    volleys: Count | None = None
    rest_s: float | None = None


class SafeRate(Struct, frozen=True):
    """The highest rate (1/s) at which at most `refused_share` of the calls is refused; `low` is a 95 % lower bound.

    It was tried with so many `calls` in so many `seconds`.
    """

    refused_share: Share
    estimate: float | None = None
    low: float | None = None
    calls: Count | None = None
    seconds: float | None = None


class CurvePoint(Struct, frozen=True):
    """The share of random arrivals that is refused at `rate` a second, with a 95 % interval."""

    rate: float
    refused: Share
    low: Share
    high: Share


class Safe(Struct, frozen=True):
    """Safe rates for random and evenly spaced arrivals.

    `refused_at` is the refused share of random arrivals by share of the sustained rate, with its 95 % interval in
    `refused_at_intervals`; `curve` has more points, with theirs; `batches` are (offered calls a second,
    calls, refused) of each batch that was offered.
    """

    poisson: SafeRate | None = None
    even: SafeRate | None = None
    refused_at: dict[str, Share | None] = {}
    refused_at_intervals: dict[str, tuple[Share, Share]] = {}
    curve: list[CurvePoint] = []
    batches: list[tuple[float, Count, Count]] = []


class Contrary(Struct, frozen=True):
    """Decisions that the nearest token bucket would have made the other way, as a share with a 95 % interval."""

    share: Share
    low: Share | None = None
    high: Share | None = None
    refused_though_due: Count | None = None
    admitted_though_empty: Count | None = None
    decisions: Count | None = None


class Tps(Struct, frozen=True):
    """The limit on chat starts a second: the exact limiter where one is proved, and what holds for any limiter.

    `class` says which to use: `rate` and `burst` where it is "exact", "exact_within_jitter" or "window", the others
    elsewhere. What speaks against an exact limiter is in `findings`, a sentence each.
    """

    rate: Interval
    burst: Interval
    limiter: Limiter
    verdict: Verdict
    evidence: Table = {}
    class_: LimiterClass | None = field(name="class", default=None)
    sustained: Sustained | None = None
    sustained_mild: Sustained | None = None
    burst_from_rest: BurstFromRest | None = None
    safe: Safe | None = None
    contrary_share: Share | None = None
    contrary: Contrary | None = None
    findings: list[str] = []

    @property
    def exact(self) -> bool:
        """Whether the exact rate and burst may be used; an answer without a class (schema 1) has only those."""
        return self.verdict == "explained" and self.class_ in (None, "exact", "exact_within_jitter", "window")

    @property
    def too_few(self) -> bool:
        """Whether a limiter may explain the record, and too few calls were throttled to tell which."""
        return self.verdict == "not_explained" and self.evidence.get("too_few_throttles") is True

    @property
    def rate_to_use(self) -> Interval | None:
        """The rate that holds: the exact limiter's, or the sustained one; None where neither is known."""
        if self.exact and self.rate.estimate is not None:
            return self.rate
        found = self.sustained
        return None if found is None else Interval(found.estimate, found.low, found.high)


class Others(Struct, frozen=True):
    """How many chats other clients held at the time, and who says so."""

    low: float | None = None
    high: float | None = None
    source: str | None = None


class ActiveChats(Interval, frozen=True, kw_only=True):
    """The limit on chats at once; `ours` is what this run held of it when it was met, `others` what others held."""

    verdict: Verdict
    evidence: Table = {}
    ours: Interval | None = None
    others: Others | None = None


class PeakActive(Struct, frozen=True):
    """The most chats of this run that were open at the end of a second."""

    chats: Count = 0
    after_s: int | None = None


class OperationLimit(Struct, frozen=True):
    """The limit of one operation, inferred from so many `attempts`."""

    rate: Interval
    burst: Interval
    limiter: Limiter
    verdict: Verdict
    attempts: Count


class Operation(Struct, frozen=True):
    """The attempts of one operation. `served` ones were done: started, or ok; `latency_ms` is theirs. `admitted` ones were
    let through by the TPS limit: those served, and the starts that the active-chat limit refused behind it.

    `limit` is null in a run that only starts and stops chats (there, see `tps`), and for steps that are not API calls
    (MessageReceipt, WebSocketOpen, WebSocketSubscribe). `binds_at_chats_per_s` is the limit divided by `calls_per_chat`.
    """

    attempts: Count
    admitted: Count
    throttled: Count
    served: Count = 0
    outcomes: dict[str, Count] = {}
    latency_ms: Latency | None = None
    limit: OperationLimit | None = None
    calls_per_chat: float | None = None
    binds_at_chats_per_s: Interval | None = None


class MeasuredLateness(Struct, frozen=True):
    """sent - scheduled of StartChatContact (ms), counted from the samples."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Generator(Struct, frozen=True):
    """What the load generator did. `dropped_late` are arrivals that were not sent because they were too late.

    `offered_peak_per_s` is the most that came due a second over ten seconds; null for a probe and with the SDK's
    retries, whose attempts no schedule decides on.
    """

    offered: Count = 0
    sent: Count | None = None
    dropped: Count | None = None
    dropped_late: Count | None = None
    withheld: Count | None = None
    samples_recorded: Count | None = None
    samples_lost: Count | None = None
    offered_per_s: float | None = None
    offered_peak_per_s: float | None = None
    cpu_percent_max: float | None = None
    lateness_ms_p50: float | None = None
    lateness_ms_p99: float | None = None
    measured_lateness_ms: MeasuredLateness = MeasuredLateness()
    valid: bool = False
    reasons: list[str] = []


class Clocks(Struct, frozen=True):
    """Of a run over several processes: whose clock its times are of, in seconds.

    The times of `moved` workers were moved to the master's clock by the offset that was measured, `most_moved` at the most;
    all times are `within` so much of that clock. `unknown` are workers whose offset is not known: theirs may be of another.
    """

    workers: Count = 0
    moved: Count = 0
    most_moved: float = 0.0
    within: float | None = None
    unknown: list[str] = []


class Chats(Struct, frozen=True):
    """What became of the chats, by `source`: run.json's own account, or the ledger."""

    started: Count | None = None
    stopped: Count | None = None
    already_ended: Count | None = None
    kept: Count | None = None
    left_open: Count | None = None
    unanswered: Count | None = None
    source: str = ""


class ErrorText(Struct, frozen=True):
    """One distinct response that was not a success, verbatim, and how often it came; `first_at` is in unix seconds."""

    outcome: str = ""
    operation: str = ""
    status: int | None = None
    error_code: str | None = None
    message: str | None = None
    count: Count | None = None
    first_at: float | None = None


def error_texts_of(tables: list[Table]) -> list[ErrorText]:
    """Return the error texts of run.json, without what is not of its type, and as escapes what would steer a terminal."""
    types = {one.name: one.type for one in msgspec.structs.fields(ErrorText)}
    texts = []
    for table in tables:
        kept = {}
        for name in types.keys() & table.keys():
            with contextlib.suppress(msgspec.ValidationError):
                if (value := msgspec.convert(table[name], types[name])) is not None:
                    kept[name] = one_line(value) if isinstance(value, str) else value
        texts.append(msgspec.convert(kept, ErrorText))
    return texts


class InferenceNote(Struct, frozen=True):
    """How much of the record the limits were inferred from; windows are unix seconds.

    `attempts` are those that the exact limiter was inferred from, `any_limiter_attempts` those behind the other numbers.
    """

    attempts: Count = 0
    of_attempts: Count = 0
    any_limiter_attempts: Count = 0
    tps_window: tuple[float, float] = (0.0, 0.0)
    active_chats_window: tuple[float, float] = (0.0, 0.0)


class Variety(Struct, frozen=True):
    """Whether a dimension of the workload goes with the outcome (percentage points started) or the latency (ms).

    `effect` is that of the second of `between` against the first, with a 95 % interval; `p_holm` is corrected for all
    the questions of the run. A true effect of `detectable` would be found in four of five such runs. `share` is that of
    the calls on the smaller side: of the rarer category, or of the sizes beyond the middle of their range; equal shares
    are `parts` ones.
    """

    dimension: str
    on: Literal["outcome", "latency"]
    p_value: Share
    p_holm: Share
    effect: float
    low: float
    high: float
    detectable: float
    unit: Literal["points", "ms"] = "ms"
    between: tuple[str, str] = ("", "")
    calls: Count = 0
    share: Share | None = None
    parts: Count = 2

    @property
    def shown(self) -> bool:
        """Whether the run shows that the dimension matters."""
        return self.p_holm < 0.05


class Capacity(Struct, frozen=True):
    """The answer of one run. Rates are in 1/s, latencies in ms, times in unix seconds unless a name ends in _s."""

    schema: Annotated[int, Meta(ge=1, le=SCHEMA)]
    run: Run
    first_limit: FirstLimit | None
    first_seen: dict[str, FirstSeen]
    tps: Tps
    active_chats: ActiveChats
    crossover_s: Interval | None
    peak_active: PeakActive
    outcomes: dict[str, Count]
    outcome_share: dict[str, Share | None]
    operations: dict[str, Operation]
    latency_ms: dict[str, Latency]
    quantile_error: float
    generator: Generator
    chats: Chats
    declared: Table = {}
    answers: list[ErrorText] = []
    inference: InferenceNote = InferenceNote()
    locust: dict[str, dict[str, float | None]] = {}
    problems: list[str] = []
    binds_first: str | None = None
    chat_ends: dict[str, Count] = {}
    retry_lab: SdkRetries | None = None
    target: Target | None = None
    variety: list[Variety] = []
    journey_probe: JourneyProbe | None = None
    answered: Answered | None = None
    clocks: Clocks | None = None
    share_intervals: dict[str, tuple[float, float] | None] = {}


def to_json(capacity: Capacity) -> str:
    """The text of `capacity.json`."""
    return msgspec.json.format(msgspec.json.encode(capacity), indent=2).decode() + "\n"
