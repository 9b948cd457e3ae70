"""The harness's Locust options, each declared once, and the settings that a run takes from them."""

from dataclasses import dataclass
from typing import Literal, get_args

from harness.connect.target import Target, is_loopback
from harness.durations import Hold
from harness.errors import UsageError
from harness.load.arrivals.arrivals import POISSON, SPACINGS
from harness.load.options import checks, target_choice
from harness.load.options.declaration import option
from harness.load.options.load_profile import FORMS, parse_curve
from harness.load.stopping.pace import DEFAULT_STOP_RATE
from harness.load.workload.model import Workload
from harness.load.workload.toml import load_workload
from harness.storage.address import check_address
from harness.vocabulary import TPS_THROTTLED, UNCLASSIFIED_429

JOURNEY = "journey"
PROBES = ("tps", "active-chats", "both", "safe", JOURNEY)
STEPS = ("typing", "messages", "transcript", "disconnect")
"""What a customer of ChatConversation may do, in the order in which it is done."""
Manner = Literal["auto", "yes", "no"]
MANNERS: tuple[Manner, ...] = get_args(Manner)
"""Whether customers wait for the other side before they go on."""
SDK_RETRIES = ("off", "legacy", "standard", "adaptive")

_MOST_RATE = 100_000.0
"""Calls per second that no option may ask to exceed: far more than one process can send."""


def _load_shape(value: str) -> str:
    if value:
        parse_curve(value)
    return value


