"""Writes the text of a quota-increase request: what AWS asks for, filled in from a run."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from harness.errors import UsageError
from reports.page.declared import declared_rows
from reports.page.wanted import Wanted
from reports.run.rundir import is_number
from reports.wording import sentences as words
from reports.wording.vocabulary import QUOTA, STARTED, TPS

_FILL_IN = "[fill in]"
_QUOTAS = (
    ("tps", "Rate of StartChatContact API requests", "L-AA48CD49", "account and Region", "/s"),
    ("active_chats", "Concurrent active chats per instance", "L-D4BA6F6E", "this instance", ""),
)


def request_text(answer: Mapping[str, Any], wanted: Wanted) -> str:
    """The request as Markdown, to paste into Service Quotas or a support case. Raises UsageError on a bad date.

    What the run cannot know (what is wanted, why, by when) stays as "[fill in]" unless `wanted` says it.
    """
    run = answer["run"]
    by = _date(wanted.by)
    lines = [
        "# Quota increase request: Amazon Connect chat",
        "",
        f"- Region: {run['region'] or _FILL_IN}",
        f"- Instance: {run['instance_id'] or _FILL_IN}",
        f"- Needed by: {by}",
        f"- Reason (expected chats a day, the busiest hour, mean chat length): {_FILL_IN}",
        "",
        "| Quota | Code | Scope | Current | Wanted |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, name, code, scope, unit in _QUOTAS:
        asked = wanted.tps if key == "tps" else wanted.active_chats
        text = _FILL_IN if asked is None else f"{words.number(asked)}{unit}"
        lines.append(f"| {name} | {code} | {scope} | {_current(answer, key, unit)} | {text} |")
    lines += ["", "## Evidence", "", *_evidence(answer)]
    if not answer["generator"]["valid"]:
        lines += ["", f"**Do not send this yet.** {'. '.join(words.validity(answer))}"]
    if run["emulator"] is not None or not run["live"]:
        lines += [
            "",
            "**Do not send this yet.** The run was not against a live Amazon Connect instance, so its numbers are no "
            "evidence.",
        ]
    lines += ["", f"Made by chatquota from run {run['id']} on {datetime.now(UTC):%Y-%m-%d}.", ""]
    return "\n".join(lines)


def _current(answer: Mapping[str, Any], key: str, unit: str) -> str:
    """The declared value with its source, and what the run found if that differs."""
    entry = answer["declared"].get(key)
    value = entry.get("value") if isinstance(entry, Mapping) else None
    found = answer["tps"]["rate"] if key == "tps" else answer["active_chats"]
    observed = f"{words.interval(found, unit)} observed"
    if found["high"] is None and not found["low"]:
        limit = answer["tps"] if key == "tps" else found
        observed = "not met by this run" if limit["verdict"] == "lower_bound" else "not found"
    if isinstance(entry, Mapping) and value is not None and is_number(value):
        return f"{words.number(value)}{unit} declared ({entry.get('source', 'unknown source')}); {observed}"
    return f"{observed}; not declared"


def _evidence(answer: Mapping[str, Any]) -> list[str]:
    run, outcomes, seen = answer["run"], answer["outcomes"], answer["first_seen"]
    lines = [
        f"- {words.headline(answer)}",
        f"- {words.order(answer)}",
        f"- Load test from {words.moment(run['started_at'] or run['first_call_at'])} to {words.moment(run['ended_at'])}, "
        f"user class {run['user_class'] or 'unknown'}: {answer['generator']['offered']:,} chat starts offered, "
        f"{outcomes[STARTED]:,} started, {outcomes[TPS]:,} TPS throttled (HTTP 429, TooManyRequests), "
        f"{outcomes[QUOTA]:,} refused by the active-chat quota (HTTP 429, LimitExceededException).",
    ]
    for name, what in ((TPS, "TPS throttle"), (QUOTA, "active-chat refusal")):
        if name in seen:
            lines.append(f"- First {what}: {words.moment(seen[name]['at'])}.")
    lines += [f"- {sentence}" for sentence in words.certainty(answer)]
    lines += [f"- Most chats of this run open at once: {answer['peak_active']['chats']:,}."]
    lines += [
        f"- {row.what}: {row.declared} ({row.source}): {row.remark}." for row in declared_rows(answer) if row.disagrees
    ]
    return lines


def _date(text: str | None) -> str:
    if text is None:
        return _FILL_IN
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"--by {text!r} is no date; write one like 2027-01-15") from None
