"""The emulator's settings: every limit, and every thing that AWS's documentation leaves open, with its doubt."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harness.emulator.settings import documented
from harness.emulator.settings.documented import Limit
from harness.emulator.settings.flow import FlowFile, read_flow
from harness.emulator.settings.values import (
    WebsocketLimit,
    choice,
    duration,
    finite_duration,
    finite_number,
    flag,
    http_url,
    identifier,
    number,
    probability,
    same_or_duration,
    text,
    websocket_limit,
    whole,
    whole_to,
)


def _setting(default: Any, parse: Callable[[str], Any], about: str, doubt: str = "") -> Any:
    return field(default=default, metadata={"parse": parse, "about": about, "doubt": doubt})


THROTTLE_FORMS = (
    "auto", "too_many_requests", "too_many_requests_url", "too_many_requests_type", "too_many_requests_namespace",
    "too_many_requests_code", "throttling", "bare", "empty", "gateway_quota",
)  # fmt: skip
QUOTA_FORMS = ("limit_exceeded", "limit_exceeded_url", "limit_exceeded_type", "service_quota")
ORDERS = ("throttle-validation-quota", "validation-throttle-quota", "validation-quota-throttle")


@dataclass(frozen=True, slots=True)
class Latency:
    """A round trip: its median in seconds, and the deviation of its logarithm."""

    median: float
    sigma: float


@dataclass(frozen=True, slots=True)
class OwnLatency:
    """What one operation has of its own; None: as all others."""

    median: float | None
    sigma: float | None


@dataclass(frozen=True)
class Settings:
    """All settings. Durations are seconds of the emulator's own clock, save where a setting says real time."""

    # What StartChatContact admits.
    rate: float = _setting(5.0, number, "StartChatContact calls per second")
    burst: float = _setting(8.0, number, "StartChatContact calls at once (token_bucket only)")
    limiter: str = _setting(
        "token_bucket",
        choice("token_bucket", "fixed_window", "sliding_window"),
        "algorithm of StartChatContact's limiter",
        "AWS says rate and burst, the words of a token bucket; the algorithm itself is not documented",
    )
    window: float = _setting(
        1.0, finite_duration, "length of a fixed or sliding window, which admits rate x window calls"
    )
    tick: float = _setting(
        0.0, finite_duration, "refill the bucket in steps of this length; 0 refills continuously", "not documented"
    )
    shards: int = _setting(
        1, whole_to(1000), "split the limit over N equal limiters and send each call to one at random", "not documented"
    )
    nodes: int = _setting(
        1,
        whole_to(1000),
        "number of gateway nodes; each holds a whole bucket and learns every `sync` what the others admitted",
        "API Gateway calls its limits 'best-effort'; whether the gateway of Connect is as loose is not documented",
    )
    sync: float = _setting(0.1, finite_duration, "how often the nodes tell each other their admissions")
    node_choice: str = _setting(
        "connection",
        choice("connection", "call", "random"),
        "which node a call meets: one node a connection, each call the next node, or one drawn at random",
    )
    contrary: float = _setting(
        0.0, probability, "share of StartChatContact's throttle decisions that are the opposite of what they should be"
    )
    throttle_costs_token: bool = _setting(
        False, flag, "a throttled call consumes a token too, up to a debt of one burst", "not documented"
    )
    shared: str = _setting(
        "",
        text,
        "operations that share one bucket, joined by +, such as SendMessage+SendEvent; it has the first one's quota",
        "AWS lists SendMessage and SendEvent in one line; one bucket or two is not documented",
    )
    background: float = _setting(
        0.0, finite_number(10_000), "calls per second by other clients of the account (Poisson)"
    )
    change_at: float = _setting(math.inf, duration, "change rate and burst this long after the first StartChatContact")
    change_rate: float = _setting(5.0, number, "rate after change_at")
    change_burst: float = _setting(8.0, number, "burst after change_at")

    # Active chats.
    active_chats: int = _setting(documented.ACTIVE_CHATS, whole, "quota of concurrent active chats, per instance")
    held: int = _setting(0, whole_to(1_000_000), "slots that chats of other clients hold from the start, per instance")
    held_mean: float = _setting(math.inf, duration, "mean length of those chats (exponential); none takes their place")
    overshoot: int = _setting(
        0,
        whole,
        "how far the quota may be passed: each start beyond it has even odds until quota + overshoot are open",
        "AWS's metric example shows 2,525 active chats over a quota of 2,500; exact or eventual is not documented",
    )
    slot_lag: float = _setting(0.0, duration, "from the end of a chat until its slot is free", "not documented")
    connect_timeout: float = _setting(
        documented.CONNECT_TIMEOUT,
        duration,
        "a chat that its customer does not connect to ends after this",
        "the five minutes are documented; the exact moment of the end is not",
    )
    connect_stops_on: str = _setting(
        "subscribe",
        choice("subscribe", "open", "api"),
        "what stops that clock: the subscribe frame, the opened websocket, or the CreateParticipantConnection call",
        "not documented; the default is the strictest",
    )
    unconnected_counts: bool = _setting(
        True,
        flag,
        "a chat that nobody has connected to counts as active; no: chats that connect later can exceed the quota",
        "documented only as 'includes chats that wait'",
    )
    chat_duration: float = _setting(documented.CHAT_DURATION, duration, "length of a chat that sets none")
    custom_durations: bool = _setting(
        True, flag, "the account supports ChatDurationInMinutes; no: a 400", "documented as possible for an account"
    )
    flow_ends: float = _setting(math.inf, duration, "the flow disconnects each chat after this")
    greeting: str = _setting("", text, "text of a message that the flow sends at the start; none: no message")
    flow: FlowFile = _setting(  # noqa: RUF009
        FlowFile(), read_flow, "TOML file with bot, queue, agents and rules that answer the customer"
    )
    starts_flow: str = _setting(
        "contact",
        choice("contact", "connection"),
        "the flow starts with the contact, or when the customer's websocket has subscribed",
        "one live project saw the second; not documented",
    )
    websockets: WebsocketLimit = _setting(  # noqa: RUF009
        WebsocketLimit(documented.WEBSOCKETS_PER_PARTICIPANT, "refuse"),
        websocket_limit,
        "open websockets of one participant, and what one more does: N:refuse or N:close_oldest",
        "five are documented; what a sixth meets is not",
    )
    websocket_latency: float = _setting(
        0.0, finite_duration, "from a message until its frame leaves on the websocket (real time)"
    )
    websocket_lifetime: float = _setting(
        math.inf,
        duration,
        "a websocket is closed this long after it opened",
        "2 hours at API Gateway; not documented here",
    )
    websocket_idle: float = _setting(
        math.inf,
        duration,
        "a websocket without a frame from its client is closed after this",
        "10 minutes at API Gateway",
    )
    websocket_drop: float = _setting(
        math.inf, duration, "mean time (exponential) until a websocket's connection is reset"
    )
    websocket_half_open: float = _setting(
        math.inf, duration, "mean time (exponential) until a websocket stays open but says and answers nothing any more"
    )
    search_lag: float = _setting(
        0.0, duration, "from the start of a chat until SearchContacts finds it", "a lag is likely; not documented"
    )
    searchable: bool = _setting(
        True,
        flag,
        "the instance has its contact attributes made searchable; no: SearchContacts finds nothing by one",
        "documented that they must be; not what it answers where they are not",
    )

    stream_to: str = _setting(
        "", http_url, "address that what streaming chats say is posted to, as SNS posts it (unsigned); none: nowhere"
    )

    # The order and the cost of refusals.
    order: str = _setting(
        "throttle-validation-quota",
        choice(*ORDERS),
        "order of the checks of a signed call",
        "'from the API Gateway' implies throttle first, 'valid requests' validation before quota; not confirmed",
    )
    invalid_costs_token: bool = _setting(True, flag, "an invalid request consumes a token", "follows from the order")
    quota_costs_token: bool = _setting(True, flag, "an active-chat refusal consumes a token", "likely; not documented")
    replay_costs_token: bool = _setting(True, flag, "a replayed ClientToken consumes a token", "likely; not documented")
    client_token_lifetime: float = _setting(
        documented.CLIENT_TOKEN_LIFETIME,
        duration,
        "how long a ClientToken is remembered",
        "7 days are documented for StartOutboundChatContact, not for StartChatContact",
    )
    client_token_scope: str = _setting(
        "instance", choice("instance", "account"), "where a ClientToken is unique", "not documented"
    )
    client_token_mismatch: str = _setting(
        "replay",
        choice("replay", "invalid"),
        "same ClientToken, other parameters: repeat the first answer, or InvalidParameterException",
        "not documented",
    )
    replay_participant_token: str = _setting(
        "same", choice("same", "new"), "the ParticipantToken in a replayed answer", "not documented"
    )
    transcript_after_end: bool = _setting(
        False, flag, "GetTranscript still answers after the chat has ended", "not documented"
    )

    # The wire.
    throttle_form: str = _setting(
        "auto",
        choice(*THROTTLE_FORMS),
        "wire form of a throttle; auto: ThrottlingException where the model declares it, else too_many_requests",
        "documented in words only ('a TooManyRequests exception'); no wire log is public",
    )
    throttle_message: str = _setting("", text, "message of a throttle; empty: the form's own", "not documented")
    quota_form: str = _setting(
        "limit_exceeded",
        choice(*QUOTA_FORMS),
        "wire form of an active-chat refusal",
        "the name is documented, the exact header and body are not",
    )
    quota_message: str = _setting(
        "", text, "message of an active-chat refusal; empty: the form's own", "not documented"
    )
    unknown_route: str = _setting(
        "missing_token",
        choice("missing_token", "unknown_operation"),
        "answer to a path that is not an operation: API Gateway's 403, or UnknownOperationException 404",
        "not documented",
    )
    max_body: int = _setting(
        10_485_760, whole, "bytes of a request body beyond which the answer is 413", "API Gateway's"
    )
    arrival_timeout: float = _setting(
        20.0,
        finite_duration,
        "a request that has not arrived whole after this is answered 408 (real time)",
        "not documented",
    )
    latency: float = _setting(0.0, finite_duration, "round trip added to each answer, half each way (real time)")
    latency_sigma: float = _setting(
        0.0,
        finite_number(5),
        "lognormal round trip with median `latency` and this deviation of the logarithm (0.5: p99 is 3.2 medians);"
        " `websocket_latency` has it too",
    )
    jitter: float = _setting(0.0, finite_duration, "each way adds |normal(0, jitter)| (real time)")
    throttle_latency: float | None = _setting(
        None,
        same_or_duration,
        "round trip of a throttled call, which a gateway answers before the service sees it (real time); same: as others",
    )
    slow_share: float = _setting(0.0, probability, "share of the time in which every call is slow")
    slow_length: float = _setting(1.0, finite_duration, "length of one slow spell (real time)")
    slow_latency: float = _setting(1.0, finite_duration, "round trip added to each answer in a slow spell (real time)")
    fault_500: float = _setting(0.0, probability, "share of calls answered 500")
    fault_503: float = _setting(0.0, probability, "share of calls answered 503")
    fault_reset: float = _setting(0.0, probability, "share of calls whose connection is reset")
    fault_stall: float = _setting(0.0, probability, "share of calls that get no answer for `stall`, then a close")
    fault_garbage: float = _setting(0.0, probability, "share of calls answered 200 with a body that is not JSON")
    fault_when: str = _setting(
        "before", choice("before", "after", "mixed"), "a fault comes before or after the call had its effect"
    )
    fault_operations: str = _setting("all", text, "operations that faults apply to, joined by +; or all")
    stall: float = _setting(60.0, finite_duration, "how long a stalled call stays silent (real time)")

    # Who it is, and who may call.
    sigv4: bool = _setting(True, flag, "check signatures")
    access_key_id: str = _setting("EMULATOR-ACCESS-KEY", identifier, "access key that may call")
    secret_access_key: str = _setting("emulator-secret-key-of-no-account", identifier, "its secret key")
    clock_skew: float = _setting(300.0, duration, "how far a signature's date may be off (real time)")
    region: str = _setting("us-east-1", identifier, "AWS Region that it plays")
    account_id: str = _setting("000000000000", identifier, "account that it plays")
    instance_id: str = _setting("11111111-aaaa-4aaa-8aaa-111111111111", identifier, "the first instance")
    instances: int = _setting(1, whole_to(1000), "number of instances; the others' ids are in /_emulator/state")
    contact_flow_id: str = _setting(
        "22222222-bbbb-4bbb-8bbb-222222222222", identifier, "the flow that may be started; any: every id may"
    )
    seed: int = _setting(0, whole, "seed of every id, jitter, fault and coin")
    keep_ended: int = _setting(10_000, whole, "ended chats that stay readable; older ones are forgotten")
    keep_tokens: int = _setting(100_000, whole, "ClientTokens that are remembered at most")

    # Throttling quotas of the operations, as `<Operation>.rate`, `.burst`, `.scope`.
    limits: Mapping[str, Limit] = field(default_factory=lambda: dict(documented.LIMITS))
    # Round trips of single operations, as `<Operation>.latency` and `.latency_sigma`; the rest have `latency`.
    latencies: Mapping[str, OwnLatency] = field(default_factory=dict)

    def limit(self, operation: str) -> Limit:
        """Return the throttling quota of `operation`."""
        if operation == "StartChatContact":
            return Limit(self.rate, self.burst, self.limits[operation].scope)
        return self.limits[operation]

    def round_trip(self, operation: str) -> Latency:
        """Return the latency that is added to calls of `operation`."""
        own = self.latencies.get(operation)
        if own is None:
            return Latency(self.latency, self.latency_sigma)
        return Latency(
            self.latency if own.median is None else own.median,
            self.latency_sigma if own.sigma is None else own.sigma,
        )


NAMES = tuple(item.name for item in fields(Settings) if item.metadata)