@dataclass(frozen=True)
class Settings:
    """The checked options of a run. Rates are per second, times in seconds; `max_chats` None means no limit.

    `host` is Locust's own option; the others are declared here, each with the value that it has when nobody sets it.
    """

    host: str

    participant_host: str = option(
        "Target", "", "the participant service", metavar="URL", shown="derived from host and Region", browser="target"
    )
    region: str = option(
        "Target",
        "",
        "AWS Region to call",
        check=target_choice.check_region,
        metavar="REGION",
        shown="AWS_REGION or the AWS profile; the emulator's own",
        browser="target",
    )
    instance_id: str = option(
        "Target",
        "",
        "Amazon Connect instance to call",
        check=checks.identifier,
        metavar="ID",
        shown="the emulator's own",
        browser="target",
    )
    contact_flow_id: str = option(
        "Target",
        "",
        "flow that the chats start in",
        check=checks.identifier,
        metavar="ID",
        shown="the emulator's own",
        browser="target",
    )
    emulator: str = option(
        "Target",
        "",
        "limits of the embedded emulator: rate=5,burst=8,active_chats=500,limiter=token_bucket,...",
        metavar="SPEC",
        shown="AWS's documented defaults",
        counts_for="the embedded emulator",
    )

    workload: Workload = option(
        "Load",
        "",
        "TOML file with the mix of chats",
        check=load_workload,
        metavar="FILE",
        shown="a built-in mix",
        browser="file",
    )
    starts_per_user: float = option(
        "Load",
        1.0,
        "chat starts per second that one Locust user stands for",
        check=checks.between(0, 10_000, over=True),
        counts_for="StartChat, ChatConversation",
    )
    arrivals: str = option(
        "Load",
        POISSON,
        f"spacing of the starts: {' or '.join(SPACINGS)}",
        check=checks.one_of(*SPACINGS),
        choices=SPACINGS,
        counts_for="StartChat, ChatConversation",
    )
    hold: Hold = option(
        "Load",
        "0s",
        "how long a chat stays open before it is stopped: 0s, 30s, uniform:1m,3m, exponential:5m or lognormal:8m,0.6",
        check=checks.distribution,
        metavar="DIST",
        counts_for="StartChat, ChatConversation",
    )
    load_shape: str = option(
        "Load",
        "",
        f"profile of the load, with --users as its peak: {FORMS}",
        check=_load_shape,
        metavar="SHAPE",
        shown="constant",
        counts_for="StartChat, ChatConversation",
        browser="file",
    )
    max_late: float = option(
        "Load",
        "2s",
        "an arrival that is later than this is dropped and counted, not sent; what is less late leaves at twice the rate "
        "at most: a stalled generator does not flood",
        check=checks.seconds(0.1, 3600),
        metavar="DURATION",
        counts_for="StartChat, ChatConversation",
        browser="lower",
    )
    max_in_flight: int = option(
        "Load",
        1000,
        "calls on the wire at once, per process; arrivals beyond it are dropped, counted, and make the run invalid",
        check=checks.between(1, 1_000_000, what="at least 1, at most 1,000,000"),
    )
    call_timeout: float = option(
        "Load",
        30.0,
        "seconds to wait for a connection or an answer",
        check=checks.between(0, 3600, over=True),
        metavar="SECONDS",
    )
    sdk_retries: str = option(
        "Load",
        "off",
        "call StartChatContact through boto3 with its retries, as an application would",
        check=checks.one_of(*SDK_RETRIES),
        choices=SDK_RETRIES,
        counts_for="StartChat",
    )
    treat_bare_429_as: str = option(
        "Load",
        UNCLASSIFIED_429,
        "what a 429 without any error code is; it is never guessed, as an API Gateway of your own in front may send it",
        check=checks.one_of(UNCLASSIFIED_429, TPS_THROTTLED),
        choices=(UNCLASSIFIED_429, TPS_THROTTLED),
    )

    messages: int = option(
        "Conversation",
        3,
        "messages that each customer sends",
        check=checks.between(0, 1000, what="0 to 1000"),
        counts_for="ChatConversation",
    )
    think_time: Hold = option(
        "Conversation",
        "exponential:2s",
        "how long a customer thinks before each message, in the forms of --hold",
        check=checks.distribution,
        metavar="DIST",
        counts_for="ChatConversation",
    )
    conversation: str = option(
        "Conversation",
        ",".join(STEPS),
        "which steps a customer takes",
        check=checks.subset_of(*STEPS),
        metavar="STEPS",
        counts_for="ChatConversation",
    )
    reply_timeout: float = option(
        "Conversation",
        "30s",
        "how long a greeting or a reply may take before the customer counts as not answered",
        check=checks.seconds(0.1, 24 * 3600),
        metavar="DURATION",
        counts_for="ChatConversation",
    )
    queue_message: str = option(
        "Conversation",
        "",
        "a regular expression that finds the message by which the flow says that the customer is in the queue: QueueWait "
        "runs from it until an agent joins",
        check=checks.pattern,
        metavar="REGEX",
        counts_for="ChatConversation",
    )
    reply_goal: float = option(
        "Conversation",
        "5s",
        "the report names the most open chats at which 95 % of the replies came within this",
        check=checks.seconds(0.001, 24 * 3600),
        metavar="DURATION",
        counts_for="ChatConversation",
    )
    await_replies: Manner = option(
        "Conversation",
        "auto",
        "whether customers wait for the greeting and for each reply before they go on; auto: where anybody was answered",
        check=checks.one_of(*MANNERS),
        choices=MANNERS,
        counts_for="ChatConversation without a script",
    )

    probe: str = option(
        "Probe",
        "both",
        "what to look for",
        check=checks.one_of(*PROBES),
        choices=PROBES,
        counts_for="QuotaProbe",
    )
    probe_time: float = option(
        "Probe",
        "15m",
        "the longest that the probe may look for the limits; it then reports what it knows",
        check=checks.seconds(1, 24 * 3600),
        metavar="DURATION",
        counts_for="QuotaProbe",
    )
    max_probe_rate: float = option(
        "Probe",
        500.0,
        "the most calls per second that the probe may send",
        check=checks.between(0, _MOST_RATE, over=True),
        counts_for="QuotaProbe",
        browser="lower",
    )

    live: bool = option(
        "Guard",
        False,
        "allow a target with real chats; needs --approval and --max-chats too, and makes a loopback host (a tunnel) live",
        browser="started",
    )
    approval: str = option(
        "Guard",
        "",
        "reference of AWS's approval of this load test; recorded with the run",
        check=checks.printable,
        metavar="REF",
        counts_for="live targets",
        browser="target",
    )
    max_chats: int | None = option(
        "Guard",
        0,
        "never start more chats than this, all workers together; 0 means no limit, which a live target refuses",
        check=checks.optional_limit,
        shown="none in the lab",
        browser="lower",
    )
    any_hour: bool = option(
        "Guard",
        False,
        "allow a live run outside 6 PM to 6 AM of the Region's local time",
        counts_for="live targets",
        browser="started",
    )
    shared: bool = option(
        "Guard",
        False,
        "let a live run start although others are active on the instance",
        counts_for="live targets",
        browser="started",
    )
    yes: bool = option(
        "Guard",
        False,
        "begin a live run at once, without the 5 seconds in which Ctrl-C ends it before its first call",
        counts_for="live targets",
        browser="started",
    )
    price_per_message: float = option(
        "Guard",
        0.010,
        "USD for one chat message, for the cost that a live run announces (second-hand figure: check your price list)",
        check=checks.between(0, 1000, what="0 or more"),
        metavar="USD",
        counts_for="live targets",
    )
    messages_per_chat: float = option(
        "Guard",
        2.0,
        "billed messages of one chat, for the same: its initial message and one prompt of the flow",
        check=checks.between(0, 1_000_000, what="0 or more"),
        metavar="N",
        counts_for="live targets",
    )
    stop_rate: float = option(
        "Guard",
        0.0,
        "StopContact calls per second, all workers together",
        check=checks.between(0, _MOST_RATE, over=True, zero="the default"),
        shown=f"{DEFAULT_STOP_RATE:g}; in the lab more where a backlog would take over a minute",
    )
    keep_chats: bool = option(
        "Guard",
        False,
        "leave the chats that are open at the end as they are",
        shown="off: every chat is stopped",
        browser="lower",
    )

    run_dir: str = option(
        "Recording",
        "",
        "directory to record the run in",
        check=checks.new_directory,
        metavar="DIR",
        shown="runs/<UTC time>-<user class>",
        browser="directory",
    )
    upload: str = option(
        "Recording",
        "",
        "also keep the run in S3, in a folder of its id: every minute what there is so far, all of it at the end",
        check=check_address,
        metavar="s3://BUCKET/PREFIX",
        browser="started",
    )
    gates: str = option(
        "Recording",
        "",
        "TOML file of pass/fail thresholds; a breach makes the exit code 1",
        check=checks.regular_file("a TOML file of thresholds"),
        metavar="FILE",
        browser="file",
    )
    no_summary: bool = option(
        "Recording",
        False,
        "leave out the short result table that the terminal shows after a run",
    )

    @property
    def embedded(self) -> bool:
        """Whether the run has its own emulator: no host was given, and it is not live."""
        return not self.host and not self.live

    def resolve(self) -> Target:
        """Return the target of a run that is not embedded.

        Raises UsageError where the guard of live targets refuses it.
        """
        if self.live or not is_loopback(self.host):
            self._guard()
        return target_choice.resolve(
            self.host, self.participant_host, self.region, self.instance_id, self.contact_flow_id, live=self.live
        )

    def _guard(self) -> None:
        if not self.live:
            raise UsageError(f"{self.host} is not this machine: chats there are real; give --live if you mean it")
        if not self.approval:
            raise UsageError(
                "--live needs --approval REF: AWS must approve a load test two weeks ahead "
                "(Amazon-Connect-Load-Test-Requests@amazon.com)"
            )
        if self.max_chats is None:
            raise UsageError("--live needs --max-chats N: the most chats that this run may start")
