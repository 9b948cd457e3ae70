"""Gates: thresholds that a run must keep, read from a TOML file. Pure parsing and judging; nothing is run here."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.counting import counted
from harness.errors import UsageError
from harness.input_files import parse_toml, read_bounded
from harness.vocabulary import (
    ACTIVE_CHAT_LIMIT,
    DISCONNECT_REASONS,
    NOT_ASKED,
    SEND_MESSAGE,
    START_CHAT,
    START_OUTCOMES,
    STOP_CONTACT,
    TPS_THROTTLED,
)

_INTERVAL = ("estimate", "low", "high")
_LATENCY = ("p50", "p95", "p99", "max")
_ANSWERED = (
    *("greeted", "no_greeting", "greeting_not_awaited", "replied", "no_reply", "reply_not_awaited"),
    *("no_greeting_share", "no_reply_share"),
    *(f"queue.{part}" for part in ("joined", "no_agent", "not_awaited")),
    *(f"{wait}_ms.{part}" for wait in ("greeting", "reply", "queue.wait") for part in _LATENCY),
    *(f"{wait}_ms.from_sent.{part}" for wait in ("greeting", "reply", "queue.wait") for part in _LATENCY),
    *(f"agents.{part}" for part in ("subscribed", "joined_chats", "joined", "left")),
    *(f"agents.{part}" for part in ("transfers", "transferred_chats", "not_taken_over")),
    *(
        f"agents.{part}_ms.{q}"
        for part in ("first_joined", "until_transfer", "next_joined", "until_left")
        for q in _LATENCY
    ),
    *(f"knee.{part}" for part in ("open_chats", "low", "high")),
)

CHAT_ENDS = "chat_ends"
"""The table of chats that somebody else ended, by reason: a reason that is not there did not occur."""

LOCUST_STATISTICS = (
    "num_requests",
    "num_failures",
    "fail_ratio",
    "requests_per_s",
    "avg_response_time",
    "median_response_time",
    "p95_response_time",
    "p99_response_time",
    "max_response_time",
)
"""What `locust.<request name>.<statistic>` may name: times in ms, rates in 1/s, `fail_ratio` from 0 to 1."""

METRICS = (
    *(f"tps.rate.{part}" for part in _INTERVAL),
    *(f"tps.burst.{part}" for part in _INTERVAL),
    *(f"tps.{rate}.{part}" for rate in ("sustained", "sustained_mild") for part in _INTERVAL),
    *(f"tps.burst_from_rest.{part}" for part in ("median", "low", "high", "mean_low", "mean_high")),
    *(f"tps.safe.{arrivals}.{part}" for arrivals in ("poisson", "even") for part in ("estimate", "low")),
    *(f"tps.safe.refused_at.{share}" for share in ("0.5", "0.7", "0.85")),
    "tps.contrary_share",
    "journey_probe.binds_first.chats_per_s",
    *(f"active_chats.{part}" for part in _INTERVAL),
    *(f"crossover_s.{part}" for part in _INTERVAL),
    "peak_active.chats",
    *(f"first_seen.{outcome}.after_s" for outcome in (TPS_THROTTLED, ACTIVE_CHAT_LIMIT)),
    *(f"outcomes.{outcome}" for outcome in START_OUTCOMES),
    *(f"outcome_share.{outcome}" for outcome in START_OUTCOMES),
    *(f"latency_ms.{outcome}.{part}" for outcome in START_OUTCOMES for part in _LATENCY),
    *(f"latency_ms.{outcome}.from_sent.{part}" for outcome in START_OUTCOMES for part in _LATENCY),
    *(f"generator.{part}" for part in ("valid", "offered", "sent", "dropped", "dropped_late", "withheld")),
    "generator.samples_lost",
    *(f"answered.{part}" for part in _ANSWERED),
    *(
        f"generator.{part}"
        for part in ("offered_per_s", "offered_peak_per_s", "lateness_ms_p50", "lateness_ms_p99", "cpu_percent_max")
    ),
    *(f"chats.{part}" for part in ("started", "stopped", "already_ended", "kept", "left_open", "unanswered")),
    *(f"{CHAT_ENDS}.{reason}" for reason in (*DISCONNECT_REASONS, NOT_ASKED)),
)
"""Every number of capacity.json that a gate may name; beside them, `locust.<request name>.<statistic>`."""

_LIVE = (
    *(metric for metric in METRICS if metric.startswith(("outcomes.", "outcome_share."))),
    *(f"generator.{part}" for part in ("offered", "sent", "dropped")),
)
_USER_CLASSES = ("StartChat", "ChatConversation", "QuotaProbe")
"""No request has such a name, so a gate on one could never be kept."""
_KEYS = ("metric", "min", "max", "name", "abort", "after")
_SYNTAX = 'a gate is [[gate]] with metric = "..." and min = ... or max = ... (docs/gates.md)'


@dataclass(frozen=True)
class Gate:
    """One threshold: `metric` must lie between `minimum` and `maximum`, both included; None means no bound.

    With `abort`, the gate may end a run early, once `after` calls were answered.
    """

    metric: str
    minimum: float | None
    maximum: float | None
    name: str
    abort: bool = False
    after: int = 100

    def holds(self, value: float) -> bool:
        """Whether `value` lies within the bounds; not-a-number never does."""
        above = self.minimum is None or value >= self.minimum
        below = self.maximum is None or value <= self.maximum
        return above and below and not math.isnan(value)

    @property
    def wanted(self) -> str:
        """The bounds, for a reader."""
        bounds = ((">=", self.minimum), ("<=", self.maximum))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def read_gates(path: Path) -> tuple[Gate, ...]:
    """Read and validate a file of gates. Raises UsageError that names the gate, the mistake and what to do."""
    try:
        text = read_bounded(str(path), "a TOML file of gates").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except ValueError as error:
        raise UsageError(f"gates file {error}") from error
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return parse_gates(table, str(path))


def parse_gates(table: Mapping[str, Any], where: str = "gates") -> tuple[Gate, ...]:
    """Validate a parsed gates file. Raises UsageError that names the gate, the mistake and what to do."""
    entries = table.get("gate")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{where} has no gates; {_SYNTAX}")
    if extra := sorted(set(table) - {"gate"}):
        raise UsageError(f"{where}: unknown table {extra[0]!r}; {_SYNTAX}")
    return tuple(_gate(entry, f"{where}: gate {number}") for number, entry in enumerate(entries, 1))


def _gate(entry: Mapping[str, Any], where: str) -> Gate:
    if extra := sorted(set(entry) - set(_KEYS)):
        raise UsageError(f"{where}: unknown key {extra[0]!r}; it may have {', '.join(_KEYS)}")
    metric = entry.get("metric")
    if not isinstance(metric, str):
        raise UsageError(f"{where} has no metric; {_SYNTAX}")
    _check_metric(metric, where)
    minimum, maximum = _bound(entry, "min", where), _bound(entry, "max", where)
    if minimum is None and maximum is None:
        raise UsageError(f"{where} ({metric}) has neither min nor max; give one")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise UsageError(f"{where} ({metric}): min {minimum:g} is over max {maximum:g}; nothing can pass")
    name, abort, after = entry.get("name", metric), entry.get("abort", False), entry.get("after", 100)
    if not isinstance(name, str) or not isinstance(abort, bool):
        raise UsageError(f"{where} ({metric}): name is a text and abort is true or false")
    if not isinstance(after, int) or isinstance(after, bool) or after < 1:
        raise UsageError(f"{where} ({metric}): after is a number of calls, 1 or more")
    if "after" in entry and "abort" not in entry:
        raise UsageError(f"{where} ({metric}): after counts only with abort = true; add that, or drop after")
    if abort and (maximum is None or metric not in _LIVE):
        raise UsageError(
            f"{where} ({metric}): only a max on {_groups(_LIVE)} can end a run early; drop abort = true, or change it"
        )
    return Gate(metric, minimum, maximum, name, abort, after)


def _check_metric(metric: str, where: str) -> None:
    if metric in METRICS:
        return
    if metric.startswith("locust."):
        request, _, statistic = metric.removeprefix("locust.").rpartition(".")
        if request in _USER_CLASSES:
            raise UsageError(
                f"{where}: {request} is a user class; name a request, such as {START_CHAT}, {STOP_CONTACT} or "
                f"{SEND_MESSAGE}: locust.{START_CHAT}.{statistic}"
            )
        if request and statistic in LOCUST_STATISTICS:
            return
        raise UsageError(
            f"{where}: no Locust statistic {metric!r}; write locust.<request name>.<statistic> with one of "
            f"{', '.join(LOCUST_STATISTICS)}"
        )
    close = difflib.get_close_matches(metric, METRICS, 1)
    hint = (
        f"did you mean {close[0]!r}? docs/gates.md has them all"
        if close
        else f"there are {_groups(METRICS)}, locust.<request>.<statistic>"
    )
    raise UsageError(f"{where}: no metric {metric[:100]!r}; {hint}")


def _groups(metrics: tuple[str, ...]) -> str:
    """Return the metrics in few words: those that differ only in the outcome, or in their last part, together."""
    families: dict[str, list[str]] = {}
    for metric in metrics:
        parts = [
            "<outcome>" if part in START_OUTCOMES and place == 1 else part
            for place, part in enumerate(metric.split("."))
        ]
        last = families.setdefault(".".join(parts[:-1]), [])
        if parts[-1] not in last:
            last.append(parts[-1])
    named = [f"{stem}.{'|'.join(last)}" for stem, last in families.items()]
    return f"{', '.join(named)} (<outcome>: {'|'.join(START_OUTCOMES)})"


def _bound(entry: Mapping[str, Any], key: str, where: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{where} ({entry['metric']}): {key} must be a number, not {value!r}")
    return float(value)


def early_breach(gates: tuple[Gate, ...], outcomes: Mapping[str, int], generator: Mapping[str, float]) -> str | None:
    """Return the sentence on which a running run must end, or None.

    `outcomes` counts StartChatContact by outcome so far; `generator` may hold `offered`, `sent` and `dropped`. Only gates
    with `abort` are judged, each after its number of answered calls.
    """
    answered = sum(outcomes.values())
    for gate in gates:
        if not gate.abort or answered < gate.after:
            continue
        table, _, key = gate.metric.partition(".")
        if table == "generator":
            value = float(generator.get(key, 0))
        else:
            value = outcomes.get(key, 0) / (answered if table == "outcome_share" and answered else 1)
        if not gate.holds(value):
            return f"gate {gate.name!r}: {gate.metric} is {value:g}, wanted {gate.wanted}, after {counted(answered, 'call')}"
    return None
