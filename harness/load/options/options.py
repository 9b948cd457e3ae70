"""The harness's Locust options, and the settings that a run takes from them."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.connect.target import Target, is_loopback, resolve_target
from harness.durations import Hold, parse_hold
from harness.errors import UsageError
from harness.load.arrivals.arrivals import POISSON, SPACINGS
from harness.load.options.load_profile import FORMS, parse_curve
from harness.load.stopping.pace import DEFAULT_STOP_RATE
from harness.load.workload.model import Workload
from harness.load.workload.toml import load_workload

GROUP = "Amazon Connect"
PROBES = ("tps", "active-chats", "both")
STEPS = ("typing", "messages", "transcript", "disconnect")
"""What a customer of ChatConversation may do, in the order in which it is done."""
SDK_RETRIES = ("off", "legacy", "standard", "adaptive")

# name, default, help. The default's type is the option's type: Locust's web form keeps the type of the value it finds.
_OPTIONS: tuple[tuple[str, str | int | float | bool, str], ...] = (
    ("participant-host", "", "URL of the participant service (default: derived from host and Region)"),
    ("region", "", "AWS Region to call (default: the usual AWS configuration; the emulator's own)"),
    ("instance-id", "", "Amazon Connect instance to call (default: the emulator's own)"),
    ("contact-flow-id", "", "flow that the chats start in (default: the emulator's own)"),
    ("workload", "", "TOML file with the mix of chats (default: the built-in mix)"),
    ("starts-per-user", 1.0, "chat starts per second that one Locust user stands for"),
    ("arrivals", POISSON, f"spacing of the starts: {' or '.join(SPACINGS)}"),
    ("hold", "0s", "how long a chat stays open: 0s, 30s, uniform:1m,3m, exponential:5m or lognormal:8m,0.6"),
    ("load-shape", "", f"profile of the load, with --users as its peak: {FORMS}"),
    ("messages", 3, "messages that each customer of ChatConversation sends"),
    ("think-time", "exponential:2s", "how long a customer thinks before each message, in the forms of --hold"),
    ("conversation", ",".join(STEPS), "which steps a customer takes"),
    ("sdk-retries", "off", f"call StartChatContact through boto3 with its retries: {', '.join(SDK_RETRIES)}"),
    ("probe", "both", f"what QuotaProbe looks for: {', '.join(PROBES)}"),
    ("max-probe-rate", 500.0, "the most calls per second that QuotaProbe may send"),
    ("max-in-flight", 1000, "calls on the wire at once, per process; arrivals beyond it are counted as dropped"),
    (
        "max-chats",
        0,
        "never start more chats than this, all workers together; 0 is no limit, which a live target refuses",
    ),
    ("call-timeout", 30.0, "seconds to wait for a connection or an answer"),
    (
        "stop-rate",
        0.0,
        f"StopContact calls per second, all workers; 0 is {DEFAULT_STOP_RATE:g}, in the lab as fast as it goes",
    ),
    ("live", False, "allow a target that is not this machine; needs --approval and --max-chats too"),
    ("approval", "", "reference of AWS's approval of this load test; recorded with the run"),
    ("any-hour", False, "allow a live run outside 6 PM to 6 AM of the Region's local time"),
    (
        "price-per-message",
        0.010,
        "USD for one chat message, for the cost that a live run announces (second-hand figure: check your price list)",
    ),
    (
        "messages-per-chat",
        2.0,
        "billed messages of one chat, for the same: its initial message and one prompt of the flow",
    ),
    ("keep-chats", False, "leave the chats that are open at the end as they are"),
    ("run-dir", "", "directory to record the run in (default: runs/<UTC time>-<user class>)"),
    ("gates", "", "TOML file of pass/fail thresholds; a breach makes the exit code 1"),
    ("emulator", "", "limits of the embedded emulator: rate=5,burst=8,active_chats=500,limiter=token_bucket,..."),
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "arrivals": SPACINGS,
    "sdk-retries": SDK_RETRIES,
    "probe": PROBES,
}
NAMES = tuple(name.replace("-", "_") for name, _, _ in _OPTIONS)


def add_options(parser: Any) -> None:
    """Add the options to Locust's parser: on the command line, in locust.conf, as CHATQUOTA_* variables, in the web form."""
    # The web UI's users choose there what those of the command line name.
    parser.set_defaults(class_picker=True)
    group = parser.add_argument_group(GROUP)
    for name, default, text in _OPTIONS:
        common: dict[str, Any] = {
            "default": default,
            "help": text,
            "env_var": f"CHATQUOTA_{name.upper().replace('-', '_')}",
        }
        if isinstance(default, bool):
            action = group.add_argument(f"--{name}", action="store_true", **common)
        else:
            action = group.add_argument(f"--{name}", type=type(default), metavar=_metavar(name, default), **common)
            if name in _CHOICES:
                action.choices = _Offered(_CHOICES[name])
        action.include_in_web_ui = True  # Locust sets this for its parser's own options, not for those of a group


