"""Who else uses the instance, as CloudWatch saw it in the last hour and in the same hour a week ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from harness.preflight.model.asking import Account, ask, code_of
from harness.preflight.model.intent import Intent
from harness.preflight.model.rows import NotKnown, Row

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef

HOUR, WEEK = 3600.0, 7 * 86_400.0
_PERIOD = 60
"""Seconds: how often Connect publishes its chat metrics."""
_LATELY = 900.0
"""Seconds in which somebody who is counted is taken to be active still: CloudWatch may be minutes behind."""
_METRICS = (
    ("ConcurrentActiveChats", "Maximum"),
    ("SuccessfulChatsPerInterval", "Sum"),
    ("ChatsBreachingActiveChatQuota", "Sum"),
)


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
    dimensions: list[DimensionTypeDef] = [
        {"Name": "InstanceId", "Value": account.instance_id},
        {"Name": "MetricGroup", "Value": "Chats"},
    ]
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/Connect", "MetricName": name, "Dimensions": dimensions},
                "Period": _PERIOD,
                "Stat": statistic,
            },
        }
        for number, (name, statistic) in enumerate(_METRICS)
    ]
    client = account.cloudwatch
    try:
        answer = ask(
            "cloudwatch:GetMetricData",
            lambda: client.get_metric_data(
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(end - HOUR, UTC),
                EndTime=datetime.fromtimestamp(end, UTC),
            ),
        )
    except ClientError as error:
        raise NotKnown(f"CloudWatch answered {code_of(error)}") from error
    points = {result["Id"]: result for result in answer["MetricDataResults"]}
    most = points.get("m0", {}).get("Values", [])
    stamps = [at.timestamp() for at in points.get("m0", {}).get("Timestamps", [])]
    lately = [value for value, at in zip(most, stamps, strict=False) if at >= end - _LATELY]
    started, refused = (points.get(name, {}).get("Values", []) for name in ("m1", "m2"))
    return Activity(
        max(most, default=None),
        max(lately, default=None),
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

    said = f"{count(seen.open_lately)} chats open lately, {count(seen.most_open)} at most in that hour, "
    said += f"{count(seen.started)} started"
    if seen.refused_by_quota:
        said += f", {seen.refused_by_quota:g} refused by the active-chat quota"
    return said
