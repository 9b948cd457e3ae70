"""Writes the text of a quota-increase request: what AWS asks for, filled in from a run."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from harness.errors import UsageError
from reports.capacity import sentences as words
from reports.capacity.model import Capacity
from reports.page.declared import declared_rows
from reports.page.request.alarms import alarm_lines
from reports.page.request.volumes import Volumes
from reports.run.declared import declared_value
from reports.wording.numbers import interval, number, utc, with_bounds
from reports.wording.vocabulary import QUOTA, START, STARTED, TPS


@dataclass(frozen=True)
class QuotaRequest:
    """Quotas to ask for: chat starts a second, chats at once, by when, and why; None is left for the reader to fill in."""

    tps: float | None = None
    active_chats: int | None = None
    by: str | None = None
    volumes: Volumes | None = None
    """What a plan expects."""


_FILL_IN = "[fill in]"
_QUOTAS = (
    ("tps", "Rate of StartChatContact API requests", "L-AA48CD49", "account and Region", "/s"),
    ("active_chats", "Concurrent active chats per instance", "L-D4BA6F6E", "this instance", ""),
)


def request_text(answer: Capacity, wanted: QuotaRequest) -> str:
    """The request as Markdown, to paste into Service Quotas or a support case. Raises UsageError on a bad date.

    What the run cannot know (what is wanted, why, by when) stays as "[fill in]" unless `wanted` says it.
    """
    run = answer.run
    by = _date(wanted.by)
    lines = [
        "# Quota increase request: Amazon Connect chat",
        "",
        "- Service: Amazon Connect (in AWS's newer pages Connect Customer), service code connect",
        f"- Target: {_text(words.target(answer))}",
        f"- Region: {_text(run.region) or _FILL_IN}",
        f"- Instance: {_text(run.instance_id) or _FILL_IN}",
        f"- Needed by: {by}",
        f"- Reason (expected chats a day, the busiest hour, mean chat length): {_reason(wanted)}",
        "",
        "| Quota | Code | Scope | Current | Wanted |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, name, code, scope, unit in _QUOTAS:
        asked = wanted.tps if key == "tps" else wanted.active_chats
        text = _FILL_IN if asked is None else f"{number(asked)}{unit}"
        lines.append(f"| {name} | {code} | {scope} | {_text(_current(answer, key, unit))} | {text} |")
    lines += _participant_limits(answer)
    lines += ["", "## Evidence", "", *(f"- {_text(line)}" for line in _evidence(answer))]
    if not answer.generator.valid:
        lines += ["", f"**Do not send this yet.** {_text('. '.join(words.validity(answer)))}"]
    if run.emulator is not None or not run.live:
        lines += [
            "",
            "**Do not send this yet.** The run was not against a live Amazon Connect instance, so its numbers are no "
            "evidence.",
        ]
    lines += ["", *alarm_lines(run.instance_id)]
    lines += ["", f"Made by chatquota from run {_text(run.id)} on {datetime.now(UTC):%Y-%m-%d}.", ""]
    return "\n".join(lines)


def _reason(wanted: QuotaRequest) -> str:
    return _FILL_IN if wanted.volumes is None else _text(wanted.volumes.sentence())


def _participant_limits(answer: Capacity) -> list[str]:
    """The limits of other operations that this run met: most have no quota code, so a support case has to name them."""
    met = [
        f"| {name} | {_text(interval(row.limit.rate, '/s'))}, burst {_text(interval(row.limit.burst))} |"
        for name, row in answer.operations.items()
        if name != START and row.limit is not None and row.limit.verdict == "explained"
    ]
    if not met:
        return []
    return [
        "",
        "Operations of the Participant Service have no code in Service Quotas: ask for them in a support case.",
        "",
        "| Operation | Limit that this run met |",
        "| --- | --- |",
        *met,
    ]


def _text(text: str | None) -> str:
    """Text from a run that stays text in Markdown."""
    plain = " ".join(str(text or "").split())
    for mark, harmless in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("![", "!\\["), ("](", "]\\(")):
        plain = plain.replace(mark, harmless)
    return plain


def _current(answer: Capacity, key: str, unit: str) -> str:
    """The declared value with its source, and what the run found if that differs."""
    entry = declared_value(answer.declared, key)
    tps, chats = answer.tps, answer.active_chats
    if key == "tps":
        found, verdict = tps.rate, tps.verdict
    else:
        found, verdict = chats, chats.verdict
    observed = f"{interval(found, unit)} observed"
    if key == "tps" and not tps.exact and tps.sustained is not None:
        observed = f"sustains {with_bounds(tps.sustained)}{unit}, observed (95 %)"
    elif found.high is None and not found.low:
        observed = "not met by this run" if verdict == "lower_bound" else "not found"
    if entry is not None and entry.value is not None:
        return f"{number(entry.value)}{unit} declared ({entry.source or 'unknown source'}); {observed}"
    return f"{observed}; not declared"


def _evidence(answer: Capacity) -> list[str]:
    run, outcomes, seen = answer.run, answer.outcomes, answer.first_seen
    lines = [
        words.headline(answer),
        words.first_limit_sentence(answer),
        f"Load test from {utc(run.started_at or run.first_call_at)} to {utc(run.ended_at)}, user class "
        f"{run.user_class or 'unknown'}: {words.offered_sentence(answer)}; "
        f"{outcomes.get(STARTED, 0):,} started, {outcomes.get(TPS, 0):,} TPS throttled (HTTP 429, TooManyRequests), "
        f"{outcomes.get(QUOTA, 0):,} refused by the active-chat quota (HTTP 429, LimitExceededException).",
    ]
    for name, what in ((TPS, "TPS throttle"), (QUOTA, "active-chat refusal")):
        if name in seen:
            lines.append(f"First {what}: {utc(seen[name].at)}.")
    lines += words.certainty(answer)
    lines += [f"Most chats of this run open at once: {answer.peak_active.chats:,}."]
    lines += [
        f"{row.what}: {row.declared} ({row.source}): {row.remark}." for row in declared_rows(answer) if row.disagrees
    ]
    return lines


def _date(text: str | None) -> str:
    if text is None:
        return _FILL_IN
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"--by {text!r} is not a date; write one like 2027-01-15") from None