class _Offered(list[str]):
    """Choices that the web form offers; a wrong value is refused by `read_settings`, in one line, wherever it came from."""

    def __contains__(self, value: object) -> bool:
        return True


def _metavar(name: str, default: object) -> str:
    return {
        "workload": "FILE",
        "gates": "FILE",
        "run-dir": "DIR",
        "hold": "DIST",
        "think-time": "DIST",
        "emulator": "SPEC",
    }.get(name, {int: "N", float: "RATE"}.get(type(default), "TEXT"))


@dataclass(frozen=True)
class Settings:
    """The checked options of a run. Rates are per second, times in seconds; `max_chats` None is no limit."""

    host: str
    workload: Workload
    starts_per_user: float
    arrivals: str
    hold: Hold
    messages: int
    think_time: Hold
    conversation: str
    sdk_retries: str
    load_shape: str
    probe: str
    max_probe_rate: float
    max_in_flight: int
    max_chats: int | None
    call_timeout: float
    stop_rate: float
    live: bool
    approval: str
    any_hour: bool
    price_per_message: float
    messages_per_chat: float
    keep_chats: bool
    run_dir: str
    gates: str
    emulator: str
    participant_host: str
    region: str
    instance_id: str
    contact_flow_id: str

    @property
    def embedded(self) -> bool:
        """Whether the run brings its own emulator: no host was given, and it is not live."""
        return not self.host and not self.live

    def resolve(self) -> Target:
        """The target of a run that is not embedded. Raises UsageError where the guard of live targets refuses it."""
        if self.live or not is_loopback(self.host):
            self._guard()
        return resolve_target(
            self.host or None, self.participant_host, self.region, self.instance_id, self.contact_flow_id
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


def read_settings(options: argparse.Namespace, host: str | None) -> Settings:
    """Check the values of the options, wherever they came from, and return the settings.

    Raises UsageError with the option, what is wrong with it and what it takes.
    """
    for name, choices in _CHOICES.items():
        chosen = getattr(options, name.replace("-", "_"))
        if chosen not in choices:
            raise UsageError(f"--{name} {chosen!r}: one of {', '.join(choices)}")
    for step in options.conversation.split(","):
        if step not in STEPS:
            raise UsageError(f"--conversation {step!r}: any of {', '.join(STEPS)}, with commas between them")
    if not 0 <= options.messages <= 1000:
        raise UsageError(f"--messages {options.messages}: 0 to 1000")
    for name, least in (("starts_per_user", 0.0), ("max_probe_rate", 0.0), ("call_timeout", 0.0)):
        value = getattr(options, name)
        if not math.isfinite(value) or value <= least:
            raise UsageError(f"{_flag(name)} {value:g}: a number over {least:g}")
    if not math.isfinite(options.stop_rate) or options.stop_rate < 0:
        raise UsageError(f"--stop-rate {options.stop_rate:g}: a number over 0, or 0 for the default")
    for name in ("price_per_message", "messages_per_chat"):
        value = getattr(options, name)
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"{_flag(name)} {value:g}: 0 or more")
    if options.max_in_flight < 1:
        raise UsageError(f"--max-in-flight {options.max_in_flight}: at least 1")
    if options.max_chats < 0:
        raise UsageError(f"--max-chats {options.max_chats}: at least 1, or 0 for no limit")
    hold, think_time = _distribution("hold", options), _distribution("think_time", options)
    if options.load_shape:
        try:
            parse_curve(options.load_shape)
        except ValueError as error:
            raise UsageError(f"--load-shape {error}") from error
    if options.gates and not Path(options.gates).is_file():
        raise UsageError(f"--gates {options.gates}: no such file; name a TOML file of thresholds")
    if host:
        try:
            loopback = is_loopback(host)
        except ValueError as error:
            raise UsageError(f"--host {error}") from error
        if loopback and options.emulator:
            raise UsageError(
                "--emulator sets the limits of the embedded emulator, but --host names another; leave one out"
            )
    values = {name: getattr(options, name) for name in NAMES}
    values.update(
        host=host or "",
        workload=load_workload(options.workload),
        hold=hold,
        think_time=think_time,
        max_chats=options.max_chats or None,
    )
    return Settings(**values)


def _distribution(name: str, options: argparse.Namespace) -> Hold:
    try:
        return parse_hold(getattr(options, name))
    except ValueError as error:
        raise UsageError(f"{_flag(name)} {error}") from error


def recorded_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options as they are written into the manifest: plain values, none of them secret."""
    names = (*NAMES, "num_users", "spawn_rate", "run_time", "processes", "host")
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
