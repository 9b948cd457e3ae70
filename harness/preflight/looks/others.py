"""Who else uses the instance, as CloudWatch saw it in the last hour and in the same hour a week ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from harness.counting import counted
from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.intent import Intent
from harness.preflight.model.minutes import read_minutes
from harness.preflight.model.rows import NotKnown, Row

HOUR, WEEK = 3600.0, 7 * 86_400.0
_LATELY = 900.0
"""Seconds in which somebody who is counted is taken to be active still: CloudWatch may be minutes behind."""


@dataclass(frozen=True)
class Activity:
    """The chats of an instance in one hour. None: CloudWatch has no data points."""

    most_open: float | None
    open_lately: float | None
    """The most chats open at once in the last quarter of an hour."""
    started: float | None
    refused_by_quota: float | None

    @property
    def anybody(self) -> bool:
        """Whether somebody holds or starts chats."""
        return bool(self.open_lately) or bool(self.started)


def activity(account: Account, end: float) -> Activity:
    """Return what CloudWatch counted in the hour before `end` (unix seconds). Raises NotKnown."""
    client = account.cloudwatch
    try:
        minutes = ask("cloudwatch:GetMetricData", lambda: read_minutes(client, account.instance_id, end - HOUR, end))
    except ClientError as error:
        raise NotKnown(f"CloudWatch answered {code_of(error)}") from error
    most = [(minute.at, minute.most_open) for minute in minutes if minute.most_open is not None]
    started = [minute.started for minute in minutes if minute.started is not None]
    refused = [minute.refused_by_quota for minute in minutes if minute.refused_by_quota is not None]
    return Activity(
        max((value for _, value in most), default=None),
        max((value for at, value in most if at >= end - _LATELY), default=None),
        sum(started) if started else None,
        sum(refused) if refused else None,
    )


def check_others(account: Account, intent: Intent, now: Callable[[], float] = time.time) -> Iterator[Row]:
    """Yield a row for the last hour and one for the same hour a week ago."""
    at = now()
    seen = activity(account, at)
    text = _sentence(seen)
    if seen.most_open is None and seen.started is None:
        yield Row(check="others now", state="note", text="CloudWatch has no chat of the last hour on this instance")
    elif not seen.anybody:
        yield Row(check="others now", state="ok", text=f"nobody: {text}")
    elif intent.shared:
        yield Row(check="others now", state="note", text=f"{text}; --shared: the run takes capacity from them")
    else:
        hint = "the run would take capacity from them: choose a quiet hour, or give --shared"
        yield Row(check="others now", state="stop", text=f"{text}; {hint}")
    before = activity(account, at - WEEK)
    if before.most_open is None and before.started is None:
        yield Row(check="others a week ago", state="note", text="CloudWatch has no chat of the same hour a week ago")
    else:
        yield Row(check="others a week ago", state="note" if before.most_open else "ok", text=_sentence(before))


def _sentence(seen: Activity) -> str:
    def count(value: float | None) -> str:
        return "an unknown number of" if value is None else f"{value:g}"

    said = f"{counted(count(seen.open_lately), 'chat')} open lately, {count(seen.most_open)} at most in that hour, "
    said += f"{count(seen.started)} started"
    if seen.refused_by_quota:
        said += f", {seen.refused_by_quota:g} refused by the active-chat quota"
    return said
